package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// The types below are OCI's (image-spec v1.1, config.md, manifest.md, image-index.md) with docker's additions.
// They are our own since the image-spec module brings go-digest, whose init compiles regular expressions.

// Media types. docker's are the same documents under older names.
const (
	MediaTypeManifest       = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeIndex          = "application/vnd.oci.image.index.v1+json"
	MediaTypeConfig         = "application/vnd.oci.image.config.v1+json"
	MediaTypeLayer          = "application/vnd.oci.image.layer.v1.tar"
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaTypeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
)

// Config is an image's configuration. The bytes it was read from are kept: its digest is the image's id.
type Config struct {
	Created      *time.Time      `json:"created,omitempty"`
	Author       string          `json:"author,omitempty"`
	Architecture string          `json:"architecture"`
	Variant      string          `json:"variant,omitempty"`
	OS           string          `json:"os"`
	OSVersion    string          `json:"os.version,omitempty"`
	Config       ContainerConfig `json:"config"`
	RootFS       RootFS          `json:"rootfs"`
	History      []History       `json:"history,omitempty"`
}

// ContainerConfig is how containers of the image are run. Data, never trusted to select host behaviour.
type ContainerConfig struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	ArgsEscaped  bool                `json:"ArgsEscaped,omitempty"`
	Healthcheck  *Healthcheck        `json:"Healthcheck,omitempty"`
	OnBuild      []string            `json:"OnBuild,omitempty"`
	Shell        []string            `json:"Shell,omitempty"`
}

// Healthcheck is docker's: a command run now and then (times in nanoseconds).
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"`
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}

// RootFS lists the layers, the lowest first, by the digests of their uncompressed tars.
type RootFS struct {
	Type    string         `json:"type"`
	DiffIDs []layer.Digest `json:"diff_ids"`
}

// History is how one layer, or a change without one, came about.
type History struct {
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	Author     string     `json:"author,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"empty_layer,omitempty"`
}

// Descriptor points at a blob.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       layer.Digest      `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     *Platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

// Platform says where an image runs.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

func (p Platform) String() string {
	if p.Variant != "" {
		return p.OS + "/" + p.Architecture + "/" + p.Variant
	}
	return p.OS + "/" + p.Architecture
}

// HostPlatform is what this machine runs.
func HostPlatform() Platform { return Platform{OS: "linux", Architecture: runtime.GOARCH} }

// Manifest ties a configuration to the blobs of its layers.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Index lists manifests.
type Index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	Manifests     []Descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Bounds of hostile documents. The largest honest ones have some 10 KiB and 127 layers (overlayfs: 500).
const (
	maxDocument = 8 << 20
	maxDepth    = 32
	maxLayers   = 500
)

func isManifest(mediaType string) bool {
	return mediaType == MediaTypeManifest || mediaType == mediaTypeDockerManifest
}

func isIndex(mediaType string) bool {
	return mediaType == MediaTypeIndex || mediaType == mediaTypeDockerIndex
}

func isConfig(mediaType string) bool {
	return mediaType == MediaTypeConfig || mediaType == mediaTypeDockerConfig
}

// isLayer accepts tar layers, however compressed (the content tells how). Foreign ones ("nondistributable",
// "foreign") must have been put into the archive, then they are layers like others.
func isLayer(mediaType string) bool {
	switch mediaType {
	case MediaTypeLayer, MediaTypeLayer + "+gzip", MediaTypeLayer + "+zstd",
		mediaTypeDockerLayer, mediaTypeDockerLayer + ".gzip", mediaTypeDockerLayer + ".zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd":
		return true
	}
	return false
}

// unmarshal reads one JSON document of untrusted origin: bounded in size and depth, and nothing after it.
func unmarshal(what string, b []byte, v any) error {
	err := checkJSON(b)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return &container.Error{Verb: "read", Object: what, Kind: container.ErrCorrupt, Cause: err}
	}
	return nil
}

