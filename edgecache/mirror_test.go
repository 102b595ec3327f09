package edgecache

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	m := newMirror(t.TempDir(), up, nil, new(shelf).writing)
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

// What no state has a use for stays for a day, for those who read the state before; what others may begin with stays for ever.
func TestMirrorForgetsWhatIsOld(t *testing.T) {
	up := filesOf{}
	for _, path := range []string{"metadata/1.root.json", "metadata/1.snapshot.json", "metadata/2.snapshot.json", "log/tile/0/000", "log/tile/0/001.p/7", "targets/releases/app/1.0/x.any.json",
		"targets/metainfo/n.aa.torrent.zst", "targets/metainfo/n.bb.torrent.zst", timestampPath, checkpointPath} {
		up[path] = path
	}
	m := newMirror(t.TempDir(), up, nil, new(shelf).writing)
	for path := range up {
		if _, _, err := m.Get(t.Context(), path, 100, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.publish(); err != nil {
		t.Fatal(err)
	}
	has := func(path string) bool { _, err := os.Stat(filepath.Join(m.dir, path)); return err == nil }
	p := &published{m: m}
	p.note("metadata/2.snapshot.json")
	c := newCatalog("id", 2)
	c.byKey["bb"] = &known{}
	now := time.Unix(1_800_000_000, 0)
	mark := func() { m.mark(func(path string) bool { return p.uses(path, c) }, now); m.tidy(now) }
	mark()
	now = now.Add(oldTime - time.Second)
	if mark(); !has("metadata/1.snapshot.json") {
		t.Error("the state before went within a day")
	}
	now = now.Add(time.Second)
	p.note("targets/releases/app/1.0/x.any.json") // it is of use again
	mark()
	for path := range up {
		gone := path == "metadata/1.snapshot.json" || path == "log/tile/0/001.p/7" || path == "targets/metainfo/n.aa.torrent.zst"
		if has(path) == gone {
			t.Errorf("after a day, %s is there: %v", path, !gone)
		}
	}
}
