package format

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// Ago is how long ago t was: "5 minutes ago".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return Since(t, now) + " ago"
}

// Since is the time from t to now in words: "About an hour".
func Since(t, now time.Time) string { return units.HumanDuration(now.Sub(t)) }

// Size is a size in powers of 1000 with three digits: "77.9MB".
func Size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// ShortID is an id as lists show it: twelve digits, without "sha256:".
func ShortID(id string) string {
	_, digits, found := strings.Cut(id, ":")
	if !found {
		digits = id
	}
	return digits[:min(12, len(digits))]
}

// Ellipsis cuts s to n characters, the last of which then is "…".
func Ellipsis(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n <= 1 {
		return string([]rune(s)[:max(n, 0)])
	}
	return string([]rune(s)[:n-1]) + "…"
}

// Timestamp is t as docker's CreatedAt columns show it.
func Timestamp(t time.Time) string {
	return t.Local().Truncate(time.Second).Format("2006-01-02 15:04:05 -0700 MST")
}

// Fixed is a log line's time: RFC 3339 with all nine places, so that columns align and text sorts.
func Fixed(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// Plural is "1 thing", "2 things".
func Plural(n int, thing string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
