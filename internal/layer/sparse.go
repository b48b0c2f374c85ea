package layer

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// archive/tar reads sparse files but can't write them, so their headers are written here, in GNU's PAX format
// 1.0 (GNU tar manual, "PAX Format, Version 1.0"): the map of data ranges stands before the data.

// dataRange is a stretch of a file that is not a hole.
type dataRange struct{ offset, length int64 }

// dataRanges asks the file system where data is (lseek(2), SEEK_DATA). nil if it can't say.
func dataRanges(fd int, size int64) []dataRange {
	ranges := []dataRange{}
	for at := int64(0); at < size; {
		begin, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return nil
		}
		end, err := unix.Seek(fd, begin, unix.SEEK_HOLE)
		if err != nil {
			return nil
		}
		begin, end = min(begin, size), min(end, size)
		if end > begin {
			ranges = append(ranges, dataRange{begin, end - begin})
		}
		at = max(end, at+1)
	}
	return ranges
}

// maxRanges keeps the map within what archive/tar's reader takes (1 MiB).
const maxRanges = 20000

func isSparse(ranges []dataRange, size int64) bool {
	if ranges == nil || len(ranges) > maxRanges {
		return false
	}
	return len(ranges) != 1 || ranges[0].length < size
}

// sparse writes header, map and data of a file with holes.
func (t *treeWriter) sparse(f *os.File, h *tar.Header, data []dataRange) error {
	realSize := h.Size
	if n := len(data); n == 0 || data[n-1].offset+data[n-1].length < realSize {
		data = append(data, dataRange{realSize, 0}) // as GNU tar ends a file with a hole
	}
	table := sparseMap(data)
	stored := int64(len(table))
	for _, d := range data {
		stored += d.length
	}
	dir, base := path.Split(h.Name)
	records := map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": h.Name, "GNU.sparse.realsize": strconv.FormatInt(realSize, 10),
		"path": path.Join(dir, "GNUSparseFile.0", base), "size": strconv.FormatInt(stored, 10),
		"uid": strconv.Itoa(h.Uid), "gid": strconv.Itoa(h.Gid), "mtime": paxTime(h),
	}
	for k, v := range h.PAXRecords {
		records[k] = v
	}
	if err := t.tar.Flush(); err != nil {
		return err
	}
	body := paxBody(records)
	if err := writeAll(t.raw, rawHeader("PaxHeaders.0", 'x', 0o644, 0, int64(len(body))), pad(body)); err != nil {
		return err
	}
	if err := writeAll(t.raw, rawHeader("GNUSparseFile.0", '0', h.Mode, h.ModTime.Unix(), stored), table); err != nil {
		return err
	}
	for _, d := range data {
		if err := t.copy(t.raw, f, d.offset, d.length); err != nil {
			return err
		}
	}
	return writeAll(t.raw, make([]byte, -stored&511))
}

// sparseMap is the number of ranges and then offset and length of each, in decimal, padded to a block.
func sparseMap(data []dataRange) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", len(data))
	for _, d := range data {
		fmt.Fprintf(&b, "%d\n%d\n", d.offset, d.length)
	}
	return pad([]byte(b.String()))
}

// paxBody writes records as pax(1) wants them: "length key=value\n", the length counting itself.
func paxBody(records map[string]string) []byte {
	keys := make([]string, 0, len(records))
	for k := range records {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b strings.Builder
	for _, k := range keys {
		rest := len(k) + len(records[k]) + len(" =\n")
		n := rest + len(strconv.Itoa(rest))
		if rest+len(strconv.Itoa(n)) != n {
			n = rest + len(strconv.Itoa(n))
		}
		fmt.Fprintf(&b, "%d %s=%s\n", n, k, records[k])
	}
	return []byte(b.String())
}

func paxTime(h *tar.Header) string {
	sec, nsec := h.ModTime.Unix(), h.ModTime.Nanosecond()
	if sec < 0 && nsec > 0 { // -1.5 is sec -2, nsec 500,000,000
		return fmt.Sprintf("-%d.%09d", -(sec + 1), 1e9-nsec)
	}
	return fmt.Sprintf("%d.%09d", sec, nsec)
}

// rawHeader is a ustar header (POSIX.1-2017 pax, "ustar Interchange Format"). What doesn't fit its fields stands
// in the extended header before it and is left zero here.
func rawHeader(name string, kind byte, mode, sec, size int64) []byte {
	b := make([]byte, 512)
	copy(b[0:100], name)
	octal := func(field []byte, v int64) {
		if digits := strconv.FormatInt(v, 8); v >= 0 && len(digits) < len(field) {
			copy(field, strings.Repeat("0", len(field)-1-len(digits))+digits)
			return
		}
		copy(field, strings.Repeat("0", len(field)-1))
	}
	octal(b[100:108], mode)
	octal(b[108:116], 0)
	octal(b[116:124], 0)
	octal(b[124:136], size)
	octal(b[136:148], sec)
	b[156] = kind
	copy(b[257:265], "ustar\x0000")
	copy(b[148:156], "        ")
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[148:155], sum)
	b[154], b[155] = 0, ' '
	return b
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&511)...) }

func writeAll(w io.Writer, parts ...[]byte) error {
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}
