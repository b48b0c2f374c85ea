package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"
)

// Top lists a container's processes; psArgs as docker's ("-ef", "aux", "-o pid,comm"). Nothing from the
// container's image or of the host's is run for it: the kernel's own files are read (CVE-2022-1227).
// Errors: ErrNotRunning; ErrInvalid for arguments that aren't understood.
func (e *Engine) Top(_ context.Context, ref string, psArgs []string) (*Top, error) {
	columns, err := psColumns(psArgs)
	if err != nil {
		return nil, err
	}
	r, err := e.running("list processes of container", ref)
	if err != nil {
		return nil, err
	}
	g, err := cgroup.Load(r.State.Cgroup, r.State.Systemd)
	if err != nil {
		return nil, err
	}
	pids, err := g.Pids(true)
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	t := &Top{}
	for _, c := range columns {
		t.Titles = append(t.Titles, c.title)
	}
	now := machineTimes()
	for _, pid := range pids {
		p, err := readProcess(pid, r.IDs, now)
		if err != nil {
			continue // it has ended
		}
		var row []string
		for _, c := range columns {
			row = append(row, c.value(p))
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// column is one of ps's.
type column struct {
	name, title string
	value       func(p *process) string
}

// psKnown are the columns by the names that `ps -o` takes (ps(1)).
var psKnown = []column{
	{"user", "USER", func(p *process) string { return p.user }},
	{"uid", "UID", func(p *process) string { return strconv.Itoa(p.uid) }},
	{"pid", "PID", func(p *process) string { return strconv.Itoa(p.pid) }},
	{"ppid", "PPID", func(p *process) string { return strconv.Itoa(p.ppid) }},
	{"pgid", "PGID", func(p *process) string { return strconv.Itoa(p.pgid) }},
	{"sid", "SID", func(p *process) string { return strconv.Itoa(p.sid) }},
	{"hpid", "PID(IN)", func(p *process) string { return strconv.Itoa(p.inner) }},
	{"c", "C", func(p *process) string { return strconv.Itoa(int(p.cpuPercent())) }},
	{"%cpu", "%CPU", func(p *process) string { return fmt.Sprintf("%.1f", p.cpuPercent()) }},
	{"%mem", "%MEM", func(p *process) string { return fmt.Sprintf("%.1f", p.memPercent()) }},
	{"vsz", "VSZ", func(p *process) string { return strconv.FormatInt(p.vsz>>10, 10) }},
	{"rss", "RSS", func(p *process) string { return strconv.FormatInt(p.rss>>10, 10) }},
	{"tty", "TTY", func(p *process) string { return p.tty() }},
	{"stat", "STAT", func(p *process) string { return p.state }},
	{"stime", "STIME", func(p *process) string { return p.started() }},
	{"start", "START", func(p *process) string { return p.started() }},
	{"etime", "ELAPSED", func(p *process) string { return clock(p.now.sub(p.begin), false) }},
	{"time", "TIME", func(p *process) string { return clock(p.cpu, true) }},
	{"ni", "NI", func(p *process) string { return strconv.Itoa(p.nice) }},
	{"nlwp", "NLWP", func(p *process) string { return strconv.Itoa(p.threads) }},
	{"comm", "COMMAND", func(p *process) string { return p.comm }},
	{"args", "COMMAND", func(p *process) string { return p.args }},
}

// psAliases are other names of the same columns.
var psAliases = map[string]string{
	"cmd": "args", "command": "args", "ucmd": "comm", "euser": "user", "euid": "uid", "pcpu": "%cpu", "pmem": "%mem", "tname": "tty",
	"tt": "tty", "s": "stat", "state": "stat", "cputime": "time", "nice": "ni", "vsize": "vsz", "rssize": "rss", "lstart": "start",
	"start_time": "stime", "thcount": "nlwp", "sess": "sid", "pgrp": "pgid",
}

// psColumns chooses the columns for ps arguments.
func psColumns(args []string) ([]column, error) {
	full := []string{"user=UID", "pid", "ppid", "c", "stime", "tty", "time", "args=CMD"}
	joined := strings.Join(args, " ")
	switch compact := strings.ReplaceAll(strings.ReplaceAll(joined, "-", ""), " ", ""); {
	case compact == "" || compact == "ef" || compact == "f" || compact == "eF":
		return chooseColumns(full)
	case compact == "aux" || compact == "auxw" || compact == "auxww" || compact == "u":
		return chooseColumns([]string{"user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "args"})
	case compact == "e" || compact == "A" || compact == "a":
		return chooseColumns([]string{"pid", "tty", "time", "comm=CMD"})
	case compact == "el" || compact == "l":
		return chooseColumns([]string{"stat=S", "uid", "pid", "ppid", "c", "ni", "tty", "time", "comm=CMD"})
	}
	for i, a := range args {
		if a = strings.TrimPrefix(a, "-"); strings.HasPrefix(a, "e") || strings.HasPrefix(a, "a") {
			a = a[1:]
		}
		if list, isO := strings.CutPrefix(a, "o"); isO {
			return chooseColumns(strings.FieldsFunc(list+","+strings.Join(args[i+1:], ","), func(c rune) bool { return c == ',' || c == ' ' }))
		}
	}
	return nil, invalid("list processes", joined, "these ps arguments are not understood", "-ef, aux, -e, -l or -o LIST")
}

// chooseColumns finds columns by name; NAME=TITLE gives another title.
func chooseColumns(names []string) ([]column, error) {
	var out []column
	for _, given := range names {
		if strings.HasPrefix(given, "-") {
			continue // further options after -o LIST
		}
		name, title, titled := strings.Cut(given, "=")
		if alias := psAliases[name]; alias != "" {
			name = alias
		}
		i := slices.IndexFunc(psKnown, func(c column) bool { return c.name == name })
		if i < 0 {
			var known []string
			for _, c := range psKnown {
				known = append(known, c.name)
			}
			return nil, invalid("list processes", given, "there is no such column", strings.Join(known, " "))
		}
		c := psKnown[i]
		if titled {
			c.title = title
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, invalid("list processes", "-o", "the list of columns is empty", "for example -o pid,args")
	}
	return out, nil
}

// process is what /proc says of one.
type process struct {
	pid, ppid, pgid, sid, inner int // inner: its number in its own pid namespace
	uid, nice, threads          int
	user, state, comm, args     string
	ttyNumber                   int
	cpu, begin                  time.Duration // begin: since boot
	vsz, rss                    int64
	now                         times
}

// times are what process times are measured against.
type times struct {
	uptime time.Duration
	clock  time.Time
	memory int64
}

func (t times) sub(begin time.Duration) time.Duration { return t.uptime - begin }

// tick is the unit of /proc/PID/stat's times: USER_HZ is 100 on all architectures gourd runs on (proc(5)).
const tick = time.Second / 100

func machineTimes() times {
	t := times{clock: time.Now(), memory: 1}
	seconds, _, _ := strings.Cut(readTrimmed("/proc/uptime"), " ")
	if f, err := strconv.ParseFloat(seconds, 64); err == nil {
		t.uptime = time.Duration(f * float64(time.Second))
	}
	if total := procField(readTrimmed("/proc/meminfo"), "MemTotal:"); total != "" {
		if n, err := strconv.ParseInt(strings.Fields(total)[0], 10, 64); err == nil {
			t.memory = n << 10
		}
	}
	return t
}

// readProcess reads /proc/PID/stat, status and cmdline.
func readProcess(pid int, ids *container.IDRange, now times) (*process, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return nil, err
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid, now: now}
	if err := p.parseStat(stat); err != nil {
		return nil, err
	}
	p.parseStatus(string(status), ids)
	cmdline, _ := os.ReadFile(dir + "cmdline") // empty for a zombie
	p.args = printable(string(bytes.ReplaceAll(bytes.TrimRight(cmdline, "\x00"), []byte{0}, []byte{' '})))
	if p.args == "" {
		p.args = "[" + p.comm + "]"
	}
	return p, nil
}

// parseStat reads proc_pid_stat(5). The name in field 2 may hold anything, so the rest is counted from
// the last parenthesis.
func (p *process) parseStat(b []byte) error {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return errText("no command name")
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 22 {
		return errText("too few fields")
	}
	number := func(field int) int64 { // numbered as in the manual page
		n, _ := strconv.ParseInt(f[field-3], 10, 64)
		return n
	}
	p.comm, p.state = printable(string(b[open+1:end])), f[0]
	p.ppid, p.pgid, p.sid, p.ttyNumber = int(number(4)), int(number(5)), int(number(6)), int(number(7))
	p.cpu = time.Duration(number(14)+number(15)) * tick
	p.nice, p.threads, p.begin = int(number(19)), int(number(20)), time.Duration(number(22))*tick
	p.vsz, p.rss = number(23), number(24)*int64(os.Getpagesize())
	return nil
}

// parseStatus reads the owner and the inner number. An owner in the container's range is shown as the
// container sees it.
func (p *process) parseStatus(status string, ids *container.IDRange) {
	if f := strings.Fields(procField(status, "Uid:")); len(f) > 1 {
		p.uid, _ = strconv.Atoi(f[1])
	}
	if ids != nil {
		for _, m := range ids.MapUIDs() {
			if host := uint32(p.uid); host >= m.HostID && host-m.HostID < m.Size {
				p.uid = int(m.ContainerID + host - m.HostID)
				break
			}
		}
	}
	p.user = strconv.Itoa(p.uid)
	if p.uid == 0 {
		p.user = "root"
	}
	if f := strings.Fields(procField(status, "NSpid:")); len(f) > 0 {
		p.inner, _ = strconv.Atoi(f[len(f)-1])
	}
}

// procField finds a line "Name:\tvalue".
func procField(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// printable takes out what could write to the caller's terminal: a process names itself as it likes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func (p *process) cpuPercent() float64 {
	life := p.now.sub(p.begin)
	if life <= 0 {
		return 0
	}
	return 100 * float64(p.cpu) / float64(life)
}

func (p *process) memPercent() float64 { return 100 * float64(p.rss) / float64(p.now.memory) }

// tty names the terminal; unix98 pseudo-terminals have the majors 136 to 143 (proc_pid_stat(5): field 7).
func (p *process) tty() string {
	major, minor := p.ttyNumber>>8&0xfff, p.ttyNumber&0xff|p.ttyNumber>>12&0xfff00
	if major < 136 || major > 143 {
		return "?"
	}
	return "pts/" + strconv.Itoa(minor+(major-136)<<8)
}

// started is a time of the day, or a date for what began before today.
func (p *process) started() string {
	begin := p.now.clock.Add(-p.now.sub(p.begin))
	if begin.YearDay() == p.now.clock.YearDay() && begin.Year() == p.now.clock.Year() {
		return begin.Format("15:04")
	}
	return begin.Format("Jan02")
}

// clock shows a duration as ps does: [[DD-]HH:]MM:SS.
func clock(d time.Duration, hours bool) string {
	s := int64(max(d, 0) / time.Second)
	days, h, m := s/86400, s/3600%24, s/60%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d-%02d:%02d:%02d", days, h, m, s%60)
	case hours || h > 0:
		return fmt.Sprintf("%02d:%02d:%02d", h, m, s%60)
	}
	return fmt.Sprintf("%02d:%02d", m, s%60)
}
