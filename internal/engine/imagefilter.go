package engine

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"gourd/internal/image"
)

// ListImages gives the images that match docker's filters (dangling, label, label!, before, since, until
// as RFC 3339, reference), the newest first; of an image found by reference only the names that match.
// Errors: ErrInvalid for a filter that isn't one.
func (e *Engine) ListImages(ctx context.Context, given map[string][]string) ([]*image.Summary, error) {
	list, err := e.Images(ctx)
	if err != nil || len(given) == 0 {
		return list, err
	}
	for key, values := range given {
		for _, value := range values {
			keep, err := e.imageFilter(ctx, key, value, values)
			if err != nil {
				return nil, err
			}
			list = slices.DeleteFunc(list, func(s *image.Summary) bool { return !keep(s) })
		}
	}
	return list, nil
}

// imageFilter makes one condition; all are the values given for its key.
func (e *Engine) imageFilter(ctx context.Context, key, value string, all []string) (func(*image.Summary) bool, error) {
	refuse := func(why string) error { return invalid("use filter", key+"="+value, why, "") }
	switch key {
	case "dangling":
		want, err := strconv.ParseBool(value)
		if err != nil {
			return nil, refuse("it is neither true nor false")
		}
		return func(s *image.Summary) bool { return s.Dangling() == want }, nil
	case "label", "label!":
		return e.imageLabel(ctx, value, key == "label"), nil
	case "before", "since":
		other, err := e.Image(ctx, value)
		if err != nil {
			return nil, err
		}
		return func(s *image.Summary) bool {
			if key == "before" {
				return s.Created.Before(other.Created)
			}
			return s.Created.After(other.Created)
		}, nil
	case "until":
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return nil, refuse("it is no time")
		}
		return func(s *image.Summary) bool { return s.Created.Before(t) }, nil
	case "reference":
		for _, pattern := range all {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, refuse(err.Error())
			}
		}
		return func(s *image.Summary) bool { return keepNames(s, all) }, nil
	}
	return nil, refuse("there is no such filter")
}

// imageLabel reads each image's configuration: labels are not in the index.
func (e *Engine) imageLabel(ctx context.Context, want string, has bool) func(*image.Summary) bool {
	name, value, hasValue := strings.Cut(want, "=")
	return func(s *image.Summary) bool {
		img, err := e.Image(ctx, string(s.ID))
		if err != nil {
			return false
		}
		have, ok := img.Config.Config.Labels[name]
		return (ok && (!hasValue || have == value)) == has
	}
}

// keepNames keeps those of an image's names that match one of the patterns (path.Match), with their tag
// or without, and says whether any did.
func keepNames(s *image.Summary, patterns []string) bool {
	miss := func(name, repository string) bool {
		return !slices.ContainsFunc(patterns, func(p string) bool {
			full, _ := path.Match(p, name)
			bare, _ := path.Match(p, repository)
			return full || bare
		})
	}
	s.RepoTags = slices.DeleteFunc(s.RepoTags, func(t string) bool { return miss(t, t[:strings.LastIndexByte(t, ':')]) })
	s.RepoDigests = slices.DeleteFunc(s.RepoDigests, func(d string) bool {
		repository, _, _ := strings.Cut(d, "@")
		return miss(d, repository)
	})
	return !s.Dangling()
}
