package edgecache

import (
	"context"
	"maps"
	"testing"

	"shoal/internal/release"
)

// filesOf is a release.Files in memory.
type filesOf map[string]string

func (f filesOf) Get(_ context.Context, path string, _ int64, _ string) ([]byte, string, error) {
	if text, ok := f[path]; ok {
		return []byte(text), "", nil
	}
	return nil, "", release.ErrAbsent
}

// What changes is read anew with each new state, also what only some states have a use for, and takes effect together or not at all.
func TestMirrorTakesStatesAsAWhole(t *testing.T) {
	const index, tile = "log/index/ab", "log/tile/0/000.p/1"
	up := filesOf{timestampPath: "state 1", checkpointPath: "log 1", index: "entries of 1", tile: "tile"}
	m := newMirror(t.TempDir(), up)
	read := func(aside bool, path string) string {
		t.Helper()
		b, _, err := (&published{m: m, aside: aside}).Get(t.Context(), path, 100, "")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return string(b)
	}
	take := func() {
		t.Helper()
		for _, path := range []string{timestampPath, checkpointPath} { // as release.Trust begins
			if _, _, err := m.Get(t.Context(), path, 100, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(aside bool, n string) {
		t.Helper()
		for path, text := range map[string]string{timestampPath: "state " + n, checkpointPath: "log " + n, index: "entries of " + n, tile: "tile"} {
			if got := read(aside, path); got != text {
				t.Errorf("%s is %q, want %q", path, got, text)
			}
		}
	}
	take()
	want(true, "1")
	if err := m.publish(); err != nil {
		t.Fatal(err)
	}
	m.offline.Store(true)
	want(false, "1")
	m.offline.Store(false)

	maps.Copy(up, filesOf{timestampPath: "state 2", checkpointPath: "log 2", index: "entries of 2"})
	take()
	want(true, "2")
	want(false, "1") // others see it when it is all here
	m.abandon()
	want(false, "1")
	take()
	want(true, "2")
	if err := m.publish(); err != nil {
		t.Fatal(err)
	}
	want(false, "2")
	clear(up) // the origin is down
	want(true, "2")
}
