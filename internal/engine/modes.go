package engine

import (
	"strings"

	"gourd/internal/container"
)

// Namespace modes as users name them.
const (
	modeHost    = "host"
	modePrivate = "private"
	modeNone    = "none"
	modeBridge  = "bridge"
	modeAuto    = "auto"
	modeKeepID  = "keep-id"
	joinPrefix  = "container:"
)

// modes are the namespaces of a container after the user's words, the defaults and what they imply of
// one another have been settled.
type modes struct {
	Pid, IPC, UTS, User, Cgroup, Network string // "", host, none, … ; joined ones as "container:ID"
	// joined are the containers named, by id.
	joined map[string]*container.Record
	// net is the container whose network is joined, nil if none is.
	net *container.Record
	// foreign: the runtime isn't gourd's own.
	foreign bool
	// notices say what was implied.
	notices []string
}

func (m *modes) own(mode string) bool {
	return mode != modeHost && !strings.HasPrefix(mode, joinPrefix)
}

// UserNS says whether the container is in a user namespace, its own or another container's.
func (m *modes) UserNS() bool { return m.User != modeHost }

// find looks a container up for "container:REF".
type find func(ref string) (*container.Record, error)

// allowed are the words that each namespace takes beside container:REF.
var allowed = []struct {
	flag  string
	words string
	join  bool
	get   func(r *CreateRequest) string
	set   func(m *modes, v string)
}{
	{"--pid", " private host ", true, func(r *CreateRequest) string { return r.PidMode }, func(m *modes, v string) { m.Pid = v }},
	{"--ipc", " private host none shareable ", true, func(r *CreateRequest) string { return r.IPCMode }, func(m *modes, v string) { m.IPC = v }},
	{"--uts", " private host ", true, func(r *CreateRequest) string { return r.UTSMode }, func(m *modes, v string) { m.UTS = v }},
	{"--userns", " private host auto keep-id ", true, func(r *CreateRequest) string { return r.UserMode }, func(m *modes, v string) { m.User = v }},
	{"--cgroupns", " private host ", false, func(r *CreateRequest) string { return r.CgroupMode }, func(m *modes, v string) { m.Cgroup = v }},
	{"--network", " default bridge host none ", true, func(r *CreateRequest) string { return r.Network.Mode }, func(m *modes, v string) { m.Network = v }},
}

// settleModes checks the modes and settles them. standard is the network without --network; add are the
// normalized capabilities; foreign says that another runtime than gourd's makes the container.
func settleModes(r *CreateRequest, add []string, standard string, foreign bool, find find) (*modes, error) {
	m := &modes{foreign: foreign, joined: map[string]*container.Record{}}
	for _, ns := range allowed {
		value, err := m.settle(ns.flag, ns.get(r), ns.words, ns.join, find)
		if err != nil {
			return nil, err
		}
		ns.set(m, value)
	}
	if m.Network == "" || m.Network == "default" {
		m.Network = standard
	}
	if id, ok := strings.CutPrefix(m.Network, joinPrefix); ok {
		m.net = m.joined[id]
	}
	if err := m.settleUser(r, add); err != nil {
		return nil, err
	}
	return m, m.checkConflicts(r)
}

// settle checks one mode and replaces the reference of container:REF by the id.
func (m *modes) settle(flag, value, words string, join bool, find find) (string, error) {
	ref, joins := strings.CutPrefix(value, joinPrefix)
	switch {
	case joins && join:
		if ref == "" {
			return "", invalid("use "+flag, value, "the container is missing", "container:NAME")
		}
		rec, err := find(ref)
		if err != nil {
			return "", &container.Error{Verb: "use " + flag, Object: value, Kind: container.ErrNotFound, Cause: err}
		}
		m.joined[rec.ID] = rec
		return joinPrefix + rec.ID, nil
	case value == modePrivate && strings.Contains(words, " private "):
		return "", nil
	case value == "" || !strings.Contains(value, " ") && strings.Contains(words, " "+value+" "):
		return value, nil
	case flag == "--network":
		return "", unsupported("use "+flag, value, "networks of one's own are not supported yet", "use bridge, none, host or container:NAME")
	}
	return "", invalid("use "+flag, value, "there is no such mode", "one of"+strings.TrimRight(words, " ")+joinHint(join))
}

func joinHint(join bool) string {
	if join {
		return " container:NAME"
	}
	return ""
}

