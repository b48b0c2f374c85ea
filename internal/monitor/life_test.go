package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func lifeRunToTheEnd(t *testing.T) {
	b := newBox(t, sh("echo out; echo err >&2; exit 6"))
	s := b.mustStart(outputs)
	out, errs, exit := s.end()
	if out != "out\n" || errs != "err\n" || exit.Code != 6 {
		t.Errorf("stdout %q, stderr %q, exit %+v", out, errs, exit)
	}
	b.waitEnd()
	if st := b.state(); st.Status != container.Exited || st.ExitCode != 6 || st.Process.Pid != 0 || st.Finished.Before(st.Started) {
		t.Errorf("recorded %+v", st)
	}
	if log := b.logged(); !strings.Contains(log, "out\n") || !strings.Contains(log, "err\n") {
		t.Errorf("logged %q", log)
	}
	if _, err := os.Stat(b.store.RunDir(b.record.ID)); err == nil {
		t.Error("the run directory is left")
	}
}

func lifeRestartRightAfterTheEnd(t *testing.T) {
	b := newBox(t, sh("exit 3"))
	for range 3 {
		if _, _, exit := b.mustStart(outputs).end(); exit.Code != 3 {
			t.Errorf("exit %+v", exit)
		}
	}
	b.waitEnd()
}

func lifeSecondStartIsRefused(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	ended := b.ended
	if _, err := b.start(control.Request{}); !errors.Is(err, container.ErrRunning) {
		t.Errorf("a second start gave %v", err)
	}
	b.ended = ended
	if st := b.state(); st.Status != container.Running {
		t.Errorf("recorded %+v", st)
	}
}

// RUN-03: output is complete though the reader is slow.
func lifeSlowReaderGetsAll(t *testing.T) {
	b := newBox(t, sh("dd if=/dev/zero bs=8192 count=1024 2>/dev/null"), func(r *container.Record, _ *specs.Spec) {
		r.Log.Opts = map[string]string{"max-size": "-1"}
	})
	s := b.mustStart(outputs)
	time.Sleep(300 * time.Millisecond)
	out, _, _ := s.end()
	if len(out) != 8<<20 {
		t.Errorf("%d bytes of %d", len(out), 8<<20)
	}
	b.waitEnd()
	if n := len(b.logged()); n != 8<<20 {
		t.Errorf("%d bytes logged", n)
	}
}

// A client that takes nothing doesn't keep the container from ending once its process has.
func lifeClientThatReadsNothing(t *testing.T) {
	b := newBox(t, sh("head -c 50000 /dev/zero | tr '\\0' a"))
	s := b.mustStart(outputs)
	for i := 0; b.store.Live(b.record.ID); i++ {
		if time.Sleep(10 * time.Millisecond); i > 1000 {
			t.Fatal("the container is still held")
		}
	}
	out, _, _ := s.end()
	if len(out) != 50000 {
		t.Errorf("%d bytes", len(out))
	}
	b.waitEnd()
}

func lifeVanishedClientHoldsNothingBack(t *testing.T) {
	b := newBox(t, sh("i=0; while [ $i -lt 3000 ]; do echo a line of some length that fills a socket; i=$((i+1)); done"))
	b.mustStart(outputs).conn.Close()
	b.waitEnd()
	if n := strings.Count(b.logged(), "\n"); n != 3000 {
		t.Errorf("%d lines logged", n)
	}
}

func lifeStdinOfPipesEnds(t *testing.T) {
	b := newBox(t, []string{"/bin/cat"}, withStdin)
	s := b.mustStart(control.Request{Stdin: true, Stdout: true, Stderr: true})
	s.send(control.KindStdin, "hello ")
	s.send(control.KindStdin, "there\n")
	s.until("there")
	s.send(control.KindStdinClose, "")
	if _, _, exit := s.end(); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	b.waitEnd()
}

func lifeStdinStaysOpenWithoutItsOpener(t *testing.T) {
	b := newBox(t, []string{"/bin/cat"}, withStdin)
	b.mustStart(control.Request{}) // run -d -i
	for _, word := range []string{"one", "two"} {
		s := b.dial(control.Request{Op: control.OpAttach, Stdin: true, Stdout: true})
		s.send(control.KindStdin, word+"\n")
		s.until(word)
		s.send(control.KindStdinClose, "")
		s.conn.Close()
	}
	if st := b.state(); st.Status != container.Running {
		t.Errorf("recorded %+v", st)
	}
}

