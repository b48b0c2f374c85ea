package image

import (
	"bytes"
	"errors"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// known are the kinds of error that a document may cause.
func known(err error) bool {
	return err == nil || errors.Is(err, container.ErrCorrupt) || errors.Is(err, container.ErrUnsupported) || errors.Is(err, container.ErrNotFound)
}

func checkDescriptor(t *testing.T, d Descriptor) {
	if _, err := layer.ParseDigest(string(d.Digest)); err != nil || d.Size < 0 {
		t.Fatalf("descriptor %+v was let through", d)
	}
}

// FuzzDocuments: whatever a manifest, index or configuration holds, it is refused with a known error, or what is
// read of it is safe to use as a path and a size.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + someDigest + `","size":3},"layers":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + someDigest + `","size":3,"annotations":{"org.opencontainers.image.ref.name":"a:1"}}]}`))
	f.Add([]byte(`{"os":"linux","architecture":"amd64","config":{"Cmd":["x"],"Env":["A=b"]},"rootfs":{"type":"layers","diff_ids":["` + someDigest + `"]},"history":[{"created":"2020-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]`))
	f.Add([]byte(`{"a":"\"{[","b":[[[{}]]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b, MediaTypeManifest)
		x, xerr := parseIndex(b, "")
		c, cerr := ParseConfig(b)
		if !known(err) || !known(xerr) || !known(cerr) {
			t.Fatalf("errors are %v, %v, %v", err, xerr, cerr)
		}
		if err == nil {
			for _, d := range append([]Descriptor{m.Config}, m.Layers...) {
				checkDescriptor(t, d)
			}
		}
		if xerr == nil {
			for _, d := range x.Manifests {
				checkDescriptor(t, d)
				nameOf(d)
			}
		}
		if err == nil && xerr == nil {
			t.Error("it passes for a manifest and for an index")
		}
		if cerr == nil {
			chainID(c.RootFS.DiffIDs)
			if _, err := ParseConfig(marshal(c)); err != nil {
				t.Errorf("written again it is refused: %v", err)
			}
		}
	})
}

// FuzzChange: --change lines never panic, and what they set can be written and read.
func FuzzChange(f *testing.F) {
	for _, line := range []string{`CMD ["a","b"]`, "CMD a b", "ENV A=b C=\"d e\" F='g'", "ENV A b c", `LABEL "x y"=z`, "EXPOSE 80 53/udp 8000-8010/tcp", "HEALTHCHECK --interval=5s --retries=3 CMD a", "HEALTHCHECK NONE", "VOLUME /a /b", `VOLUME ["/a"]`, "WORKDIR x", "USER a:b", "STOPSIGNAL TERM", `SHELL ["x"]`, "ONBUILD RUN x", "RUN x", "", "CMD", `ENV A="`, `ENV A=\`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var c ContainerConfig
		if err := c.ApplyChange(line); err != nil && !errors.Is(err, container.ErrInvalid) {
			t.Fatalf("error is %v", err)
		}
		if _, err := ParseConfig(marshal(Config{Config: c})); err != nil {
			t.Errorf("%+v can't be read again: %v", c, err)
		}
	})
}

// FuzzLoad: whole archives, with a sink that only verifies.
func FuzzLoad(f *testing.F) {
	s := sample{tars: [][]byte{make([]byte, 1024)}, config: []byte(`{"rootfs":{"type":"layers","diff_ids":["` + string(layer.DigestOf(make([]byte, 1024))) + `"]}}`)}
	t := &testing.T{}
	f.Add(archiveOf(t, s.docker(t, plain, "a:1")...))
	files, d := s.oci(t, MediaTypeLayer, plain)
	f.Add(archiveOf(t, layout(t, files, named(d, "a:1"))...))
	store, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		loaded, err := store.Load(t.Context(), bytes.NewReader(data), verifier{}, nil)
		if !known(err) {
			t.Fatalf("error is %v", err)
		}
		for _, l := range loaded {
			if _, err := store.Get(l.ID); err != nil {
				t.Error(err)
			}
			if _, err := store.Remove(string(l.ID), RemoveOptions{Force: true}, nil); err != nil {
				t.Error(err)
			}
		}
	})
}
