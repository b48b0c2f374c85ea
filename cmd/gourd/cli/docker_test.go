package cli

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// dockerCommand is what docker's help says of one command.
type dockerCommand struct {
	path  []string // after "docker"
	flags []dockerFlag
	verbs []string // it has commands of its own
}

type dockerFlag struct {
	name, short string
	takesValue  bool
}

var (
	flagLine = regexp.MustCompile(`^ {2,6}(?:-(\w), )?--([a-z0-9-]+)( [a-z]\S*)?(?:  |$)`)
	verbLine = regexp.MustCompile(`^  ([a-z-]+)\*?  +\S`)
)

// readDocker runs `docker PATH --help` and reads the flags and commands out of it.
func readDocker(t *testing.T, path ...string) dockerCommand {
	t.Helper()
	out, err := exec.Command("docker", append(path, "--help")...).Output()
	if err != nil {
		t.Fatalf("docker %s --help: %v", strings.Join(path, " "), err)
	}
	c := dockerCommand{path: path}
	section := ""
	for _, line := range strings.Split(string(out), "\n") {
		if line != "" && line[0] != ' ' {
			section = line
		}
		if m := flagLine.FindStringSubmatch(line); m != nil {
			c.flags = append(c.flags, dockerFlag{name: m[2], short: m[1], takesValue: m[3] != ""})
		}
		if m := verbLine.FindStringSubmatch(line); m != nil && strings.HasSuffix(section, "ommands:") {
			c.verbs = append(c.verbs, m[1])
		}
	}
	return c
}

// refusedVerb says whether a command of gourd's is there only to say that it can't be had.
func refusedVerb(cmd *cobra.Command) bool { return cmd.DisableFlagParsing }

// Every command and flag of docker's is either here or refused by name.
func TestKnowsDockersCommandLine(t *testing.T) {
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("no docker command line here to compare with")
	}
	root := NewRoot()
	top := readDocker(t)
	checkFlags(t, root, top)
	verbs, flags := 0, 0
	for _, verb := range top.verbs {
		cmd := findVerb(t, root, verb)
		if verbs++; cmd == nil || refusedVerb(cmd) {
			continue
		}
		c := readDocker(t, verb)
		flags += checkFlags(t, cmd, c)
		for _, sub := range c.verbs {
			subcmd := findVerb(t, cmd, sub)
			if verbs++; subcmd != nil && !refusedVerb(subcmd) {
				flags += checkFlags(t, subcmd, readDocker(t, verb, sub))
			}
		}
	}
	t.Logf("%d commands, %d flags", verbs, flags)
	if verbs < 80 || flags < 300 {
		t.Errorf("only %d commands and %d flags were read from docker's help: the reading is broken", verbs, flags)
	}
}

func findVerb(t *testing.T, parent *cobra.Command, name string) *cobra.Command {
	t.Helper()
	for _, c := range parent.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	t.Errorf("%s does not know docker's command %q", parent.CommandPath(), name)
	return nil
}

func checkFlags(t *testing.T, cmd *cobra.Command, c dockerCommand) int {
	t.Helper()
	for _, want := range c.flags {
		f := cmd.Flag(want.name)
		switch {
		case f == nil:
			t.Errorf("%s does not know docker's flag --%s", cmd.CommandPath(), want.name)
		case want.short != "" && f.Shorthand != want.short:
			t.Errorf("%s --%s has the shorthand %q, docker's is %q", cmd.CommandPath(), want.name, f.Shorthand, want.short)
		case (f.NoOptDefVal == "") != want.takesValue:
			t.Errorf("%s --%s takes a value: %v, docker's %v", cmd.CommandPath(), want.name, f.NoOptDefVal == "", want.takesValue)
		}
	}
	return len(c.flags)
}

// execute runs a command line in this process and gives its exit code and standard error.
func execute(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var b bytes.Buffer
	root := NewRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	return report(&b, cmd, err), b.String()
}

func TestRefusesByName(t *testing.T) {
	tests := []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "--health-cmd", "x", "i"}, 125, "gourd: --health-cmd is not supported yet\n"},
		{[]string{"create", "--isolation=hyperv", "i"}, 125, "gourd: --isolation is not supported\n"},
		{[]string{"run", "-P", "i"}, 125, "gourd: --publish-all is not supported yet\n"},
		{[]string{"run", "-p", "80:80", "i"}, 125, "gourd: --publish is not supported yet\n"},
		{[]string{"run", "--restart", "always", "i"}, 125, "gourd: --restart always is not supported yet\n"},
		{[]string{"run", "--disable-content-trust=false", "i"}, 125, "gourd: --disable-content-trust is not supported yet\n"},
		{[]string{"rm", "--link", "c"}, 1, "gourd: --link is not supported yet\n"},
		{[]string{"-H", "tcp://x", "ps"}, 1, "gourd: --host is not supported\n"},
		{[]string{"build", "-t", "x", "."}, 1, "gourd: \"gourd build\" is not supported yet\n"},
		{[]string{"network", "create", "n"}, 1, "gourd: \"gourd network create\" is not supported yet\n"},
		{[]string{"container", "cp", "a", "b"}, 1, "gourd: \"gourd container cp\" is not supported yet\n"},
		{[]string{"swarm", "init"}, 1, "gourd: \"gourd swarm init\" is not supported\n"},
		{[]string{"run", "--bad", "i"}, 125, "gourd: run: unknown flag: --bad (see 'gourd run --help')\n"},
		{[]string{"ps", "--bad"}, 125, "gourd: ps: unknown flag: --bad (see 'gourd ps --help')\n"},
		{[]string{"--bad", "ps"}, 125, "gourd: unknown flag: --bad (see 'gourd --help')\n"},
		{[]string{"ps", "x"}, 1, "gourd: ps: it takes no arguments (see 'gourd ps --help')\n"},
		{[]string{"run"}, 1, "gourd: run: it needs an image (or --rootfs) (see 'gourd run --help')\n"},
		{[]string{"exec", "c"}, 1, "gourd: exec: it needs at least 2 arguments (see 'gourd exec --help')\n"},
		{[]string{"container", "nosuch"}, 1, "gourd: container nosuch: unknown command (see 'gourd container --help')\n"},
		{[]string{"nosuch"}, 1, "gourd: nosuch: unknown command (see 'gourd --help')\n"},
		{[]string{"run", "-m", "1x", "i"}, 125, "gourd: run: --memory 1x: invalid suffix: 'x' (see 'gourd run --help')\n"},
		{[]string{"run", "-e", "=x", "i"}, 125, "gourd: invalid environment variable \"=x\": it has no name\n"},
		{[]string{"run", "--env-file", "/nosuch", "i"}, 125, "gourd: read --env-file: open /nosuch: no such file or directory\n"},
		{[]string{"run", "-d", "-a", "stdout", "i"}, 125, "gourd: -a and -d can't be used together\n"},
		{[]string{"run", "--detach-keys", "nope", "i"}, 125, "gourd: detach keys \"nope\": \"nope\" is no key: one character, or ctrl- and one of a-z @ [ \\ ] ^ _\n"},
		{[]string{"--log-level", "loud", "ps"}, 125, "gourd: --log-level loud: it must be debug, info, warn, error or fatal\n"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if code, says := execute(t, tt.args...); code != tt.code || says != tt.says {
				t.Errorf("exit code %d, %q; want %d, %q", code, says, tt.code, tt.says)
			}
		})
	}
}
