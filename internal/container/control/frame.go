package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// HeadSize is the length of a frame's header: its kind, and its payload's length (big endian).
const HeadSize = 5

// PutHead writes the header of a frame with n bytes of payload into b.
func PutHead(b []byte, kind Kind, n int) {
	b[0] = byte(kind)
	binary.BigEndian.PutUint32(b[1:HeadSize], uint32(n))
}

// WriteFrame sends one frame with a single write, so that frames of several writers don't mix as long
// as each holds the connection's lock around it.
func WriteFrame(w io.Writer, kind Kind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("send control frame: %d bytes are more than %d", len(payload), MaxFrame)
	}
	b := make([]byte, HeadSize+len(payload))
	PutHead(b, kind, len(payload))
	copy(b[HeadSize:], payload)
	_, err := w.Write(b)
	return err
}

// WriteJSON sends v as a frame.
func WriteJSON(w io.Writer, kind Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return WriteFrame(w, kind, b)
}

// ReadFrame reads one frame into buf where it fits, else into new memory that grows as the bytes
// arrive, so that a header alone can't make the reader allocate. io.EOF: the peer closed between two
// frames; io.ErrUnexpectedEOF (wrapped): within one.
func ReadFrame(r io.Reader, buf []byte) (Kind, []byte, error) {
	var head [HeadSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("read control frame: %d bytes are more than %d", n, MaxFrame)
	}
	b, err := readPayload(r, buf, int(n))
	if err != nil {
		return 0, nil, fmt.Errorf("read control frame: %w", err)
	}
	return Kind(head[0]), b, nil
}

func readPayload(r io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 64 << 10
	if n <= len(buf) {
		buf = buf[:n]
	} else {
		buf = make([]byte, min(n, step))
	}
	for have := 0; ; {
		m, err := io.ReadFull(r, buf[have:])
		have += m
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if have == n {
			return buf, nil
		}
		buf = append(buf, make([]byte, min(n-have, have))...)
	}
}

// ReadJSON reads one frame that must be of this kind into v.
func ReadJSON(r io.Reader, kind Kind, v any) error {
	got, b, err := ReadFrame(r, nil)
	if err != nil {
		return err
	}
	if got != kind {
		return fmt.Errorf("read control frame: kind %d where %d was due", got, kind)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read control frame: %w", err)
	}
	return nil
}
