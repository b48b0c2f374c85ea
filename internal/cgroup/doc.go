// Package cgroup is the wall around a container: it makes its control groups, writes its limits, lets
// processes be born in them, stops, counts and ends those processes, and takes the groups away again.
//
// It serves three layouts. V1: one mount per controller (or per set of co-mounted controllers) below
// /sys/fs/cgroup. V2: one mount for all. Hybrid: v1 with the v2 hierarchy beside it, which may hold
// controllers too. A group has the same path in every hierarchy: "/gourd/ID" counts from the mount
// point, wherever the calling process itself is.
//
// Limits are data before they are written: the functions of v1.go and v2.go turn an OCI
// LinuxResources into a list of (file, value), write.go writes such a list. Joining never writes a pid
// to cgroup.procs: that waits 11 ms for a grace period when the machine was idle. On v1 the child
// writes "0" to `tasks` itself; on v2 it is born in the group (CLONE_INTO_CGROUP).
package cgroup
