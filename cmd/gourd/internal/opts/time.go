package opts

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// timeLayouts are docker's forms of a time, most exact first; those without a zone are local.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02T15Z07:00", "2006-01-02T15", "2006-01-02Z07:00", "2006-01-02",
}

// Time reads a --since or --until: a time, seconds since 1970 with an optional fraction, or a duration
// ("42m") that is counted back from now.
func Time(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, ok := unixTime(s); ok {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: give 2006-01-02T15:04:05Z, seconds since 1970, or a duration like 42m", s)
}

// unixTime reads "1136073845.000000001" exactly; a float would lose the nanoseconds.
func unixTime(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(seconds, nanos), true
}

// Duration reads what time.ParseDuration does, and days: "+30d", "-1d12h".
func Duration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration: give one like 90s, 12h or 30d", s)
	rest, negative := strings.TrimPrefix(s, "+"), false
	if rest, negative = strings.CutPrefix(rest, "-"); negative && strings.HasPrefix(s, "+") {
		return 0, bad
	}
	var total time.Duration
	if days, after, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n < 0 || n > math.MaxInt64/int64(24*time.Hour) {
			return 0, bad
		}
		total, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			rest = "0s"
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || total > math.MaxInt64-d {
		return 0, bad
	}
	if total += d; negative {
		total = -total
	}
	return total, nil
}
