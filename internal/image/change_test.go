package image

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// verifier is a sink that keeps nothing.
type verifier struct{}

func (verifier) Has(layer.Digest) bool { return false }

func (verifier) Add(_ context.Context, id layer.Digest, tar io.Reader) error {
	return layer.NewVerifier(tar, id).Verify()
}

func (verifier) LayerSize(layer.Digest) (int64, error) { return 0, nil }

func TestApplyChange(t *testing.T) {
	start := func() ContainerConfig {
		return ContainerConfig{Entrypoint: []string{"/bin/echo", "E"}, Cmd: []string{"C"}, Env: []string{"A=1", "B=2"}, WorkingDir: "/w"}
	}
	cases := map[string]string{ // line: what differs, as JSON
		`ENTRYPOINT ["/bin/sh","-c"]`:         `{"Entrypoint":["/bin/sh","-c"],"Cmd":null}`,
		`ENTRYPOINT run it`:                   `{"Entrypoint":["/bin/sh","-c","run it"],"Cmd":null}`,
		`ENTRYPOINT []`:                       `{"Entrypoint":null,"Cmd":null}`,
		`CMD echo hi`:                         `{"Cmd":["/bin/sh","-c","echo hi"]}`,
		`cmd ["echo", "hi"]`:                  `{"Cmd":["echo","hi"]}`,
		`CMD [not json`:                       `{"Cmd":["/bin/sh","-c","[not json"]}`,
		`ENV A=x C="two words" D='q"' E=a\ b`: `{"Env":["A=x","B=2","C=two words","D=q\"","E=a b"]}`,
		`ENV B the old form`:                  `{"Env":["A=1","B=the old form"]}`,
		`LABEL x=y "a b"="c d"`:               `{"Labels":{"x":"y","a b":"c d"}}`,
		`EXPOSE 80 53/UDP 8000-8002/tcp`:      `{"ExposedPorts":{"80/tcp":{},"53/udp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{}}}`,
		`VOLUME /a /b`:                        `{"Volumes":{"/a":{},"/b":{}}}`,
		`VOLUME ["/a b"]`:                     `{"Volumes":{"/a b":{}}}`,
		`WORKDIR sub`:                         `{"WorkingDir":"/w/sub"}`,
		`WORKDIR /x`:                          `{"WorkingDir":"/x"}`,
		`USER 1000:50`:                        `{"User":"1000:50"}`,
		`STOPSIGNAL SIGUSR1`:                  `{"StopSignal":"SIGUSR1"}`,
		`SHELL ["/bin/bash","-c"]`:            `{"Shell":["/bin/bash","-c"]}`,
		`ONBUILD RUN make`:                    `{"OnBuild":["RUN make"]}`,
		`HEALTHCHECK NONE`:                    `{"Healthcheck":{"Test":["NONE"]}}`,
		`HEALTHCHECK --interval=5s --retries=3 CMD true x`: `{"Healthcheck":{"Test":["CMD-SHELL","true x"],"Interval":5000000000,"Retries":3}}`,
		`HEALTHCHECK CMD ["true"]`:                         `{"Healthcheck":{"Test":["CMD","true"]}}`,
	}
	for line, diff := range cases {
		got, want := start(), map[string]any{}
		if err := got.ApplyChange(line); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		b, _ := json.Marshal(start())
		json.Unmarshal(b, &want)
		json.Unmarshal([]byte(diff), &want)
		for k, v := range want {
			if v == nil {
				delete(want, k)
			}
		}
		g, _ := json.Marshal(got)
		var gm map[string]any
		json.Unmarshal(g, &gm)
		w, _ := json.Marshal(want)
		if g, _ = json.Marshal(gm); string(g) != string(w) {
			t.Errorf("%s gives %s, want %s", line, g, w)
		}
	}
	for _, line := range []string{"", "RUN x", "CMD", "ENV", "ENV A", `ENV A="x`, "ENV =x", "ENV A=1 B", "EXPOSE x", "EXPOSE 70000", "EXPOSE 9-1", "EXPOSE 80/icmp", "USER a b", "STOPSIGNAL a b", "SHELL x", "SHELL []", "HEALTHCHECK", "HEALTHCHECK x", "HEALTHCHECK --interval=x CMD y", "HEALTHCHECK --what=1 CMD y", `VOLUME [""]`} {
		c := start()
		if err := c.ApplyChange(line); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestHistory(t *testing.T) {
	s, d := newStore(t)
	id := importImage(t, s, d, "a:1", "f", "12345")
	base, err := s.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	c := *base.Config
	c.Config.Cmd = []string{"/x"}
	l, err := s.CreateFrom(t.Context(), base, &c, nil, ImportOptions{Ref: "a:2", Message: "only a command"}, d)
	if err != nil {
		t.Fatal(err)
	}
	l, err = s.CreateFrom(t.Context(), must(t, s, l.ID), &c, reader(tarOf(t, "g", "123")), ImportOptions{Ref: "a:3", Message: "more", Author: "me"}, d)
	if err != nil {
		t.Fatal(err)
	}
	img := must(t, s, l.ID)
	if img.Config.Author != "me" || img.Size != 8 || len(img.DiffIDs) != 2 || img.DiffIDs[0] != base.DiffIDs[0] || img.Config.Architecture != base.Config.Architecture {
		t.Errorf("image is %+v with %+v", img.Summary, img.Config)
	}
	lines, err := s.History(img, d)
	if err != nil || len(lines) != 3 {
		t.Fatalf("history is %+v, %v", lines, err)
	}
	for i, want := range []HistoryLine{{ID: l.ID, Size: 3, History: History{Comment: "more"}}, {Size: 0, History: History{Comment: "only a command"}}, {Size: 5, History: History{Comment: "Imported from -"}}} {
		if lines[i].ID != want.ID || lines[i].Size != want.Size || lines[i].Comment != want.Comment {
			t.Errorf("line %d is %+v, want %+v", i, lines[i], want)
		}
	}
	// The base may go; what was made from it stays whole.
	if _, err := s.Remove("a:1", RemoveOptions{}, d); err != nil {
		t.Fatal(err)
	}
	checkClean(t, s, d)
}
