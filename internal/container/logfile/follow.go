package logfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// follow emits records as they come, from the end of what present has emitted.
func (r *reader) follow(ctx context.Context) error {
	for {
		last := r.watch.over() // asked before reading: what was written until then is read
		if err := r.catchUp(ctx); err != nil {
			return err
		}
		if last {
			return nil
		}
		if err := r.watch.wait(ctx); err != nil {
			return err
		}
	}
}

// catchUp emits everything up to the end of the newest file.
func (r *reader) catchUp(ctx context.Context) error {
	for {
		if len(r.files) > 0 {
			if err := r.more(ctx, r.newest()); err != nil {
				return err
			}
		}
		next, err := r.next()
		if err != nil || next == nil {
			return err
		}
		// Nothing is written to a file after it was renamed, but some may have been just before.
		if len(r.files) > 0 {
			if err := r.more(ctx, r.newest()); err != nil {
				return err
			}
		}
		r.close()
		r.files = []*file{next}
	}
}

func (r *reader) newest() *file { return r.files[len(r.files)-1] }

// more emits what has been appended to f.
func (r *reader) more(ctx context.Context, f *file) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if st.Size() <= f.size {
		return nil
	}
	f.size, err = r.scan(ctx, f, f.size, st.Size())
	return err
}

// next opens the file that follows the one being read, nil if there is none. Where that one has been
// rotated away altogether, it is the oldest there is.
func (r *reader) next() (*file, error) {
	if len(r.files) > 0 {
		var st unix.Stat_t
		if err := unix.Stat(r.path, &st); err == nil && st.Dev == r.newest().dev && st.Ino == r.newest().ino {
			return nil, nil
		}
	}
	files, err := openAll(r.path)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	chosen := 0
	for i, f := range files {
		if len(r.files) > 0 && f.same(r.newest()) {
			chosen = i + 1
		}
	}
	var next *file
	for i, f := range files {
		if i == chosen {
			next, f.size = f, 0
		} else {
			f.Close()
		}
	}
	return next, nil
}

// watch wakes a follower: by inotify(7) on the log's directory, by Done, and at Until.
type watch struct {
	events *os.File
	query  Query
	stop   []func() bool
	quit   chan struct{}
}

func newWatch(ctx context.Context, path string, q Query) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow log: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE_SELF); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("follow log %s: %w", path, err)
	}
	w := &watch{events: os.NewFile(uintptr(fd), "inotify"), query: q, quit: make(chan struct{})}
	w.stop = append(w.stop, context.AfterFunc(ctx, w.wake))
	if !q.Until.IsZero() {
		w.stop = append(w.stop, time.AfterFunc(time.Until(q.Until), w.wake).Stop)
	}
	if q.Done != nil {
		go func() {
			select {
			case <-q.Done:
				w.wake()
			case <-w.quit:
			}
		}()
	}
	return w, nil
}

func (w *watch) close() {
	close(w.quit)
	for _, stop := range w.stop {
		stop()
	}
	w.events.Close()
}

// wake makes the present and every later wait return at once.
func (w *watch) wake() { w.events.SetReadDeadline(time.Unix(1, 0)) }

// over says that no record that is wanted can be written any more.
func (w *watch) over() bool {
	select {
	case <-w.query.Done:
		return true
	default:
	}
	return !w.query.Until.IsZero() && time.Now().After(w.query.Until)
}

// wait returns when something may have changed.
func (w *watch) wait(ctx context.Context) error {
	var b [4096]byte
	_, err := w.events.Read(b[:])
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("follow log: %w", err)
	}
	return ctx.Err()
}
