package runtime

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Names are what this runtime knows, for `features` (runtime-spec, features.md).
type Names struct {
	Hooks, MountOptions, Namespaces, Capabilities []string
}

// attributeWords are the mount options that also exist with an "r" in front, for the whole tree.
var attributeWords = []string{
	"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nodiratime", "diratime", "nosymfollow", "symfollow",
	"relatime", "norelatime", "atime", "noatime", "strictatime", "nostrictatime",
}

var otherWords = []string{
	"bind", "rbind", "defaults", "idmap", "ridmap", "tmpcopyup",
	"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
}

// Known gives the names.
func Known() Names {
	n := Names{
		Hooks: []string{"prestart", "createRuntime", "poststart", "poststop"},
		Namespaces: []string{
			string(specs.CgroupNamespace), string(specs.IPCNamespace), string(specs.MountNamespace), string(specs.NetworkNamespace),
			string(specs.PIDNamespace), string(specs.TimeNamespace), string(specs.UserNamespace), string(specs.UTSNamespace),
		},
		MountOptions: append([]string{}, otherWords...),
	}
	for _, w := range attributeWords {
		n.MountOptions = append(n.MountOptions, w, "r"+w)
	}
	for _, c := range capabilityNames {
		n.Capabilities = append(n.Capabilities, "CAP_"+c)
	}
	return n
}
