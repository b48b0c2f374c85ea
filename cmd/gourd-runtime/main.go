// gourd-runtime is gourd's OCI runtime behind runc's command line: what engines that drive a runtime call.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gourd/internal/container"
	"gourd/internal/runtime"
)

// verb is one command. Its run function returns the exit code of a success.
type verb struct {
	name  string
	args  string // for the usage line
	about string
	run   func(c *call) (int, error)
	// missing: engines know this command, gourd does not have it yet.
	missing bool
}

var verbs = []verb{
	{name: "create", args: "[flags] <container-id>", about: "make a container and let it wait for start", run: create},
	{name: "start", args: "<container-id>", about: "begin the program of a created container", run: start},
	{name: "run", args: "[flags] <container-id>", about: "create and start a container", run: run},
	{name: "state", args: "<container-id>", about: "print a container's state", run: state},
	{name: "kill", args: "[flags] <container-id> [signal]", about: "send a signal (default SIGTERM) to a container's first process", run: kill},
	{name: "delete", args: "[flags] <container-id>", about: "remove a container that has stopped", run: remove},
	{name: "exec", args: "[flags] <container-id> <command> [args]", about: "run another process in a container", run: execute},
	{name: "list", args: "[flags]", about: "list the containers of --root", run: list},
	{name: "ps", args: "[flags] <container-id> [ps options]", about: "list a container's processes", run: ps},
	{name: "pause", args: "<container-id>", about: "freeze a container's processes", run: pause},
	{name: "resume", args: "<container-id>", about: "let a paused container run again", run: resume},
	{name: "update", args: "[flags] <container-id>", about: "change a container's limits", run: update},
	{name: "spec", args: "[flags]", about: "write an example config.json", run: spec},
	{name: "features", about: "print what this runtime supports", run: features},
	{name: "version", about: "print the version", run: version},
	{name: "events", args: "<container-id>", about: "not supported yet", missing: true},
	{name: "checkpoint", args: "<container-id>", about: "not supported yet", missing: true},
	{name: "restore", args: "<container-id>", about: "not supported yet", missing: true},
}

// call is one invocation: the global flags, and the verb's.
type call struct {
	verb    verb
	root    string
	systemd bool
	log     *logger
	flags   *flag.FlagSet
	args    []string // of the verb, unparsed
}

func main() {
	os.Exit(invoke(os.Args[1:]))
}

func invoke(args []string) int {
	c := &call{log: &logger{out: os.Stderr}}
	name, err := c.globals(args)
	if err == nil && name == "" {
		return 0 // --help or --version
	}
	if err != nil {
		return c.fail(err)
	}
	for _, v := range verbs {
		if v.name == name {
			return c.dispatch(v)
		}
	}
	//lint:ignore ST1005 runc's words
	return c.fail(fmt.Errorf("No help topic for '%s'", name))
}

func (c *call) dispatch(v verb) int {
	c.verb = v
	if v.missing {
		return c.fail(&container.Error{Verb: v.name, Kind: container.ErrUnsupported, Cause: errors.New("not supported yet")})
	}
	code, err := v.run(c)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		code = c.fail(err)
		if v.name == "exec" {
			return 255
		}
	}
	return code
}

// globals parses the flags before the verb. It returns the verb's name, "" if there is nothing more to do.
func (c *call) globals(args []string) (string, error) {
	f := newFlags("gourd-runtime")
	f.StringVar(&c.root, "root", defaultRoot(), "directory for the state of containers")
	logFile := f.String("log", "", "file that messages are appended to (default: stderr)")
	format := f.String("log-format", "text", "format of messages: text or json")
	f.BoolVar(&c.log.debug, "debug", false, "tell the steps that make a container")
	f.BoolVar(&c.systemd, "systemd-cgroup", false, "linux.cgroupsPath is slice:prefix:name, and systemd makes the cgroup")
	rootless := f.String("rootless", "auto", "go on where cgroups can't be used: true, false or auto")
	show := false
	for _, name := range []string{"version", "v"} {
		f.BoolVar(&show, name, false, "print the version")
	}
	f.Usage = func() { usage(f) }
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return "", nil
	}
	// The log comes first, so that what is wrong with the rest gets there.
	if lerr := c.log.open(*logFile, *format); lerr != nil {
		return "", lerr
	}
	if err != nil {
		return "", err
	}
	switch {
	case show:
		_, err := version(c)
		return "", err
	case *rootless != "true" && *rootless != "false" && *rootless != "auto":
		return "", container.Invalid("use", "--rootless", fmt.Errorf("%q is none of true, false, auto", *rootless), "")
	case f.NArg() == 0 || f.Arg(0) == "help":
		usage(f)
		return "", nil
	}
	if c.root, err = filepath.Abs(c.root); err != nil {
		return "", err
	}
	c.args = f.Args()[1:]
	return f.Arg(0), nil
}

