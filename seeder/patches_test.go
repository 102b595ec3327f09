package seeder

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/release"
	"shoal/piece/delta"
)

// A pair is two versions that are published in place, or copied, and what a patch from the first to the second is tried with.
type pair struct {
	t    *testing.T
	r    *release.Repository
	dirs [2]string
	rel  [2]*release.Release
}

// Sizes of a pair's file: with an index of blocks, and without.
const (
	indexed   = leastIndexed + 100_000
	unindexed = 100_000
)

// content is what version i of a pair has in its file of so many bytes: the second has some new ones.
func content(i, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{9}).Read(b)
	if i == 1 {
		rand.NewChaCha8([32]byte{10}).Read(b[50_000:60_000])
	}
	return b
}

func newPair(t *testing.T, inPlace bool, size int) *pair {
	t.Helper()
	x := &pair{t: t, r: initRepository(t)}
	for i, version := range []string{"1", "2"} {
		dir := filepath.Join(t.TempDir(), "build")
		x.dirs[i] = dir
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		x.write(dir, "tool", content(i, size))
		x.write(dir, "same", []byte("the same in both"))
		if _, err := Publish(t.Context(), x.r, dir, PublishConfig{App: "app", Version: version, Platform: "any", InPlace: inPlace}); err != nil {
			t.Fatal(err)
		}
		rel, err := x.r.Lookup(t.Context(), "app", version, "any")
		if err != nil {
			t.Fatal(err)
		}
		x.rel[i] = rel
	}
	return x
}

func (x *pair) write(dir, name string, b []byte) {
	x.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
		x.t.Fatal(err)
	}
}

// add has patches made, and returns those that were, and all notices.
func (x *pair) add(progress func()) (made []MadePatch, notices string) {
	x.t.Helper()
	c := PatchConfig{App: "app", Version: "2", Platform: "any", Newest: 3, Made: func(m MadePatch) { made = append(made, m) }}
	if progress != nil {
		c.Progress = func(string, int64, int64) { progress() }
	}
	list, err := AddPatches(x.t.Context(), x.r, c)
	if err != nil {
		x.t.Fatal(err)
	}
	return made, strings.Join(list, "\n")
}

// patch is the one that is published; nil if there is none.
func (x *pair) patch() *release.Artefact {
	x.t.Helper()
	list, err := x.r.Patches(x.t.Context(), x.rel[1])
	if err != nil {
		x.t.Fatal(err)
	}
	for i := range list {
		if list[i].Kind == "P" {
			return &list[i]
		}
	}
	return nil
}

