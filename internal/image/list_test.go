package image

import (
	"fmt"
	"strings"
	"testing"

	"gourd/internal/layer"
)

// BenchmarkList500 is `gourd images` with 500 images: one file is read, whatever their number.
func BenchmarkList500(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	err = s.update(func(x *Index) error {
		for n := range 500 {
			id := layer.DigestOf([]byte(fmt.Sprint(n)))
			x.enter(Descriptor{MediaType: MediaTypeManifest, Digest: id, Size: 500, Platform: &Platform{OS: "linux", Architecture: "amd64"}, Annotations: map[string]string{
				annotationID: string(id), annotationSize: "12345678", annotationCreated: "2026-01-02T03:04:05.678Z", annotationName: fmt.Sprintf("registry.example/team/app-%d:v1.2.3", n),
			}})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		list, err := s.List()
		if err != nil || len(list) != 500 || !strings.HasPrefix(list[0].RepoTags[0], "registry.example/team/app-") {
			b.Fatal(len(list), err)
		}
	}
}
