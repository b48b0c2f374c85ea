package monitor

import (
	"os/exec"
	"testing"
)

// testRuntime is what makes the containers of newBox: "" is gourd's own. testProcess: the monitor is a
// process of its own.
var (
	testRuntime string
	testProcess bool
)

var life = []struct {
	name string
	test func(*testing.T)
}{
	{"RunToTheEnd", lifeRunToTheEnd},
	{"RestartRightAfterTheEnd", lifeRestartRightAfterTheEnd},
	{"SecondStartIsRefused", lifeSecondStartIsRefused},
	{"SlowReaderGetsAll", lifeSlowReaderGetsAll},
	{"ClientThatReadsNothing", lifeClientThatReadsNothing},
	{"VanishedClientHoldsNothingBack", lifeVanishedClientHoldsNothingBack},
	{"StdinOfPipesEnds", lifeStdinOfPipesEnds},
	{"StdinStaysOpenWithoutItsOpener", lifeStdinStaysOpenWithoutItsOpener},
	{"SeveralClients", lifeSeveralClients},
	{"Terminal", lifeTerminal},
	{"TerminalOutputIsComplete", lifeTerminalOutputIsComplete},
	{"TerminalThatNobodyHasOpen", lifeTerminalThatNobodyHasOpen},
	{"ErrorsOfTheProgram", lifeErrorsOfTheProgram},
	{"AutoRemove", lifeAutoRemove},
	{"Stop", lifeStop},
	{"Signals", lifeSignals},
	{"Pause", lifePause},
	{"ExecExitCodes", lifeExecExitCodes},
	{"ExecTerminalAndStdin", lifeExecTerminalAndStdin},
	{"ManyExecs", lifeManyExecs},
	{"ExecWithoutClient", lifeExecWithoutClient},
	{"ExecEndsWithTheContainer", lifeExecEndsWithTheContainer},
	{"ExecSignal", lifeExecSignal},
	{"HostileClient", lifeHostileClient},
}

// TestLife goes through a container's life: with a monitor in this process, with one of its own, and
// with another runtime.
func TestLife(t *testing.T) {
	for _, v := range []struct {
		name, runtime string
		process       bool
	}{{"own", "", false}, {"process", "", true}, {"runc", "runc", true}} {
		t.Run(v.name, func(t *testing.T) {
			if _, err := exec.LookPath(v.runtime); v.runtime != "" && err != nil {
				t.Skip("no", v.runtime, "(apt-get install runc)")
			}
			testRuntime, testProcess = v.runtime, v.process
			defer func() { testRuntime, testProcess = "", false }()
			for _, l := range life {
				t.Run(l.name, l.test)
			}
		})
	}
}
