package rows

import (
	"strconv"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/image"
)

// HistoryOptions say how a line of history is shown.
type HistoryOptions struct {
	Human bool // sizes and times for people
	Long  bool // nothing is shortened
}

// History is one line of `gourd history`. Fields stand in the alphabet's order.
type History struct {
	Comment, CreatedAt, CreatedBy, CreatedSince, ID, Size string
}

// Histories prints them.
var Histories = format.List[History]{
	Columns: `{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`, Quiet: "{{.ID}}",
	Header: History{Comment: "COMMENT", CreatedAt: "CREATED AT", CreatedBy: "CREATED BY", CreatedSince: "CREATED", ID: "IMAGE", Size: "SIZE"},
}

// NewHistory makes a line.
func NewHistory(l *image.HistoryLine, o HistoryOptions, now time.Time) History {
	var created time.Time
	if l.Created != nil {
		created = *l.Created
	}
	row := History{
		Comment: l.Comment, CreatedAt: created.Local().Format(time.RFC3339), CreatedBy: strings.ReplaceAll(l.CreatedBy, "\t", " "),
		CreatedSince: format.Ago(created, now), ID: string(l.ID), Size: format.Size(l.Size),
	}
	// Build tools put times of 1970 into images that must come out the same; "56 years ago" says nothing.
	if created.Year() < 2000 {
		row.CreatedSince = "N/A"
	}
	if row.ID == "" {
		row.ID = "<missing>"
	}
	if !o.Long {
		row.CreatedBy = format.Ellipsis(row.CreatedBy, 45)
		if l.ID != "" {
			row.ID = format.ShortID(row.ID)
		}
	}
	if !o.Human {
		row.CreatedSince, row.Size = row.CreatedAt, strconv.FormatInt(l.Size, 10)
	}
	return row
}
