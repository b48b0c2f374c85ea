package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"
)

// entry is a file, or with link set a symbolic link, of an image archive under construction.
type entry struct {
	name string
	data []byte
	link string
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.data))}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func blob(data []byte) entry { return entry{name: blobName(layer.DigestOf(data)), data: data} }

func describe(mediaType string, data []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: layer.DigestOf(data), Size: int64(len(data))}
}

func compress(t testing.TB, tool string, data []byte) []byte {
	t.Helper()
	c := exec.Command(tool, "-c")
	c.Stdin = bytes.NewReader(data)
	out, err := c.Output()
	if err != nil {
		t.Skipf("%s: %v", tool, err)
	}
	return out
}

// sample is an image's parts.
type sample struct {
	tars   [][]byte
	config []byte
}

func makeSample(t *testing.T, text string) sample {
	t.Helper()
	s := sample{tars: [][]byte{tarOf(t, "etc/base", "shared by all"), tarOf(t, "etc/own", text)}}
	c := Config{OS: "linux", Architecture: HostPlatform().Architecture, Config: ContainerConfig{Cmd: []string{text}}, RootFS: RootFS{Type: "layers"}}
	for _, l := range s.tars {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, layer.DigestOf(l))
	}
	s.config = asJSON(t, c)
	return s
}

func (s sample) id() layer.Digest { return layer.DigestOf(s.config) }

// docker is the archive that docker wrote before version 25.
func (s sample) docker(t *testing.T, pack func([]byte) []byte, tags ...string) []entry {
	t.Helper()
	image := dockerImage{Config: s.id().Hex() + ".json", RepoTags: tags}
	out := []entry{{name: image.Config, data: s.config}}
	for _, l := range s.tars {
		name := layer.DigestOf(l).Short() + "/layer.tar"
		image.Layers = append(image.Layers, name)
		out = append(out, entry{name: name, data: pack(l)})
	}
	return append(out, entry{name: "manifest.json", data: asJSON(t, []dockerImage{image})})
}

// oci is an OCI layout's files, with its manifest's descriptor.
func (s sample) oci(t *testing.T, layerType string, pack func([]byte) []byte) ([]entry, Descriptor) {
	t.Helper()
	m := Manifest{SchemaVersion: 2, MediaType: MediaTypeManifest, Config: describe(MediaTypeConfig, s.config)}
	out := []entry{blob(s.config)}
	for _, l := range s.tars {
		packed := pack(l)
		m.Layers = append(m.Layers, describe(layerType, packed))
		out = append(out, blob(packed))
	}
	manifest := asJSON(t, m)
	return append(out, blob(manifest)), describe(MediaTypeManifest, manifest)
}

func layout(t *testing.T, files []entry, manifests ...Descriptor) []entry {
	t.Helper()
	return append(files, entry{name: "oci-layout", data: []byte(ociLayout)},
		entry{name: "index.json", data: asJSON(t, Index{SchemaVersion: 2, Manifests: manifests})})
}

func named(d Descriptor, name string) Descriptor {
	d.Annotations = map[string]string{annotationName: name}
	return d
}

func plain(b []byte) []byte { return b }

