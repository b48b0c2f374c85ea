package limits

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Numbers is a set of small numbers as cpuset files spell it: "0-2,7".
type Numbers [][2]int // first and last of each range

// maxNumber is more than any CPU or memory node has (CONFIG_NR_CPUS is at most 8192).
const maxNumber = 1 << 16

// ParseNumbers reads a list of CPUs or memory nodes.
func ParseNumbers(s string) (Numbers, error) {
	var l Numbers
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		if part == "" {
			continue // the kernel takes "0,,1" too
		}
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", from)
		}
		last := first
		if isRange {
			if last, err = strconv.ParseUint(to, 10, 31); err != nil {
				return nil, fmt.Errorf("%q is not a number", to)
			}
		}
		if last < first || last >= maxNumber {
			return nil, fmt.Errorf("%q is not a range", part)
		}
		l = append(l, [2]int{int(first), int(last)})
	}
	if len(l) == 0 && strings.TrimSpace(s) != "" {
		return nil, errors.New("the list is empty")
	}
	return l, nil
}

// Set gives the numbers one by one.
func (l Numbers) Set() map[int]bool {
	m := map[int]bool{}
	for _, r := range l {
		for n := r[0]; n <= r[1]; n++ {
			m[n] = true
		}
	}
	return m
}

// Count says how many there are.
func (l Numbers) Count() int { return len(l.Set()) }

// Contains says whether every number of the other list is in this one.
func (l Numbers) Contains(other Numbers) bool {
	have := l.Set()
	for n := range other.Set() {
		if !have[n] {
			return false
		}
	}
	return true
}
