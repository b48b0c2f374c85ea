package engine

import (
	"context"
	"errors"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gourd/internal/container"
)

// List gives the chosen containers, the newest first. Errors: ErrInvalid for a filter that isn't one.
func (e *Engine) List(_ context.Context, o ListOptions) ([]Listed, error) {
	all, err := e.records()
	if err != nil {
		return nil, err
	}
	keep, err := e.compileFilters(o.Filters, all)
	if err != nil {
		return nil, err
	}
	every := o.All || o.Last > 0 || len(o.Filters["status"]) > 0 || len(o.Filters["exited"]) > 0
	var list []Listed
	for _, r := range all {
		if !every && !isUp(r) || !keep.match(r) {
			continue
		}
		if o.Last > 0 && len(list) == o.Last {
			break
		}
		l := Listed{Record: r, Command: slices.Concat(r.Entrypoint, r.Cmd), SizeRW: -1, SizeRootFS: -1}
		if o.Size {
			if l.SizeRW, l.SizeRootFS, err = e.sizes(r); err != nil {
				return nil, err
			}
		}
		list = append(list, l)
	}
	return list, nil
}

// isUp is what `ps` without -a shows.
func isUp(r *container.Record) bool {
	return r.State.Status == container.Running || r.State.Status == container.Paused || r.State.Status == container.Restarting
}

// records reads all records, the newest first, with every CPU: a thousand of them are a thousand small
// files to parse.
func (e *Engine) records() ([]*container.Record, error) {
	ids, err := e.store.IDs()
	if err != nil {
		return nil, err
	}
	slots, errs := make([]*container.Record, len(ids)), make([]error, len(ids))
	workers := min(runtime.NumCPU(), len(ids)/32+1)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(ids); i += workers {
				slots[i], errs[i] = e.store.Load(ids[i])
			}
		})
	}
	group.Wait()
	list := make([]*container.Record, 0, len(ids))
	for i, r := range slots {
		switch {
		case errs[i] == nil:
			list = append(list, r)
		case !errors.Is(errs[i], container.ErrNotFound): // else it was removed meanwhile
			return nil, errs[i]
		}
	}
	slices.SortFunc(list, func(a, b *container.Record) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// filters are docker's rules: values of one key are alternatives, keys must all match; labels must all
// match too.
type filters []func(*container.Record) bool

func (f filters) match(r *container.Record) bool {
	for _, ok := range f {
		if !ok(r) {
			return false
		}
	}
	return true
}

// compileFilters checks the filters. all are the containers that before, since and ancestor refer to.
func (e *Engine) compileFilters(given map[string][]string, all []*container.Record) (filters, error) {
	var out filters
	for key, values := range given {
		if len(values) == 0 {
			continue
		}
		if key == "label" {
			for _, v := range values {
				out = append(out, hasLabel(v))
			}
			continue
		}
		var any filters
		for _, v := range values {
			f, err := e.filter(key, v, all)
			if err != nil {
				return nil, err
			}
			any = append(any, f)
		}
		out = append(out, func(r *container.Record) bool {
			return slices.ContainsFunc(any, func(f func(*container.Record) bool) bool { return f(r) })
		})
	}
	return out, nil
}

// filter makes one condition.
func (e *Engine) filter(key, value string, all []*container.Record) (func(*container.Record) bool, error) {
	refuse := func(why string) error { return invalid("use filter", key+"="+value, why, "") }
	switch key {
	case "id":
		return func(r *container.Record) bool { return strings.HasPrefix(r.ID, value) }, nil
	case "name":
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, refuse(err.Error())
		}
		return func(r *container.Record) bool { return re.MatchString(r.Name) || re.MatchString("/"+r.Name) }, nil
	case "status":
		if !slices.Contains(statuses, container.Status(value)) {
			return nil, refuse("there is no such status")
		}
		return func(r *container.Record) bool { return r.State.Status == container.Status(value) }, nil
	case "exited":
		code, err := strconv.Atoi(value)
		if err != nil {
			return nil, refuse("it is not an exit code")
		}
		return func(r *container.Record) bool {
			return r.State.ExitCode == code && (r.State.Status == container.Exited || r.State.Status == container.Dead)
		}, nil
	case "before", "since":
		return e.relative(key, value)
	case "ancestor":
		return e.ancestor(value)
	case "network":
		return func(r *container.Record) bool { return r.Network.Mode == value }, nil
	case "volume":
		return func(r *container.Record) bool { return mounts(r, value) }, nil
	case "health":
		return func(*container.Record) bool { return value == "none" }, nil
	case "publish", "expose":
		return portFilter(key, value)
	case "is-task":
		task, err := strconv.ParseBool(value)
		if err != nil {
			return nil, refuse("it is neither true nor false")
		}
		return func(*container.Record) bool { return !task }, nil
	}
	return nil, refuse("there is no such filter")
}

var statuses = []container.Status{
	container.Created, container.Running, container.Paused, container.Restarting, container.Removing, container.Exited, container.Dead,
}

func hasLabel(want string) func(*container.Record) bool {
	name, value, hasValue := strings.Cut(want, "=")
	return func(r *container.Record) bool {
		have, ok := r.Labels[name]
		return ok && (!hasValue || have == value)
	}
}

// relative is "before" or "since" another container.
func (e *Engine) relative(key, ref string) (func(*container.Record) bool, error) {
	other, err := e.load(ref)
	if err != nil {
		return nil, err
	}
	return func(r *container.Record) bool {
		if key == "before" {
			return r.Created.Before(other.Created)
		}
		return r.Created.After(other.Created)
	}, nil
}

// mounts says whether a container has a volume of this name, or something mounted from or at this path.
func mounts(r *container.Record, value string) bool {
	return slices.ContainsFunc(r.Mounts, func(m container.Mount) bool {
		return m.Name == value || m.Destination == value || m.Source == value
	})
}

// portFilter is "expose", or "publish" while nothing is published yet.
func portFilter(key, value string) (func(*container.Record) bool, error) {
	ports, err := parseExpose(value)
	if err != nil {
		return nil, container.Invalid("use filter", key+"="+value, err, "")
	}
	return func(r *container.Record) bool {
		return key == "expose" && slices.ContainsFunc(ports, func(p string) bool { return slices.Contains(r.Network.Exposed, p) })
	}, nil
}