// settleUser decides the user namespace: what the user said; else that of a container whose pid, IPC or
// network namespace is joined, since the kernel ties those to it; else the host's where a flag only works
// there; else one of its own.
func (m *modes) settleUser(r *CreateRequest, add []string) error {
	why := hostReason(r, m, add)
	owner, err := m.tied()
	if err != nil {
		return err
	}
	switch {
	case m.User == modeHost && owner != nil && owner.IDs != nil:
		return invalid("use --userns", modeHost, "the namespaces of container "+owner.Name+" that are joined belong to its user namespace", "leave --userns out")
	case m.User == modeHost:
		return nil
	case owner != nil && owner.IDs == nil:
		if m.User == modeAuto || m.User == modeKeepID {
			return invalid("use --userns", m.User, "container "+owner.Name+" whose namespaces are joined is in the host's user namespace", "leave --userns out")
		}
		m.User = modeHost
		return nil
	case owner != nil && why != "":
		return invalid("use "+why, "", "it needs the host's user namespace, and container "+owner.Name+" whose namespaces are joined has its own", "make that container with --userns=host")
	case owner != nil:
		m.User = joinPrefix + owner.ID
		return nil
	case why != "" && m.User != "":
		return invalid("use "+why, "", "it only works in the host's user namespace, not with --userns="+m.User, "leave --userns out or give --userns=host")
	case why != "":
		m.User = modeHost
		m.notices = append(m.notices, why+" implies --userns=host: root in this container is root on the host")
	case m.User == "":
		m.User = modeAuto
	}
	return nil
}

// tied is the container whose user namespace must be joined, nil if none.
func (m *modes) tied() (*container.Record, error) {
	var owner *container.Record
	for _, mode := range []string{m.User, m.Pid, m.IPC, m.Network} {
		id, ok := strings.CutPrefix(mode, joinPrefix)
		if !ok {
			continue
		}
		rec := m.joined[id]
		if owner != nil && !sameIDs(owner, rec) {
			return nil, invalid("join containers", owner.Name+" and "+rec.Name, "they are in different user namespaces", "make the one with --userns=container:"+owner.Name)
		}
		if owner == nil {
			owner = rec
		}
	}
	return owner, nil
}

// sameIDs: containers that share a range share the namespace too, or have the host's both.
func sameIDs(a, b *container.Record) bool {
	if a.IDs == nil || b.IDs == nil {
		return a.IDs == nil && b.IDs == nil
	}
	return a.IDs.Base == b.IDs.Base
}

// hostReason is the flag that only works in the host's user namespace, "" if there is none.
func hostReason(r *CreateRequest, m *modes, add []string) string {
	switch {
	case r.Privileged:
		return "--privileged"
	case m.Pid == modeHost:
		return "--pid=host"
	case m.Network == modeHost:
		return "--network=host"
	case m.foreign:
		return "--runtime " + r.Runtime // it can't be handed idmapped layers
	}
	if c := needsHostCaps(add); c != "" {
		return "--cap-add " + strings.TrimPrefix(c, "CAP_")
	}
	return ""
}

// checkConflicts refuses flags that contradict a namespace mode.
func (m *modes) checkConflicts(r *CreateRequest) error {
	joinsNet := m.net != nil
	switch {
	case r.Hostname != "" && m.UTS == modeHost, r.Domainname != "" && m.UTS == modeHost:
		return invalid("use --hostname", r.Hostname, "the container has the host's name with --uts=host", "leave one of them out")
	case r.Hostname != "" && joinsNet:
		return invalid("use --hostname", r.Hostname, "the container has the name of the one whose network it joins", "leave one of them out")
	case joinsNet && len(r.Network.ExtraHosts) > 0:
		return invalid("use --add-host", r.Network.ExtraHosts[0], "the container has the hosts file of the one whose network it joins", "leave one of them out")
	case joinsNet && (len(r.Network.DNS) > 0 || len(r.Network.DNSSearch) > 0 || len(r.Network.DNSOptions) > 0):
		return invalid("use --dns", "", "the container has the resolvers of the one whose network it joins", "leave one of them out")
	case joinsNet && len(r.Network.Expose) > 0:
		return invalid("use --expose", r.Network.Expose[0], "the container has the ports of the one whose network it joins", "leave one of them out")
	case r.Network.MAC != "" && m.Network != modeBridge:
		return invalid("use --mac-address", r.Network.MAC, "the container has no interface of its own with --network "+r.Network.Mode, "leave one of them out")
	}
	return nil
}
