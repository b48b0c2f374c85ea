// Package runtime makes containers: it turns an OCI runtime specification into a process in namespaces of
// its own, on a root filesystem of its own.
//
// The parent (this process) checks everything first, then starts the child early and prepares mounts while
// it is being born: create.go tells the order. What the child has to do is a table of system calls
// (package child) that the other files of this package write, in the order of process.go and mounts.go.
// Each step has a name; the name is the prefix of its errors and what `gourd explain` shows.
package runtime
