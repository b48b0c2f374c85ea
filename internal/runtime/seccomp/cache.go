package seccomp

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// version is part of every cache key: raise it with each change of what the compiler makes.
const version = "gourd-seccomp-2"

const (
	cacheSuffix = ".bpf"
	maxEntry    = 1 << 20 // bytes that one entry may have
	maxEntries  = 256     // files that the directory may have; then the older half goes
)

// cache is where one profile's program is kept. An entry is one file:
//
//	SHA-256 of all that follows
//	uint32 length of the header, header (JSON)
//	instructions, as the kernel takes them
type cache struct {
	dir, name string
}

// header is the part of an entry that isn't instructions.
type header struct {
	Flags    uint     `json:"flags"`
	Listener bool     `json:"listener"`
	Warnings []string `json:"warnings,omitempty"`
	LeftOut  []string `json:"left_out,omitempty"`
}

func openCache(dir string, raw []byte) *cache {
	h := sha256.New()
	h.Write([]byte(version + "\x00" + runtime.GOARCH + "\x00"))
	h.Write(raw)
	return &cache{dir: dir, name: hex.EncodeToString(h.Sum(nil)) + cacheSuffix}
}

// load gives the kept program, nil if there is none that can be trusted.
func (c *cache) load() *Program {
	f, err := os.OpenFile(filepath.Join(c.dir, c.name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || !private(&st) || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxEntry {
		return nil
	}
	b := make([]byte, st.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil
	}
	return decode(b)
}

// private: it is ours and nobody else can change it. A filter from elsewhere would open the container.
func private(st *unix.Stat_t) bool {
	return int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0
}

// store keeps a program, complete or not at all. What fails is left undone: the next start compiles again.
func (c *cache) store(p *Program) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(c.dir, &st); err != nil || !private(&st) {
		return
	}
	f, err := os.CreateTemp(c.dir, "new-*") // mode 0600
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	_, err = f.Write(encode(p))
	if cerr := f.Close(); err != nil || cerr != nil {
		return
	}
	if os.Rename(f.Name(), filepath.Join(c.dir, c.name)) == nil {
		c.prune()
	}
}

// prune keeps the directory small: profiles that vary from container to container would fill it.
func (c *cache) prune() {
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) <= maxEntries {
		return
	}
	type aged struct {
		name string
		at   int64
	}
	var files []aged
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), cacheSuffix) && !strings.HasPrefix(e.Name(), "new-") {
			continue
		}
		if info, err := e.Info(); err == nil {
			files = append(files, aged{e.Name(), info.ModTime().UnixNano()})
		}
	}
	sort.Slice(files, func(i, j int) bool { return files[i].at < files[j].at })
	for _, f := range files[:len(files)/2] {
		os.Remove(filepath.Join(c.dir, f.name))
	}
}

func encode(p *Program) []byte {
	head, _ := json.Marshal(header{p.Flags, p.ListenerNeeded, p.Warnings, p.LeftOut}) // these types always marshal
	var b bytes.Buffer
	b.Write(make([]byte, sha256.Size))
	binary.Write(&b, binary.NativeEndian, uint32(len(head)))
	b.Write(head)
	for _, in := range p.Filter {
		var i [8]byte
		binary.NativeEndian.PutUint16(i[:], in.Code)
		i[2], i[3] = in.Jt, in.Jf
		binary.NativeEndian.PutUint32(i[4:], in.K)
		b.Write(i[:])
	}
	out := b.Bytes()
	sum := sha256.Sum256(out[sha256.Size:])
	copy(out, sum[:])
	return out
}

// decode gives nil for anything that encode did not write whole.
func decode(b []byte) *Program {
	if len(b) < sha256.Size+4 {
		return nil
	}
	sum := sha256.Sum256(b[sha256.Size:])
	if !bytes.Equal(sum[:], b[:sha256.Size]) {
		return nil
	}
	b = b[sha256.Size:]
	length := binary.NativeEndian.Uint32(b)
	b = b[4:]
	if uint64(length) > uint64(len(b)) || (len(b)-int(length))%8 != 0 {
		return nil
	}
	var head header
	if err := json.Unmarshal(b[:length], &head); err != nil {
		return nil
	}
	b = b[length:]
	p := &Program{Flags: head.Flags, ListenerNeeded: head.Listener, Warnings: head.Warnings, LeftOut: head.LeftOut}
	if len(b) == 0 {
		return p
	}
	p.Filter = make([]unix.SockFilter, len(b)/8)
	for i := range p.Filter {
		in := b[8*i:]
		p.Filter[i] = unix.SockFilter{Code: binary.NativeEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.NativeEndian.Uint32(in[4:])}
	}
	if verify(p.Filter) != nil {
		return nil
	}
	return p
}