func lifeSeveralClients(t *testing.T) {
	b := newBox(t, sh("while read l; do echo got $l; done"), withStdin)
	first := b.mustStart(control.Request{Stdin: true, Stdout: true})
	second := b.dial(control.Request{Op: control.OpAttach, Stdin: true, Stdout: true})
	waiter := b.dial(control.Request{Op: control.OpWait})
	second.send(control.KindStdin, "it\n")
	first.until("got it")
	second.until("got it")
	second.conn.Close() // detach
	first.send(control.KindStdin, "more\n")
	first.until("got more")
	first.send(control.KindStdinClose, "")
	if _, _, exit := first.end(); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	if out, _, exit := waiter.end(); exit.Code != 0 || out != "" {
		t.Errorf("the waiter got %q, %+v", out, exit)
	}
	b.waitEnd()
}

// TTY-01 and the window's size: right in the first line, changed later.
func lifeTerminal(t *testing.T) {
	b := newBox(t, sh("stty size; read x; stty size; echo err >&2; exit 6"), withTerminal, withStdin)
	s := b.mustStart(control.Request{Stdin: true, Stdout: true, Stderr: true, Size: &control.Size{Rows: 33, Cols: 101}})
	s.until("33 101\r\n")
	s.conn.SendJSON(control.KindResize, control.Size{Rows: 44, Cols: 102})
	s.send(control.KindStdin, "x\n")
	out, errs, exit := s.end()
	if !strings.Contains(out, "44 102\r\nerr\r\n") || errs != "" || exit.Code != 6 {
		t.Errorf("stdout %q, stderr %q, exit %+v", out, errs, exit)
	}
	b.waitEnd()
}

func lifeTerminalOutputIsComplete(t *testing.T) {
	b := newBox(t, sh("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"), withTerminal)
	var want bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&want, "line %d\r\n", i)
	}
	s := b.mustStart(outputs)
	if out, _, _ := s.end(); out != want.String() {
		t.Errorf("%d bytes of %d", len(out), want.Len())
	}
	b.waitEnd()
}

// Pid 1 may close its terminal and open it again later.
func lifeTerminalThatNobodyHasOpen(t *testing.T) {
	b := newBox(t, sh("tty=$(tty); echo before; exec 0<&- 1>&- 2>&-; sleep 0.6; exec 1>$tty ; echo after"), withTerminal)
	s := b.mustStart(outputs)
	if out, _, exit := s.end(); out != "before\r\nafter\r\n" {
		t.Errorf("%q, exit %+v", out, exit)
	}
	b.waitEnd()
}

func lifeErrorsOfTheProgram(t *testing.T) {
	for _, tc := range []struct {
		args []string
		kind error
		code int
	}{
		{[]string{"/nosuch"}, container.ErrNoCommand, 127},
		{[]string{"nosuch"}, container.ErrNoCommand, 127},
		{[]string{"/etc"}, container.ErrNotExecutable, 126},
		{[]string{"/etc/passwd"}, container.ErrNotExecutable, 126},
	} {
		b := newBox(t, tc.args)
		s, err := b.start(outputs)
		if !errors.Is(err, tc.kind) || s.reply.Code != tc.code {
			t.Errorf("%v: %v, code %d", tc.args, err, s.reply.Code)
		}
		<-b.ended
		if st := b.state(); st.Status != container.Created || st.ExitCode != tc.code || !strings.Contains(st.Error, tc.args[0]) {
			t.Errorf("%v: recorded %+v", tc.args, st)
		}
		if b.store.Live(b.record.ID) {
			t.Errorf("%v: still held", tc.args)
		}
	}
}

// RUN-06: with --rm the name is free when the exit is told.
func lifeAutoRemove(t *testing.T) {
	b := newBox(t, sh("exit 6"), func(r *container.Record, _ *specs.Spec) { r.AutoRemove = true })
	if _, _, exit := b.mustStart(control.Request{Wait: true}).end(); exit.Code != 6 {
		t.Errorf("exit %+v", exit)
	}
	again := &container.Record{ID: container.NewID(), Name: "box"}
	if err := b.store.Create(again, []byte("{}"), nil); err != nil {
		t.Error(err)
	}
	b.waitEnd()
	if ids, err := b.store.IDs(); err != nil || len(ids) != 1 {
		t.Errorf("containers %v, %v", ids, err)
	}
	if half, err := b.store.Half(); err != nil || len(half) != 0 {
		t.Errorf("half removed %v, %v", half, err)
	}
}

