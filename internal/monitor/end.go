package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// failed undoes a start that went wrong, records why, and gives the answer for the client. A container
// with AutoRemove is removed, as docker does.
func (m *monitor) failed(id string, err error) *control.Reply {
	reply := control.ReplyError(err)
	if m.live == nil {
		return reply
	}
	if m.backend != nil {
		m.backend.clean()
	}
	if m.log != nil {
		m.log.Close()
	}
	if m.record != nil && m.record.AutoRemove {
		m.remove()
	} else {
		m.store.Update(id, func(r *container.Record) error {
			r.State = container.State{
				Status: container.Created, ExitCode: reply.Code, Error: reply.Error,
				RestartCount: r.State.RestartCount, Cgroup: r.State.Cgroup, Systemd: r.State.Systemd,
			}
			return nil
		})
	}
	m.leave(id)
	return reply
}

// finish records how the container ended, tells everybody, and takes away what is left of it. The clients
// are told as soon as what they may do next will work: the record says exited, or the name is free.
func (m *monitor) finish() error {
	m.init.exit.OOMKilled = m.backend.oomKilled()
	var hidden error
	// restart keeps a container that would remove itself (--rm), and says so in the record.
	if r, err := m.store.Load(m.record.ID); err == nil {
		m.record.AutoRemove = r.AutoRemove
	}
	if m.record.AutoRemove {
		_, hidden = m.store.Hide(m.record.ID)
	} else {
		m.recordEnd()
	}
	m.init.finish()
	m.execs.await()
	err := errors.Join(hidden, m.backend.clean())
	if m.record.AutoRemove && hidden == nil {
		err = errors.Join(err, m.forget())
	}
	if m.log != nil {
		m.log.Close()
	}
	m.leave(m.record.ID)
	// Clients that are slow to take the last output don't keep the container: it may be started again.
	m.pending.wait()
	return err
}

func (m *monitor) recordEnd() {
	m.store.Update(m.record.ID, func(r *container.Record) error {
		r.State.Status = container.Exited
		r.State.ExitCode = m.init.exit.Code
		r.State.Error = m.init.exit.Error
		r.State.OOMKilled = m.init.exit.OOMKilled
		r.State.Finished = time.Now()
		r.State.Process = container.Process{}
		r.State.Monitor = container.Process{}
		r.Network.Endpoints = nil
		return nil
	})
}

// remove takes the whole container away (--rm).
func (m *monitor) remove() error {
	if _, err := m.store.Hide(m.record.ID); err != nil {
		return err
	}
	return m.forget()
}

// leave ends the monitor's hold on the container: the run directory goes while it is still locked.
func (m *monitor) leave(id string) {
	if m.socket != nil {
		m.socket.Close()
	}
	m.writing.Wait()
	// By name, not all that is there: something could be mounted below.
	for _, name := range []string{"control.sock", "steps.json", "live", ""} {
		os.Remove(filepath.Join(m.store.RunDir(id), name))
	}
	m.live.Close()
}
