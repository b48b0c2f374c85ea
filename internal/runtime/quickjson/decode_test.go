package quickjson

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// same compares with encoding/json: the same verdict and, where it accepts, the same value.
func same(t *testing.T, data []byte) {
	t.Helper()
	var want, got document
	wantErr := json.Unmarshal(data, &want)
	gotErr := Unmarshal(data, &got)
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("%q: encoding/json says %v, quickjson %v", data, wantErr, gotErr)
	}
	if wantErr == nil {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
	}
}

type document struct {
	specs.Spec
	Linux *struct {
		specs.Linux
		Seccomp json.RawMessage `json:"seccomp,omitempty"`
	} `json:"linux,omitempty"`
	Any   any
	Float float64
	Small int8
}

var samples = []string{
	`{}`, `null`, `[]`, `1`, ``, ` { } x`, `{"a":1,}`, `{"a" 1}`, `{"process":null}`, `{"process":{"args":["a","b\n\u00e9\ud83d\ude00\ud83d"],"env":[]}}`,
	`{"PROCESS":{"Args":["x"]},"process":{"cwd":"/"}}`, `{"linux":{"seccomp":{"defaultAction": "A" , "x":[1.5e3]},"sysctl":{"a":"b"},"uidMappings":[{"containerID":0,"hostID":1,"size":2}]}}`,
	`{"linux":{"resources":{"memory":{"limit":9223372036854775807},"cpu":{"shares":18446744073709551615}}}}`, `{"linux":{"resources":{"memory":{"limit":9223372036854775808}}}}`,
	`{"linux":{"resources":{"memory":{"limit":1.0}}}}`, `{"linux":{"resources":{"pids":{"limit":1e3}}}}`, `{"process":{"terminal":"yes"}}`, `{"process":[1]}`,
	`{"annotations":{"a":"b","c":null}}`, `{"mounts":[null,{"options":["ro"]}]}`, `{"mounts":[{"type":"x"}],"mounts":[{"source":"y"}]}`,
	`{"any":{"x":[1,"2",null]},"float":-0.5e-3,"small":-128}`, `{"small":128}`, `{"float":01}`, `{"float":-}`, "{\"hostname\":\"a\x01\"}", "{\"hostname\":\"\xff\"}", `{"hostname":"\x"}`, `{"hostname":"\u12g4"}`, `{"hostname":"abc`,
	`{"linux":{"rootfsPropagation":"\"\\\/\b\f\n\r\t","netDevices":{"eth0":{"name":"x"}},"timeOffsets":{"monotonic":{"secs":-5}}}}`, `{"linux":{"devices":[{"fileMode":438,"uid":4294967296}]}}`, `tru`, `{"a":tru}`,
}

func TestSameAsEncodingJSON(t *testing.T) {
	for _, s := range samples {
		same(t, []byte(s))
	}
}

func TestTooDeep(t *testing.T) {
	deep := make([]byte, 0, 30000)
	deep = append(deep, `{"x":`...)
	for range maxDepth {
		deep = append(deep, '[')
	}
	if err := Unmarshal(deep, &document{}); err == nil {
		t.Fatal("a document nested 10,001 deep was accepted")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { same(t, data) })
}