// LIF-05: the stop signal, then SIGKILL.
func lifeStop(t *testing.T) {
	one := 1
	for _, tc := range []struct {
		name   string
		script string
		signal string
		code   int
	}{
		{"handled", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done", "", 9},
		{"own signal", "trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done", "USR1", 8},
		{"ignored", "echo ready; sleep 100 & wait; sleep 100", "", 137},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBox(t, sh(tc.script), func(r *container.Record, _ *specs.Spec) { r.StopSignal = tc.signal })
			b.mustStart(outputs).until("ready")
			begin := time.Now()
			if _, err := b.ask(control.Request{Op: control.OpStop, Timeout: &one}); err != nil {
				t.Fatal(err)
			}
			if st := b.state(); st.Status != container.Exited || st.ExitCode != tc.code || !st.StoppedByUser {
				t.Errorf("recorded %+v", st)
			}
			if d := time.Since(begin); d > 4*time.Second {
				t.Errorf("it took %s", d)
			}
			b.waitEnd()
		})
	}
}

func lifeSignals(t *testing.T) {
	b := newBox(t, sh("trap 'echo hup' HUP; trap 'echo rt' 34; echo ready; while :; do sleep 0.05; done"))
	s := b.mustStart(outputs)
	s.until("ready")
	for _, name := range []string{"HUP", "SIGHUP", "1", "sighup"} {
		if _, err := b.ask(control.Request{Op: control.OpSignal, Signal: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.until("hup")
	}
	s.conn.SendJSON(control.KindSignal, "SIGHUP")
	s.until("hup")
	if _, err := b.ask(control.Request{Op: control.OpSignal, Signal: "RTMIN"}); err != nil {
		t.Error(err)
	}
	s.until("rt")
	if _, err := b.ask(control.Request{Op: control.OpSignal, Signal: "NOSUCH"}); !errors.Is(err, container.ErrInvalid) {
		t.Errorf("an unknown signal gave %v", err)
	}
	if st := b.state(); st.StoppedByUser {
		t.Error("a signal that is no stop counts as one (LIF-02)")
	}
}

// EXE-04: exec while paused is refused.
func lifePause(t *testing.T) {
	b := newBox(t, sh("while :; do echo tick; sleep 0.05; done"))
	s := b.mustStart(outputs)
	s.until("tick")
	if _, err := b.ask(control.Request{Op: control.OpResume}); !errors.Is(err, container.ErrConflict) {
		t.Errorf("resume of a running container gave %v", err)
	}
	if _, err := b.ask(control.Request{Op: control.OpPause}); err != nil {
		t.Fatal(err)
	}
	if st := b.state(); st.Status != container.Paused {
		t.Errorf("recorded %+v", st)
	}
	if _, err := b.ask(control.Request{Op: control.OpPause}); !errors.Is(err, container.ErrPaused) {
		t.Errorf("a second pause gave %v", err)
	}
	if _, err := b.ask(execRequest("/bin/true")); !errors.Is(err, container.ErrPaused) {
		t.Errorf("exec while paused gave %v", err)
	}
	if _, err := b.ask(control.Request{Op: control.OpResume}); err != nil {
		t.Fatal(err)
	}
	if st := b.state(); st.Status != container.Running {
		t.Errorf("recorded %+v", st)
	}
	b.ask(control.Request{Op: control.OpPause})
	one := 1
	if _, err := b.ask(control.Request{Op: control.OpStop, Timeout: &one}); err != nil {
		t.Errorf("stop of a paused container: %v", err)
	}
	b.waitEnd()
}

func execRequest(args ...string) control.Request {
	return control.Request{Op: control.OpExec, Stdout: true, Stderr: true, Exec: &control.Exec{
		ID:      container.NewID(),
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}},
	}}
}

