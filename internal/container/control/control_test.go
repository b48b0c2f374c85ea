package control

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"gourd/internal/container"
)

func TestFramesRoundTrip(t *testing.T) {
	var b bytes.Buffer
	small := make([]byte, 8)
	for _, payload := range [][]byte{nil, []byte("hi"), bytes.Repeat([]byte{0xff}, 100_000)} {
		if err := WriteFrame(&b, KindStdout, payload); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{0, 2, 100_000} {
		kind, got, err := ReadFrame(&b, small)
		if err != nil || kind != KindStdout || len(got) != want {
			t.Errorf("ReadFrame = %v, %d bytes, %v; want %d bytes", kind, len(got), err, want)
		}
	}
	if _, _, err := ReadFrame(&b, small); err != io.EOF {
		t.Errorf("at the end: %v; want EOF", err)
	}
}

func TestReplyKeepsTheSentinel(t *testing.T) {
	r := ReplyError(&container.Error{Verb: "start", Object: "x", Kind: container.ErrNoCommand})
	if err := r.Err(); !errors.Is(err, container.ErrNoCommand) || err.Error() != "start x: command not found" {
		t.Errorf("%v", err)
	}
	if err := (&Reply{Pid: 1}).Err(); err != nil {
		t.Errorf("a good reply has an error: %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0, 2, 'h', 'i'})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for {
			kind, payload, err := ReadFrame(r, nil)
			if err != nil {
				return
			}
			var again bytes.Buffer
			if err := WriteFrame(&again, kind, payload); err != nil {
				t.Fatal(err)
			}
		}
	})
}
