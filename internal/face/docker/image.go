package docker

import (
	"gourd/internal/image"
)

// Image is docker's object for an image.
type Image struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Comment      string `json:",omitempty"`
	Created      string `json:",omitempty"`
	Author       string `json:",omitempty"`
	Config       *image.ContainerConfig
	Architecture string
	Variant      string `json:",omitempty"`
	Os           string
	OsVersion    string `json:",omitempty"`
	Size         int64
	RootFS       ImageLayers
}

// ImageLayers lists the layers, the lowest first, by the digests of their uncompressed tars.
type ImageLayers struct {
	Type   string   `json:",omitempty"`
	Layers []string `json:",omitempty"`
}

// NewImage translates an image and its configuration.
func NewImage(img *image.Image) *Image {
	c := img.Config
	r := &Image{
		ID: string(img.ID), RepoTags: notNil(img.RepoTags), RepoDigests: notNil(img.RepoDigests), Author: c.Author,
		Config: &c.Config, Architecture: c.Architecture, Variant: c.Variant, Os: c.OS, OsVersion: c.OSVersion,
		Size: img.Size, RootFS: ImageLayers{Type: "layers"},
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