func checkJSON(b []byte) error {
	if len(b) > maxDocument {
		return fmt.Errorf("it has %d bytes, more than %d", len(b), maxDocument)
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("it is nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// parseManifest reads a manifest and refuses what could be taken for an index as well (CVE-2021-41190).
func parseManifest(b []byte, mediaType string) (*Manifest, error) {
	var both struct {
		Manifest
		Manifests json.RawMessage `json:"manifests"`
		FSLayers  json.RawMessage `json:"fsLayers"`
	}
	if err := unmarshal("manifest", b, &both); err != nil {
		return nil, err
	}
	m := &both.Manifest
	switch {
	case both.FSLayers != nil || m.SchemaVersion == 1:
		return nil, &container.Error{Verb: "read", Object: "manifest", Kind: container.ErrUnsupported, Cause: errors.New("it has the old schema version 1"), Hint: "save or push the image again with a current docker, podman or skopeo"}
	case m.SchemaVersion != 2:
		return nil, corruptf("manifest", "it has schema version %d, not 2", m.SchemaVersion)
	case both.Manifests != nil:
		return nil, corruptf("manifest", "it is a manifest and an index at once")
	case m.MediaType != "" && m.MediaType != mediaType:
		return nil, corruptf("manifest", "it says it is %.100q, but was announced as %q", m.MediaType, mediaType)
	case !isConfig(m.Config.MediaType):
		return nil, &container.Error{Verb: "read", Object: "manifest", Kind: container.ErrUnsupported, Cause: fmt.Errorf("its configuration has the media type %.100q: it is no container image", m.Config.MediaType)}
	case len(m.Layers) > maxLayers:
		return nil, corruptf("manifest", "it has %d layers, more than %d", len(m.Layers), maxLayers)
	}
	for _, d := range append([]Descriptor{m.Config}, m.Layers...) {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	for _, d := range m.Layers {
		if !isLayer(d.MediaType) {
			return nil, &container.Error{Verb: "read", Object: "manifest", Kind: container.ErrUnsupported, Cause: fmt.Errorf("a layer has the media type %.100q", d.MediaType)}
		}
	}
	return m, nil
}

// parseIndex reads an index and refuses what could be taken for a manifest as well. mediaType "" takes any.
func parseIndex(b []byte, mediaType string) (*Index, error) {
	var both struct {
		Index
		Layers json.RawMessage `json:"layers"`
		Config json.RawMessage `json:"config"`
	}
	if err := unmarshal("index", b, &both); err != nil {
		return nil, err
	}
	x := &both.Index
	switch {
	case x.SchemaVersion != 2:
		return nil, corruptf("index", "it has schema version %d, not 2", x.SchemaVersion)
	case both.Layers != nil || both.Config != nil:
		return nil, corruptf("index", "it is an index and a manifest at once")
	case mediaType != "" && x.MediaType != "" && x.MediaType != mediaType:
		return nil, corruptf("index", "it says it is %.100q, but was announced as %q", x.MediaType, mediaType)
	}
	for _, d := range x.Manifests {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (d Descriptor) check() error {
	if _, err := layer.ParseDigest(string(d.Digest)); err != nil {
		return &container.Error{Verb: "read", Object: "descriptor", Kind: container.ErrCorrupt, Cause: err}
	}
	if d.Size < 0 {
		return corruptf("descriptor", "%s has the size %d", d.Digest, d.Size)
	}
	return nil
}

// ParseConfig reads and checks an image's configuration.
func ParseConfig(b []byte) (*Config, error) {
	c := new(Config)
	if err := unmarshal("image configuration", b, c); err != nil {
		return nil, err
	}
	if c.RootFS.Type != "" && c.RootFS.Type != "layers" {
		return nil, corruptf("image configuration", "its root file system has the type %.50q", c.RootFS.Type)
	}
	if len(c.RootFS.DiffIDs) > maxLayers {
		return nil, corruptf("image configuration", "it has %d layers, more than %d", len(c.RootFS.DiffIDs), maxLayers)
	}
	for _, d := range c.RootFS.DiffIDs {
		if _, err := layer.ParseDigest(string(d)); err != nil {
			return nil, &container.Error{Verb: "read", Object: "image configuration", Kind: container.ErrCorrupt, Cause: err}
		}
	}
	if c.OS != "" && c.OS != "linux" {
		return nil, &container.Error{Verb: "use image", Object: "for " + c.OS, Kind: container.ErrUnsupported, Cause: errors.New("gourd runs Linux images only")}
	}
	return c, nil
}

// Platform of the image; empty fields mean this machine's.
func (c *Config) Platform() Platform {
	p := Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.Architecture == "" {
		p.Architecture = runtime.GOARCH
	}
	return p
}

func corruptf(object, format string, args ...any) error {
	return &container.Error{Verb: "read", Object: object, Kind: container.ErrCorrupt, Cause: fmt.Errorf(format, args...)}
}

// chainID names a stack of layers (image-spec, config.md, "Layer ChainID").
func chainID(diffIDs []layer.Digest) layer.Digest {
	var chain layer.Digest
	for _, d := range diffIDs {
		if chain == "" {
			chain = d
			continue
		}
		chain = layer.DigestOf([]byte(string(chain) + " " + string(d)))
	}
	return chain
}

// marshal writes a document as people can read it.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err) // our own types
	}
	return b.Bytes()
}
