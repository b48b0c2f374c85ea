package rows

import (
	"strings"
	"time"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/image"
)

// Image is one line of `gourd images`: an image under one of its names. Fields stand in the alphabet's order.
type Image struct {
	Containers, CreatedAt, CreatedSince, Digest, ID, Repository, SharedSize, Size, Tag, UniqueSize string
}

// Images prints them.
var Images = format.List[Image]{
	Columns: `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`, Quiet: "{{.ID}}",
	Header: Image{
		Containers: "CONTAINERS", CreatedAt: "CREATED AT", CreatedSince: "CREATED", Digest: "DIGEST", ID: "IMAGE ID", Repository: "REPOSITORY",
		SharedSize: "SHARED SIZE", Size: "SIZE", Tag: "TAG", UniqueSize: "UNIQUE SIZE",
	},
}

// ImageOptions say what of an image is shown.
type ImageOptions struct {
	Digests bool // a line for each digest of a name
	Long    bool // nothing is shortened
}

// none stands for a name, tag or digest that isn't there.
const none = "<none>"

// NewImages gives a line for each name of an image; with Digests one for each of a name's digests.
func NewImages(sum *image.Summary, o ImageOptions, now time.Time) []Image {
	row := Image{
		Containers: "N/A", CreatedAt: format.Timestamp(sum.Created), CreatedSince: format.Ago(sum.Created, now), Digest: none, ID: string(sum.ID),
		Repository: none, SharedSize: "N/A", Size: format.Size(sum.Size), Tag: none, UniqueSize: "N/A",
	}
	if !o.Long {
		row.ID = format.ShortID(row.ID)
	}
	digests := map[string][]string{}
	for _, d := range sum.RepoDigests {
		repository, digest, _ := strings.Cut(d, "@")
		digests[repository] = append(digests[repository], digest)
	}
	var rows []Image
	for _, tag := range sum.RepoTags {
		i := strings.LastIndexByte(tag, ':')
		row.Repository, row.Tag = tag[:i], tag[i+1:]
		rows = append(rows, withDigests(row, digests[row.Repository], o.Digests)...)
		delete(digests, row.Repository)
	}
	row.Tag = none
	for _, d := range sum.RepoDigests {
		row.Repository, _, _ = strings.Cut(d, "@")
		if list := digests[row.Repository]; list != nil {
			rows = append(rows, withDigests(row, list, o.Digests)...)
			delete(digests, row.Repository)
		}
	}
	if len(rows) == 0 {
		row.Repository = none
		return []Image{row}
	}
	return rows
}

func withDigests(row Image, digests []string, show bool) []Image {
	if !show || len(digests) == 0 {
		return []Image{row}
	}
	rows := make([]Image, len(digests))
	for i, d := range digests {
		rows[i] = row
		rows[i].Digest = d
	}
	return rows
}
