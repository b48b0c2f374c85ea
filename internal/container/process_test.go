package container

import (
	"os"
	"os/exec"
	"testing"
)

func TestProcessIdentity(t *testing.T) {
	self, err := Identify(os.Getpid())
	if err != nil || !self.Alive() {
		t.Fatalf("Identify(self) = %+v, %v; alive %v", self, err, self.Alive())
	}
	other := self
	other.Start++
	if other.Alive() {
		t.Error("a later process of the same number counts as the same")
	}
	other = self
	other.Boot = "another boot"
	if other.Alive() {
		t.Error("a process of another boot is alive")
	}
	if (Process{}).Alive() {
		t.Error("no process is alive")
	}
}

func TestZombieIsGone(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "read x")
	in, _ := cmd.StdinPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Identify(cmd.Process.Pid)
	if err != nil || !p.Alive() {
		t.Fatalf("%+v, %v", p, err)
	}
	in.Close()
	for p.Alive() { // it becomes a zombie, since nobody has waited for it
	}
	cmd.Wait()
}