// EXE-01: exit codes of exec.
func lifeExecExitCodes(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	for _, tc := range []struct {
		args []string
		code int
		kind error
	}{
		{sh("echo hi; exit 42"), 42, nil},
		{sh("echo hi; kill -9 $$"), 137, nil},
		{[]string{"nosuch"}, 127, container.ErrNoCommand},
		{[]string{"/etc"}, 126, container.ErrNotExecutable},
	} {
		c, err := control.Dial(b.store, b.record.ID)
		if err != nil {
			t.Fatal(err)
		}
		r := execRequest(tc.args...)
		reply, err := c.Ask(&r)
		if tc.kind != nil {
			if !errors.Is(err, tc.kind) || reply.Code != tc.code {
				t.Errorf("%v: %v, code %d", tc.args, err, reply.Code)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", tc.args, err)
			continue
		}
		out, _, exit := (&session{b, c, reply}).end()
		if out != "hi\n" || exit.Code != tc.code {
			t.Errorf("%v: %q, exit %+v", tc.args, out, exit)
		}
	}
	if st := b.state(); st.Status != container.Running {
		t.Errorf("recorded %+v", st)
	}
}

func lifeExecTerminalAndStdin(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	r := execRequest(sh("stty size; read x; echo got $x")...)
	r.Exec.Process.Terminal, r.Exec.OpenStdin, r.Stdin = true, true, true
	r.Size = &control.Size{Rows: 12, Cols: 34}
	s := b.dial(r)
	s.until("12 34")
	s.send(control.KindStdin, "it\n")
	if out, _, _ := s.end(); !strings.Contains(out, "got it\r\n") {
		t.Errorf("%q", out)
	}
	r = execRequest("cat")
	r.Exec.OpenStdin, r.Stdin = true, true
	s = b.dial(r)
	s.send(control.KindStdin, "piped")
	s.send(control.KindStdinClose, "")
	if out, _, exit := s.end(); out != "piped" || exit.Code != 0 {
		t.Errorf("%q, exit %+v", out, exit)
	}
}

func lifeManyExecs(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	var all []*session
	for i := range 10 {
		all = append(all, b.dial(execRequest(sh(fmt.Sprintf("echo %d; sleep 0.5; exit %d", i, i))...)))
	}
	reply, err := b.ask(control.Request{Op: control.OpExecs})
	if err != nil || len(reply.Execs) == 0 || reply.Execs[0].Args[0] != "/bin/sh" {
		t.Errorf("%+v, %v", reply, err)
	}
	for i, s := range all {
		if out, _, exit := s.end(); out != fmt.Sprintln(i) || exit.Code != i {
			t.Errorf("exec %d: %q, %+v", i, out, exit)
		}
	}
}

// A detached exec, or one whose client has left, runs on, and its output goes nowhere.
func lifeExecWithoutClient(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	script := "i=0; while [ $i -lt 20000 ]; do echo a line; i=$((i+1)); done; exit 5"
	for _, detach := range []bool{true, false} {
		r := execRequest(sh(script)...)
		r.Exec.Detach = detach
		s := b.dial(r)
		w := b.dial(control.Request{Op: control.OpExecWait, ExecID: r.Exec.ID})
		s.conn.Close()
		if _, _, exit := w.end(); exit.Code != 5 {
			t.Errorf("detached %v: exit %+v", detach, exit)
		}
	}
}

// EXE-02: exec ends with 137 when the container ends.
func lifeExecEndsWithTheContainer(t *testing.T) {
	b := newBox(t, sh("sleep 1"))
	b.mustStart(control.Request{})
	s := b.dial(execRequest("sleep", "100"))
	begin := time.Now()
	if _, _, exit := s.end(); exit.Code != 137 || time.Since(begin) > 3*time.Second {
		t.Errorf("exit %+v after %s", exit, time.Since(begin))
	}
	b.waitEnd()
}

func lifeExecSignal(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	r := execRequest("sleep", "100")
	s := b.dial(r)
	if _, err := b.ask(control.Request{Op: control.OpExecSignal, ExecID: r.Exec.ID, Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	if _, _, exit := s.end(); exit.Code != 137 {
		t.Errorf("exit %+v", exit)
	}
	if _, err := b.ask(control.Request{Op: control.OpExecSignal, ExecID: r.Exec.ID, Signal: "KILL"}); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("a signal to what has ended gave %v", err)
	}
}

// Whatever a client sends, the monitor and the container live on.
func lifeHostileClient(t *testing.T) {
	b := newBox(t, sh("sleep 100"))
	b.mustStart(control.Request{})
	for _, bytes := range [][]byte{
		nil,
		{0},
		{1, 0xff, 0xff, 0xff, 0xff},
		{1, 0, 0, 0, 2, '{', '}'},
		{9, 0, 0, 0, 0},
		append([]byte{1, 0, 0, 0, 10}, `{"op":"x"}`...),
		append([]byte{1, 0, 0, 0, 13}, `{"op":"exec"}`...),
		append([]byte{1, 0, 0, 0, 15}, `{"op":"resize"}`...),
		append([]byte{1, 0, 0, 0, 15}, `{"op":"update"}`...),
		append([]byte{1, 0, 0, 0, 25}, `{"op":"start","version":9}`...),
	} {
		c, err := control.Dial(b.store, b.record.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.File.Write(bytes)
		c.File.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		c.Receive(nil)
		c.Close()
	}
	s := b.dial(control.Request{Op: control.OpAttach, Stdout: true, Stdin: true})
	s.send(99, "what is this")
	s.send(control.KindResize, "no json")
	s.send(control.KindSignal, `"NOSUCH"`)
	s.send(control.KindExit, "{}")
	if _, err := b.ask(control.Request{Op: control.OpExecs}); err != nil {
		t.Error(err)
	}
}