// signed are the files that say what is.
func (x *pair) signed() string {
	x.t.Helper()
	list, err := filepath.Glob(filepath.Join(x.r.Public(), "metadata", "*"))
	if err != nil {
		x.t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// What is not what was signed is not patched from, nor to, and that is told of; when it is again, the patch is made.
func TestPatchIsMadeOfWhatWasSigned(t *testing.T) {
	other := func(b []byte) []byte { b = bytes.Clone(b); b[70_000] ^= 1; return b }
	for _, c := range []struct {
		name    string
		version int // whose content changes
		become  []byte
		size    int
		inPlace bool
		hint    string
	}{
		{"a base that was built over", 0, content(1, unindexed), unindexed, true, "in a directory of its own"},
		{"a bit of the base", 0, other(content(0, unindexed)), unindexed, true, "in a directory of its own"},
		{"a base that is shorter", 0, content(0, unindexed)[:1000], unindexed, true, "in a directory of its own"},
		{"a damaged copy of the base", 0, other(content(0, unindexed)), unindexed, false, "publish it again from what it was made of"},
		{"the release itself, with an index", 1, other(content(1, indexed)), indexed, true, "in a directory of its own"},
		{"the release itself", 1, other(content(1, unindexed)), unindexed, true, "in a directory of its own"},
		{"a damaged copy of the release", 1, other(content(1, unindexed)), unindexed, false, "publish it again from what it was made of"},
	} {
		for _, meanwhile := range []bool{false, true} {
			if meanwhile && c.size == indexed {
				continue // that takes longer, and shows nothing else
			}
			name := c.name
			if meanwhile {
				name += ", meanwhile"
			}
			t.Run(name, func(t *testing.T) {
				x := newPair(t, c.inPlace, c.size)
				dir := x.dirs[c.version]
				if a := x.rel[c.version].Tree(); !c.inPlace {
					dir = filepath.Join(x.r.ContentDir(a.V2), a.Name)
				}
				change := func() {}
				if begun := false; meanwhile {
					change = func() { // while the patch is made
						if !begun {
							x.write(dir, "tool", c.become)
						}
						begun = true
					}
				} else {
					x.write(dir, "tool", c.become)
				}
				made, notices := x.add(change)
				if len(made) > 0 || x.patch() != nil {
					t.Errorf("made %+v, want no patch", made)
				}
				ref := x.rel[c.version].Ref().String()
				if !strings.Contains(notices, ref) || !strings.Contains(notices, "tool") && c.version == 0 || !strings.Contains(notices, c.hint) {
					t.Errorf("told %q, want %s, its file, and %q", notices, ref, c.hint)
				}
				x.write(dir, "tool", content(c.version, c.size))
				if made, notices := x.add(nil); len(made) != 1 || !made[0].Kept || made[0].Again != "" || x.patch() == nil || notices != "" {
					t.Errorf("made %+v, told %q, when all is right again; want a patch", made, notices)
				}
			})
		}
	}
}

// What a patch is not made of may be anything.
func TestPatchOfAnotherFile(t *testing.T) {
	x := newPair(t, true, unindexed)
	x.write(x.dirs[0], "same", []byte("something else"))
	if made, notices := x.add(nil); len(made) != 1 || !made[0].Kept || notices != "" {
		t.Errorf("made %+v, told %q, want the patch", made, notices)
	}
}

// lie publishes a patch that was made of another base than what was signed, as programs before have done it.
func (x *pair) lie(base []byte) {
	x.t.Helper()
	dir := x.t.TempDir()
	x.write(dir, "tool", base)
	x.write(dir, "same", []byte("the same in both"))
	contents, err := x.r.Live(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	var trees [2]delta.Tree
	for i, rel := range x.rel {
		s, err := openStored(x.r, contents, rel)
		if err != nil {
			x.t.Fatal(err)
		}
		trees[i] = s.tree()
	}
	var b bytes.Buffer
	if _, err := delta.Diff(x.t.Context(), delta.Dir(trees[0].Info, dir), trees[1], &b, delta.Options{}); err != nil {
		x.t.Fatal(err)
	}
	a := release.Artefact{Kind: "P", From: "1", Base: x.rel[0].Tree().V2, Name: "patch", Bytes: int64(b.Len())}
	if _, err := x.r.Update(x.t.Context(), func(tx *release.Tx) error {
		return tx.AddPatches("app", "2", "any", []release.Patch{{Artefact: a, Data: b.Bytes()}})
	}); err != nil {
		x.t.Fatal(err)
	}
}

// A patch from before that leads elsewhere is replaced when its base is there, and stays while it is not: nothing better can be made.
func TestWrongPatchIsReplaced(t *testing.T) {
	x := newPair(t, true, unindexed)
	x.lie(content(1, unindexed))
	x.write(x.dirs[0], "tool", content(1, unindexed))
	if made, _ := x.add(nil); len(made) > 0 || x.patch().V2 != "" {
		t.Errorf("without the base: made %+v, %+v, want the patch as it was", made, x.patch())
	}
	x.write(x.dirs[0], "tool", content(0, unindexed))
	if made, notices := x.add(nil); len(made) != 1 || !made[0].Kept || made[0].Again != "wrong" || x.patch().V2 == "" || notices != "" {
		t.Fatalf("made %+v, told %q, want a right patch", made, notices)
	}
	before := x.signed()
	if made, notices := x.add(nil); len(made) > 0 || notices != "" || x.signed() != before {
		t.Errorf("once more: made %+v, told %q, want nothing", made, notices)
	}
}

// One that cannot be made right, since it would not be worth it, is taken back.
func TestWrongPatchIsTakenBack(t *testing.T) {
	x := newPair(t, true, unindexed)
	other := make([]byte, 500_000)
	rand.NewChaCha8([32]byte{11}).Read(other)
	x.write(x.dirs[1], "tool", other)
	if _, err := Publish(t.Context(), x.r, x.dirs[1], PublishConfig{App: "app", Version: "3", Platform: "any", InPlace: true}); err != nil {
		t.Fatal(err)
	}
	rel, err := x.r.Lookup(t.Context(), "app", "3", "any")
	if err != nil {
		t.Fatal(err)
	}
	garbage := release.Patch{Artefact: release.Artefact{Kind: "P", From: "1", Base: x.rel[0].Tree().V2, Name: "patch", Bytes: 7}, Data: []byte("garbage")}
	if _, err := x.r.Update(t.Context(), func(tx *release.Tx) error { return tx.AddPatches("app", "3", "any", []release.Patch{garbage}) }); err != nil {
		t.Fatal(err)
	}
	var made []MadePatch
	if _, err := AddPatches(t.Context(), x.r, PatchConfig{App: "app", Version: "3", Platform: "any", From: []string{"1"}, Made: func(m MadePatch) { made = append(made, m) }}); err != nil {
		t.Fatal(err)
	}
	x.rel[1] = rel
	if len(made) != 1 || made[0].Kept || made[0].Again != "wrong" || x.patch() != nil {
		t.Errorf("made %+v, and there is %+v; want that the wrong one is taken back", made, x.patch())
	}
}

// A patch or an index that is lost is made again, byte for byte, and nothing is signed.
func TestLostPatchIsRestored(t *testing.T) {
	x := newPair(t, false, indexed)
	if made, _ := x.add(nil); len(made) != 1 || !made[0].Kept {
		t.Fatal(made)
	}
	p := x.patch()
	for _, c := range []struct{ name, pattern, again string }{
		{"the file", "content/" + p.V2, "lost"},
		{"its torrent", "targets/metainfo/*." + p.V2 + ".torrent.zst", "lost"},
		{"what comes with the documents", "targets/releases/app/2/*.patch", "lost"},
		{"the index", "targets/releases/app/2/*+blocks", ""},
	} {
		before := x.signed()
		files, err := filepath.Glob(filepath.Join(x.r.Public(), filepath.FromSlash(c.pattern)))
		if err != nil || len(files) != 1 {
			t.Fatal(c.name, files, err)
		}
		if err := os.RemoveAll(files[0]); err != nil {
			t.Fatal(err)
		}
		made, notices := x.add(nil)
		if c.again != "" && (len(made) != 1 || made[0].Again != c.again || notices != "") || c.again == "" && (len(made) > 0 || !strings.Contains(notices, "index")) {
			t.Errorf("%s: made %+v, told %q", c.name, made, notices)
		}
		if _, err := os.Lstat(files[0]); errors.Is(err, os.ErrNotExist) || x.signed() != before {
			t.Errorf("%s: %v; signed %s, want that it is there again and nothing is signed", c.name, err, x.signed())
		}
	}
}
