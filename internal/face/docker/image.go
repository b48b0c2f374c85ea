package docker

import (
	"encoding/json"

	"gourd/internal/image"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	api "github.com/moby/moby/api/types/image"
)

// NewImage translates an image and its configuration.
func NewImage(img *image.Image) *api.InspectResponse {
	c := img.Config
	r := &api.InspectResponse{
		ID: string(img.ID), RepoTags: orEmpty(img.RepoTags), RepoDigests: orEmpty(img.RepoDigests), Author: c.Author,
		Config: newImageConfig(img.RawConfig), Architecture: c.Architecture, Variant: c.Variant, Os: c.OS, OsVersion: c.OSVersion,
		Size: img.Size, RootFS: api.RootFS{Type: "layers"},
	}
	for _, d := range img.DiffIDs {
		r.RootFS.Layers = append(r.RootFS.Layers, string(d))
	}
	if c.Created != nil {
		r.Created = stamp(*c.Created)
	}
	if n := len(c.History); n > 0 {
		r.Comment = c.History[n-1].Comment
	}
	return r
}

// newImageConfig reads the part of the configuration that containers are made from. It was parsed when
// the image was loaded, so that an error can't come up here.
func newImageConfig(raw []byte) *dockerspec.DockerOCIImageConfig {
	var c struct {
		Config dockerspec.DockerOCIImageConfig `json:"config"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return nil
	}
	return &c.Config
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