// defaultRoot is below /run for root and below XDG_RUNTIME_DIR for others.
func defaultRoot() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "gourd-runtime")
	}
	return "/run/gourd-runtime"
}

func (c *call) store() *runtime.Store { return &runtime.Store{Root: c.root} }

// newFlags makes a set whose errors are returned, not printed.
func newFlags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// set makes the verb's flag set.
func (c *call) set() *flag.FlagSet {
	f := newFlags(c.verb.name)
	f.Usage = func() {
		fmt.Printf("NAME:\n   gourd-runtime %s - %s\n\nUSAGE:\n   gourd-runtime %s %s\n", c.verb.name, c.verb.about, c.verb.name, c.verb.args)
		if hasFlags(f) {
			fmt.Print("\nOPTIONS:\n")
			f.SetOutput(os.Stdout)
			f.PrintDefaults()
		}
	}
	c.flags = f
	return f
}

func hasFlags(f *flag.FlagSet) (any bool) {
	f.VisitAll(func(*flag.Flag) { any = true })
	return any
}

// parse takes flags on both sides of the arguments, of which there must be from least to most.
func (c *call) parse(least, most int) ([]string, error) {
	var args []string
	for rest := c.args; ; {
		if err := c.flags.Parse(rest); err != nil {
			return nil, err
		}
		left := c.flags.Args()
		if len(left) == 0 {
			break
		}
		if at := len(rest) - len(left) - 1; at >= 0 && rest[at] == "--" {
			args = append(args, left...)
			break
		}
		args, rest = append(args, left[0]), left[1:]
	}
	return args, c.count(args, least, most)
}

// parseHead takes flags before the first argument only: what follows belongs to another program.
func (c *call) parseHead(least int) ([]string, error) {
	if err := c.flags.Parse(c.args); err != nil {
		return nil, err
	}
	return c.flags.Args(), c.count(c.flags.Args(), least, -1)
}

func (c *call) count(args []string, least, most int) error {
	words := ""
	switch {
	case least == most && len(args) != least:
		words = fmt.Sprintf("%q requires exactly %d argument(s)", c.verb.name, least)
	case len(args) < least:
		words = fmt.Sprintf("%q requires a minimum of %d argument(s)", c.verb.name, least)
	case most >= 0 && len(args) > most:
		words = fmt.Sprintf("%q requires a maximum of %d argument(s)", c.verb.name, most)
	default:
		return nil
	}
	return fmt.Errorf("gourd-runtime: %s; usage: gourd-runtime %s %s", words, c.verb.name, c.verb.args)
}

// both defines a flag under a long and a short name.
func both[T any](define func(p *T, name string, value T, usage string), p *T, long, short string, value T, usage string) {
	define(p, long, value, usage)
	define(p, short, value, "short for -"+long)
}

// many is a flag that may be given several times.
type many []string

func (m *many) String() string     { return strings.Join(*m, ",") }
func (m *many) Set(s string) error { *m = append(*m, s); return nil }

func usage(f *flag.FlagSet) {
	fmt.Print("NAME:\n   gourd-runtime - OCI runtime of gourd\n\nUSAGE:\n   gourd-runtime [global options] command [command options] [arguments...]\n\nCOMMANDS:\n")
	for _, v := range verbs {
		fmt.Printf("   %-12s %s\n", v.name, v.about)
	}
	fmt.Print("\nGLOBAL OPTIONS:\n")
	f.SetOutput(os.Stdout)
	f.PrintDefaults()
}
