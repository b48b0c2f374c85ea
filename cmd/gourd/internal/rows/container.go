package rows

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/container"
	"gourd/internal/engine"
)

// Container is one line of `gourd ps`. Fields stand in the alphabet's order, which is that of docker's JSON.
type Container struct {
	Command, CreatedAt, HealthStatus, ID, Image, Labels, LocalVolumes, Mounts, Names, Networks string
	Platform                                                                                   *platformCell
	Ports, RunningFor, Size, State, Status                                                     string

	labels map[string]string
	header bool
}

// Label is `{{.Label "name"}}`.
func (r Container) Label(name string) string {
	if r.header {
		return name
	}
	return r.labels[name]
}

// platformCell is the image's platform, an object in JSON and a word in a table.
type platformCell struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
	heading      string
}

func (p *platformCell) String() string {
	if p == nil {
		return ""
	}
	if p.heading != "" {
		return p.heading
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// psColumns is the default table.
const psColumns = `{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}`

// Containers prints them.
var Containers = format.List[Container]{
	Columns: psColumns, Quiet: "{{.ID}}",
	Header: Container{
		Command: "COMMAND", CreatedAt: "CREATED AT", HealthStatus: "HEALTH STATUS", ID: "CONTAINER ID", Image: "IMAGE", Labels: "LABELS",
		LocalVolumes: "LOCAL VOLUMES", Mounts: "MOUNTS", Names: "NAMES", Networks: "NETWORKS", Platform: &platformCell{heading: "PLATFORM"},
		Ports: "PORTS", RunningFor: "CREATED", Size: "SIZE", State: "STATE", Status: "STATUS", header: true,
	},
}

// NewContainer makes a line; short shortens ids, commands and paths.
func NewContainer(c *engine.Listed, now time.Time, short bool) Container {
	command := strings.Join(c.Command, " ")
	r := Container{
		CreatedAt: format.Timestamp(c.Created), ID: c.ID, Image: imageCell(c.Record), Labels: labelsCell(c.Labels), labels: c.Labels,
		Mounts: mountsCell(c.Mounts, short), Names: c.Name, Networks: networkCell(c.Network.Mode), Platform: newPlatformCell(c.Platform),
		Ports: portsCell(c.Network.Exposed, c.State.Status), RunningFor: format.Ago(c.Created, now), Size: sizeCell(c.SizeRW, c.SizeRootFS),
		State: string(c.State.Status), Status: statusCell(&c.State, now), LocalVolumes: strconv.Itoa(countVolumes(c.Mounts)),
	}
	if short {
		r.ID, command = format.ShortID(c.ID), format.Ellipsis(command, 20)
	}
	r.Command = strconv.Quote(command)
	return r
}

// imageCell is the image as it was named, or the directory the container runs on.
func imageCell(r *container.Record) string {
	if r.Rootfs != "" {
		return r.Rootfs
	}
	if r.Image == r.ImageID || r.Image == "" {
		return format.ShortID(r.ImageID)
	}
	return r.Image
}

func labelsCell(labels map[string]string) string {
	list := make([]string, 0, len(labels))
	for name, value := range labels {
		list = append(list, name+"="+value)
	}
	sort.Strings(list)
	return strings.Join(list, ",")
}

func mountsCell(mounts []container.Mount, short bool) string {
	var list []string
	for _, m := range mounts {
		name := m.Source
		if m.Name != "" {
			name = m.Name
		}
		if name == "" {
			continue
		}
		if short {
			name = format.Ellipsis(name, 15)
		}
		list = append(list, name)
	}
	return strings.Join(list, ",")
}

func countVolumes(mounts []container.Mount) (n int) {
	for _, m := range mounts {
		if m.Type == "volume" {
			n++
		}
	}
	return n
}

// networkCell is the mode, "bridge" where nothing was said.
func networkCell(mode string) string {
	if mode == "" || mode == "default" {
		return "bridge"
	}
	return mode
}

func newPlatformCell(platform string) *platformCell {
	parts := strings.SplitN(platform+"//", "/", 4)
	if parts[0] == "" {
		return nil
	}
	return &platformCell{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

// portsCell lists exposed ports while the container runs, as docker does.
func portsCell(exposed []string, s container.Status) string {
	if s != container.Running && s != container.Paused {
		return ""
	}
	return strings.Join(exposed, ", ")
}

func sizeCell(rw, rootfs int64) string {
	if rw < 0 {
		return "0B"
	}
	if rootfs <= 0 {
		return format.Size(rw)
	}
	return fmt.Sprintf("%s (virtual %s)", format.Size(rw), format.Size(rootfs))
}

// statusCell is the state in words: "Up 5 minutes", "Exited (0) 2 hours ago".
func statusCell(s *container.State, now time.Time) string {
	switch s.Status {
	case container.Running:
		return "Up " + format.Since(s.Started, now)
	case container.Paused:
		return "Up " + format.Since(s.Started, now) + " (Paused)"
	case container.Restarting:
		return fmt.Sprintf("Restarting (%d) %s", s.ExitCode, format.Ago(s.Finished, now))
	case container.Exited:
		return fmt.Sprintf("Exited (%d) %s", s.ExitCode, format.Ago(s.Finished, now))
	case container.Removing:
		return "Removal In Progress"
	case container.Dead:
		return "Dead"
	default:
		return "Created"
	}
}