func TestLoadFormats(t *testing.T) {
	one, two := makeSample(t, "one"), makeSample(t, "two")
	gzip := func(b []byte) []byte { return compress(t, "gzip", b) }
	xz := func(b []byte) []byte { return compress(t, "xz", b) }
	oneOCI, oneManifest := one.oci(t, MediaTypeLayer+"+gzip", gzip)
	twoOCI, twoManifest := two.oci(t, MediaTypeLayer, plain)
	index := asJSON(t, Index{SchemaVersion: 2, MediaType: MediaTypeIndex, Manifests: []Descriptor{
		{MediaType: MediaTypeManifest, Digest: layer.DigestOf([]byte("elsewhere")), Size: 9, Platform: &Platform{OS: "linux", Architecture: "s390x"}},
		{MediaType: oneManifest.MediaType, Digest: oneManifest.Digest, Size: oneManifest.Size, Platform: &Platform{OS: "linux", Architecture: HostPlatform().Architecture}},
	}})
	shared := one.docker(t, plain, "one:1")
	shared[2] = entry{name: shared[2].name, link: "../real/layer.tar"}
	shared = append([]entry{{name: "real/layer.tar", data: one.tars[1]}}, shared...)
	both := append(one.docker(t, plain, "one:1")[:3], two.docker(t, plain)[:3]...)
	both = append(both, entry{name: "manifest.json", data: asJSON(t, []dockerImage{
		{Config: one.id().Hex() + ".json", RepoTags: []string{"one:1", "one:latest", "x.example/one:1"}, Layers: []string{both[1].name, both[2].name}},
		{Config: two.id().Hex() + ".json", Layers: []string{both[4].name, both[5].name}},
	})})
	modern := append(layout(t, slices.Clone(oneOCI), named(oneManifest, "1")), entry{name: "manifest.json", data: asJSON(t, []dockerImage{
		{Config: blobName(one.id()), RepoTags: []string{"one:1"}, Layers: []string{oneOCI[1].name, oneOCI[2].name}}})})

	cases := map[string]struct {
		data     []byte
		want     string       // id and names of each
		manifest layer.Digest // of the first image; "" is any
	}{
		"docker":              {archiveOf(t, one.docker(t, plain, "one:1")...), one.id().Short() + " [one:1]", ""},
		"docker, no tags":     {archiveOf(t, one.docker(t, plain)...), one.id().Short() + " []", ""},
		"docker, gzip layers": {archiveOf(t, one.docker(t, gzip, "one:1")...), one.id().Short() + " [one:1]", ""},
		"docker, xz layers":   {archiveOf(t, one.docker(t, xz, "one:1")...), one.id().Short() + " [one:1]", ""},
		"docker, links":       {archiveOf(t, shared...), one.id().Short() + " [one:1]", ""},
		"docker, two":         {archiveOf(t, both...), one.id().Short() + " [one:1 one:latest x.example/one:1] " + two.id().Short() + " []", ""},
		"docker and OCI":      {archiveOf(t, modern...), one.id().Short() + " [one:1]", oneManifest.Digest},
		"gzip":                {gzip(archiveOf(t, one.docker(t, plain, "one:1")...)), one.id().Short() + " [one:1]", ""},
		"zstd":                {compress(t, "zstd", archiveOf(t, one.docker(t, plain, "one:1")...)), one.id().Short() + " [one:1]", ""},
		"bzip2":               {compress(t, "bzip2", archiveOf(t, one.docker(t, plain, "one:1")...)), one.id().Short() + " [one:1]", ""},
		"xz":                  {xz(archiveOf(t, one.docker(t, plain, "one:1")...)), one.id().Short() + " [one:1]", ""},
		"OCI":                 {archiveOf(t, layout(t, oneOCI, named(oneManifest, "docker.io/library/one:1"))...), one.id().Short() + " [one:1]", oneManifest.Digest},
		"OCI, only a tag":     {archiveOf(t, layout(t, oneOCI, named(oneManifest, "latest"))...), one.id().Short() + " []", oneManifest.Digest},
		"OCI, two names":      {archiveOf(t, layout(t, oneOCI, named(oneManifest, "a:1"), named(oneManifest, "b:2"))...), one.id().Short() + " [a:1 b:2]", oneManifest.Digest},
		"OCI, two images":     {archiveOf(t, layout(t, append(slices.Clone(oneOCI), twoOCI...), named(oneManifest, "a:1"), twoManifest)...), one.id().Short() + " [a:1] " + two.id().Short() + " []", oneManifest.Digest},
		"OCI, index": {archiveOf(t, layout(t, append(slices.Clone(oneOCI), blob(index)), named(describe(MediaTypeIndex, index), "x.example/m:1"))...),
			one.id().Short() + " [x.example/m:1]", oneManifest.Digest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, d := newStore(t)
			loaded, err := s.Load(t.Context(), struct{ io.Reader }{bytes.NewReader(c.data)}, d, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkLoaded(t, s, d, loaded, c.want, c.manifest)
		})
	}
	t.Run("OCI directory", func(t *testing.T) {
		dir := t.TempDir()
		unpack(t, dir, layout(t, oneOCI, named(oneManifest, "one:1")))
		s, d := newStore(t)
		loaded, err := s.LoadDir(t.Context(), dir, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkLoaded(t, s, d, loaded, one.id().Short()+" [one:1]", oneManifest.Digest)
	})
}

func unpack(t *testing.T, dir string, entries []entry) {
	t.Helper()
	for _, e := range entries {
		p := filepath.Join(dir, e.name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, e.data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func checkLoaded(t *testing.T, s *Store, d driver.Driver, loaded []Loaded, want string, manifest layer.Digest) {
	t.Helper()
	var got []string
	for _, l := range loaded {
		got = append(got, l.ID.Short(), fmt.Sprint(l.Names))
	}
	if strings.Join(got, " ") != want {
		t.Errorf("loaded %s, want %s", strings.Join(got, " "), want)
	}
	img, err := s.Get(loaded[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if manifest != "" && img.Manifest.Digest != manifest {
		t.Errorf("the manifest is %s, was %s", img.Manifest.Digest, manifest)
	}
	checkClean(t, s, d)
	// What is saved loads as the same image with the same manifest, elsewhere.
	var saved bytes.Buffer
	refs := loaded[0].Names
	if len(refs) == 0 {
		refs = []string{string(loaded[0].ID)}
	}
	if err := s.Save(t.Context(), &saved, refs); err != nil {
		t.Fatal(err)
	}
	s2, d2 := newStore(t)
	again, err := s2.Load(t.Context(), &saved, d2, nil)
	if err != nil {
		t.Fatal(err)
	}
	img2, err := s2.Get(loaded[0].ID)
	if err != nil || img2.Manifest.Digest != img.Manifest.Digest || !slices.Equal(img2.RepoTags, img.RepoTags) || len(again) != 1 {
		t.Errorf("saved and loaded again: %+v, %v; was %+v", img2, err, img.Summary)
	}
}

// TestLoadHostile: each is one clear error, and nothing is kept.
func TestLoadHostile(t *testing.T) {
	one := makeSample(t, "one")
	good, manifest := one.oci(t, MediaTypeLayer, plain)
	docker := func() []entry { return one.docker(t, plain, "one:1") }
	replace := func(entries []entry, name string, data []byte) []entry {
		out := slices.Clone(entries)
		for i := range out {
			if out[i].name == name {
				out[i].data = data
			}
		}
		return out
	}
	// withManifest is a layout whose manifest is this document.
	withManifest := func(doc []byte) []entry {
		return layout(t, append(slices.Clone(good), blob(doc)), describe(MediaTypeManifest, doc))
	}
	change := func(f func(m map[string]any)) []byte {
		m := map[string]any{}
		if err := json.Unmarshal(good[3].data, &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		return asJSON(t, m)
	}
	withConfig := func(doc string) []entry {
		image := dockerImage{Config: "c", RepoTags: []string{"one:1"}, Layers: []string{docker()[1].name, docker()[2].name}}
		return append(docker()[1:3], entry{name: "c", data: []byte(doc)}, entry{name: "manifest.json", data: asJSON(t, []dockerImage{image})})
	}
	withDockerManifest := func(doc string) []entry { return append(docker()[:3], entry{name: "manifest.json", data: []byte(doc)}) }
	evil := tarOf(t, "../../etc/x", "evil")
	many := Index{SchemaVersion: 2}
	for range maxIndexEntries + 1 {
		many.Manifests = append(many.Manifests, manifest)
	}
	// An index of indexes that doubles at each level.
	bomb, bombFiles := asJSON(t, Index{SchemaVersion: 2, Manifests: []Descriptor{manifest}}), slices.Clone(good)
	for range 12 {
		bombFiles = append(bombFiles, blob(bomb))
		d := describe(MediaTypeIndex, bomb)
		bomb = asJSON(t, Index{SchemaVersion: 2, Manifests: []Descriptor{d, d}})
	}
	short := manifest
	short.Size--
	diffIDs := `"rootfs":{"type":"layers","diff_ids":["` + string(layer.DigestOf(one.tars[0])) + `","` + string(layer.DigestOf(one.tars[1])) + `"]}`

	cases := map[string]struct {
		entries []entry
		kind    error
	}{
		"no documents":             {[]entry{{name: "etc/passwd", data: []byte("x")}}, container.ErrCorrupt},
		"blob of another digest":   {replace(layout(t, good, manifest), good[1].name, []byte("other")), container.ErrCorrupt},
		"configuration of another": {replace(docker(), docker()[0].name, []byte("{}")), container.ErrCorrupt},
		"layer of another digest":  {replace(docker(), docker()[1].name, tarOf(t, "x", "y")), container.ErrCorrupt},
		"layer missing":            {append(docker()[:1], docker()[2:]...), container.ErrCorrupt},
		"configuration missing":    {docker()[1:], container.ErrCorrupt},
		"blob missing":             {layout(t, good[1:], manifest), container.ErrCorrupt},
		"manifest missing":         {layout(t, good[:3], manifest), container.ErrCorrupt},
		"manifest of another size": {layout(t, good, short), container.ErrCorrupt},
		"layer is no tar":          {sample{tars: [][]byte{[]byte(strings.Repeat("x", 2000))}, config: []byte(`{"rootfs":{"diff_ids":["` + string(layer.DigestOf([]byte(strings.Repeat("x", 2000)))) + `"]}}`)}.docker(t, plain, "x:1"), container.ErrCorrupt},
		"layer is hostile":         {sample{tars: [][]byte{evil}, config: []byte(`{"rootfs":{"diff_ids":["` + string(layer.DigestOf(evil)) + `"]}}`)}.docker(t, plain, "x:1"), container.ErrCorrupt},
		"manifest and index":       {withManifest(change(func(m map[string]any) { m["manifests"] = []any{} })), container.ErrCorrupt},
		"index and manifest":       {append(good, entry{name: "index.json", data: []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`)}), container.ErrCorrupt},
		"announced as other":       {withManifest(change(func(m map[string]any) { m["mediaType"] = MediaTypeIndex })), container.ErrCorrupt},
		"schema 1":                 {withManifest([]byte(`{"schemaVersion":1,"fsLayers":[]}`)), container.ErrUnsupported},
		"no schema":                {withManifest([]byte(`{}`)), container.ErrCorrupt},
		"an artifact": {withManifest(change(func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
		})), container.ErrUnsupported},
		"foreign layers": {withManifest(change(func(m map[string]any) {
			m["layers"].([]any)[0].(map[string]any)["mediaType"] = "application/vnd.erofs.layer.v1"
		})), container.ErrUnsupported},
		"negative size":          {withManifest(change(func(m map[string]any) { m["layers"].([]any)[0].(map[string]any)["size"] = -1 })), container.ErrCorrupt},
		"digest of another kind": {withManifest(change(func(m map[string]any) { m["layers"].([]any)[0].(map[string]any)["digest"] = "md5:abc" })), container.ErrCorrupt},
		"digest that is a path": {withManifest(change(func(m map[string]any) {
			m["layers"].([]any)[0].(map[string]any)["digest"] = "sha256:../../../../etc/passwd"
		})), container.ErrCorrupt},
		"empty digest":                 {withManifest(change(func(m map[string]any) { m["config"].(map[string]any)["digest"] = "sha256:" })), container.ErrCorrupt},
		"one layer too few":            {withManifest(change(func(m map[string]any) { m["layers"] = m["layers"].([]any)[:1] })), container.ErrCorrupt},
		"too many entries":             {append(slices.Clone(good), entry{name: "index.json", data: asJSON(t, many)}), container.ErrCorrupt},
		"nested indexes":               {append(bombFiles, entry{name: "index.json", data: bomb}), container.ErrCorrupt},
		"no image for this machine":    {layout(t, nil), container.ErrNotFound},
		"layout of the future":         {append(layout(t, good, manifest), entry{name: "oci-layout", data: []byte(`{"imageLayoutVersion":"9.0"}`)}), container.ErrUnsupported},
		"configuration deeply nested":  {withConfig(strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000)), container.ErrCorrupt},
		"configuration too large":      {withConfig(`{"a":"` + strings.Repeat("x", maxDocument) + `"}`), container.ErrCorrupt},
		"configuration is a list":      {withConfig(`[]`), container.ErrCorrupt},
		"configuration ends early":     {withConfig(`{"rootfs":{`), container.ErrCorrupt},
		"configuration for Windows":    {withConfig(`{"os":"windows",` + diffIDs + `}`), container.ErrUnsupported},
		"root of another kind":         {withConfig(`{"rootfs":{"type":"chroot"}}`), container.ErrCorrupt},
		"diff id is a path":            {withConfig(`{"rootfs":{"type":"layers","diff_ids":["sha256:../x","sha256:../y"]}}`), container.ErrCorrupt},
		"manifest.json is empty":       {withDockerManifest(`[]`), container.ErrCorrupt},
		"manifest.json is no list":     {withDockerManifest(`{}`), container.ErrCorrupt},
		"manifest.json names a path":   {withDockerManifest(`[{"Config":"../../../etc/passwd","RepoTags":["a:1"],"Layers":[]}]`), container.ErrCorrupt},
		"manifest.json names /":        {withDockerManifest(`[{"Config":"/etc/passwd","RepoTags":["a:1"],"Layers":[]}]`), container.ErrCorrupt},
		"bad tag":                      {docker2(t, one, "UPPER:1"), container.ErrCorrupt},
		"tag with a digest":            {docker2(t, one, "a@"+someDigest), container.ErrCorrupt},
		"configuration is a link loop": {append(docker()[1:], entry{name: docker()[0].name, link: docker()[0].name}), container.ErrCorrupt},
		"configuration is a link out":  {append(docker()[1:], entry{name: docker()[0].name, link: "/etc/passwd"}), container.ErrCorrupt},
		"layer is a link up":           {append(slices.Delete(docker(), 1, 2), entry{name: docker()[1].name, link: "../../../../etc/passwd"}), container.ErrCorrupt},
	}
	s, d := newStore(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			loaded, err := s.Load(t.Context(), bytes.NewReader(archiveOf(t, c.entries...)), d, nil)
			if !errors.Is(err, c.kind) {
				t.Errorf("loaded %v, error %v", loaded, err)
			}
			checkEmpty(t, s, d)
		})
	}
}

func docker2(t *testing.T, s sample, tag string) []entry { return s.docker(t, plain, tag) }

// checkEmpty wants a store without images, blobs, layers and unfinished work.
func checkEmpty(t *testing.T, s *Store, d driver.Driver) {
	t.Helper()
	list, err := s.List()
	if err != nil || len(list) != 0 {
		t.Errorf("images are %v, %v", list, err)
	}
	for _, dir := range []string{s.blobDir(), s.staging.Dir} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
	if left, err := d.Layers(); err != nil || len(left) != 0 {
		t.Errorf("layers are %v, %v", left, err)
	}
}

// TestLoadTruncated: an archive that is cut anywhere before its last document is refused, plain and compressed.
func TestLoadTruncated(t *testing.T) {
	s, d := newStore(t)
	data := archiveOf(t, makeSample(t, "one").docker(t, plain, "one:1")...)
	packed := compress(t, "gzip", data)
	for i := range 40 {
		for _, b := range [][]byte{data[:len(data)-2048], packed[:len(packed)-10]} {
			cut := b[:len(b)*i/40]
			if _, err := s.Load(t.Context(), bytes.NewReader(cut), d, nil); !errors.Is(err, container.ErrCorrupt) {
				t.Errorf("cut at %d of %d: %v", len(cut), len(b), err)
			}
		}
	}
	checkEmpty(t, s, d)
}

// TestImportBad: IMG-02 of the known bugs: a tar that can't be read leaves no image.
func TestImportBad(t *testing.T) {
	s, d := newStore(t)
	good := tarOf(t, "a", strings.Repeat("x", 3000))
	var multi bytes.Buffer
	w := tar.NewWriter(&multi)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "rest", Typeflag: 'M'}), w.Close()); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty": {}, "text": []byte(strings.Repeat("hello", 500)), "cut": good[:2000], "cut between entries": good[:len(good)-1024], "hostile": tarOf(t, "../a", "x"), "type": multi.Bytes()} {
		_, err := s.Import(t.Context(), bytes.NewReader(data), ImportOptions{Ref: "bad:1"}, d)
		if !errors.Is(err, container.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "type" && (!strings.Contains(err.Error(), "'M'") || !strings.Contains(err.Error(), "rest")) {
			t.Errorf("the error doesn't name type and file: %v", err)
		}
	}
	for _, o := range []ImportOptions{{Ref: "UPPER"}, {Ref: "a@" + someDigest}, {Changes: []string{"RUN x"}}} {
		if _, err := s.Import(t.Context(), bytes.NewReader(good), o, d); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	checkEmpty(t, s, d)
}
