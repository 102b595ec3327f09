package deliver

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/release"
	"shoal/piece"
)

// search is one for older versions of app@3, a tree or a file, from whose versions 1 and 2 there are patches.
type search struct {
	t       *testing.T
	dir     string
	request Request
	patches []release.Artefact
	read    []string // what was hashed
	unused  []string
}

func newSearch(t *testing.T, tree *piece.Torrent) *search {
	t.Helper()
	s := &search{t: t, dir: t.TempDir()}
	doc := &release.Release{App: "app", Version: "3", Artefacts: []release.Artefact{{Kind: "T", Name: tree.Name, V2: hex.EncodeToString(tree.V2[:]), Bytes: tree.Length}}}
	s.request = Request{Found: Found{Release: &Trusted{Found: &release.Found{Release: doc}}}, Dir: s.path("out"), StateDir: s.path("state")}
	s.request.Reading = func(what string) func(done, total int64) { s.read = append(s.read, what); return nil }
	s.request.Unused = func(path, why string) { s.unused = append(s.unused, path+": "+why) }
	return s
}

func (s *search) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// write makes a file of n bytes that are told by seed.
func (s *search) write(name string, seed byte, n int) string {
	s.t.Helper()
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	path := s.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// describedAt describes what lies at a path.
func describedAt(t *testing.T, path, name string) *piece.Torrent {
	t.Helper()
	x, _, err := piece.Build(t.Context(), path, piece.BuildConfig{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// knows has the state directory know that a content was put at a path, and patched that there is a patch from it.
func (s *search) knows(x *piece.Torrent, path, ref string, patched bool) {
	s.t.Helper()
	if err := (installed{s.request.StateDir}).keep(x, path, ref); err != nil {
		s.t.Fatal(err)
	}
	if _, version, _ := strings.Cut(ref, "@"); patched {
		s.patches = append(s.patches, release.Artefact{Kind: "P", From: version, Base: hex.EncodeToString(x.V2[:])})
	}
}

// finds checks where versions were found, and that nothing was hashed for it.
func (s *search) finds(want ...string) []*version {
	s.t.Helper()
	list, err := s.request.versions(s.t.Context(), s.patches)
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, v := range list {
		rel, _ := filepath.Rel(s.dir, v.path)
		got = append(got, filepath.ToSlash(rel))
		v.close()
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || len(s.read) > 0 {
		s.t.Errorf("found %q, and hashed %q, want %q and nothing to be hashed", got, s.read, want)
	}
	return list
}

// What the state directory knows counts by what it is, wherever it lies and whatever it is called; what does not lie there any more, and other apps' contents, do not.
func TestVersionsThatAreRemembered(t *testing.T) {
	t.Parallel()
	for _, dir := range []bool{true, false} {
		name := func(version string) string { return "app-" + version }
		leaf := "/file"
		if !dir {
			name, leaf = func(version string) string { return "install-" + version + ".bin" }, ""
		}
		now := &search{t: t, dir: t.TempDir()}
		now.write("new"+leaf, 3, 300_000)
		tree := describedAt(t, now.path("new"), name("3"))
		s := newSearch(t, tree)
		for i, at := range []string{"opt/versions/1", "opt/versions/2", "srv/other"} {
			s.write(at+leaf, byte(i+1), 300_000-1000*(2-i))
		}
		s.write("etc/thing"+leaf, 9, 1000)
		s.knows(describedAt(t, s.path("opt/versions/1"), name("1")), s.path("opt/versions/1"), "app@1", false)
		s.knows(describedAt(t, s.path("opt/versions/2"), name("2")), s.path("opt/versions/2"), "app@2", true)
		s.knows(describedAt(t, s.path("srv/other"), "other"), s.path("srv/other"), "other@7", false) // the same by another name
		s.knows(describedAt(t, s.path("etc/thing"), "thing"), s.path("etc/thing"), "thing@1", false)
		s.finds("opt/versions/2", "opt/versions/1", "srv/other")
		if err := os.RemoveAll(s.path("opt/versions/2")); err != nil {
			t.Fatal(err)
		}
		s.finds("opt/versions/1", "srv/other")
	}
}

// Directories that are called as a version, and are none, cost a listing that ends soon, and hide nothing.
func TestWhatIsNoVersionIsNotHashed(t *testing.T) {
	t.Parallel()
	now := &search{t: t, dir: t.TempDir()}
	now.write("new/bin/tool", 3, 300_000)
	s := newSearch(t, describedAt(t, now.path("new"), "app-3"))
	s.write("old/bin/tool", 2, 299_000)
	s.knows(describedAt(t, s.path("old"), "app-2"), s.path("gone"), "app@2", true)
	if err := os.MkdirAll(s.path("out"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path("old"), s.path("out/app-2")); err != nil {
		t.Fatal(err)
	}
	s.write("out/app-data/rows", 5, 0)
	if err := os.Truncate(s.path("out/app-data/rows"), 1<<40); err != nil {
		t.Skip(err) // a file system without holes
	}
	s.write("out/app-server", 6, 100)
	for i := range 10 {
		s.write("out/app-x"+string(rune('a'+i))+"/cache", byte(i), 280_000+i)
	}
	s.finds("out/app-2")

	// Nor are they where they are named.
	s.request.Dir, s.request.From = s.path("elsewhere"), []string{s.path("out/app-data")}
	s.finds()
	if len(s.unused) != 1 || !strings.Contains(s.unused[0], "much larger") {
		t.Errorf("told %q, want that it is much too large for a version", s.unused)
	}
}

// A directory that is named is a version itself, also where something in it is called as one. What was added to it does no harm.
func TestADirectoryThatIsNamed(t *testing.T) {
	t.Parallel()
	now := &search{t: t, dir: t.TempDir()}
	now.write("new/bin/tool", 3, 300_000)
	s := newSearch(t, describedAt(t, now.path("new"), "app-3"))
	s.write("srv/bin/tool", 2, 299_000)
	s.knows(describedAt(t, s.path("srv"), "app-2"), s.path("gone"), "app@2", true)
	s.write("srv/app-server", 6, 100)
	s.write("srv/app-data/rows", 6, 100)
	s.request.From = []string{s.path("srv")}
	s.finds("srv")
	if len(s.unused) > 0 {
		t.Errorf("told %q of what is used", s.unused)
	}
}

// Versions of the same length are told from each other by what is in them.
func TestVersionsOfOneLength(t *testing.T) {
	t.Parallel()
	const length = 2 << 20
	now := &search{t: t, dir: t.TempDir()}
	now.write("new", 3, length)
	s := newSearch(t, describedAt(t, now.path("new"), "disk.img"))
	was := make([]byte, length)
	rand.NewChaCha8([32]byte{7}).Read(was)
	for version, at := range map[string]int{"1": 1_000_000, "2": 2_000_000} { // two pieces of 128
		path := s.path(version + "/disk.img")
		was[at] ^= 1
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, was, 0o644)); err != nil {
			t.Fatal(err)
		}
		was[at] ^= 1
		s.knows(describedAt(t, path, "disk.img"), s.path("gone"+version), "app@"+version, true)
	}
	for _, version := range []string{"1", "2"} {
		s.request.From = []string{s.path(version)}
		if list := s.finds(version + "/disk.img"); len(list) == 1 {
			if want := (installed{s.request.StateDir}).release(list[0].v2()); want != "app@"+version {
				t.Errorf("version %s was taken for %s", version, want)
			}
		}
	}

	// One alone of which little is right is hashed: it is another.
	s.write("4/disk.img", 8, length)
	s.request.From = []string{s.path("4")}
	list, err := s.request.versions(t.Context(), s.patches)
	if err != nil || len(list) != 1 || len(s.read) != 1 || list[0].v2() == s.patches[0].Base || list[0].v2() == s.patches[1].Base {
		t.Errorf("found %v, %v, hashed %q, want it to be hashed and known for no version", list, err, s.read)
	}
}

// Of a version that somebody has changed, all but the pieces that were changed is here, however large the file is that has them.
func TestWhatIsHereOfAChangedVersion(t *testing.T) {
	t.Parallel()
	now := &search{t: t, dir: t.TempDir()}
	now.write("new/bin/tool", 3, 2<<20)
	s := newSearch(t, describedAt(t, now.path("new"), "app-3"))
	path := s.write("srv/bin/tool", 2, 2<<20)
	s.write("srv/lib", 1, 100_000)
	x := describedAt(t, s.path("srv"), "app-2")
	s.knows(x, s.path("gone"), "app@2", true)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b)/4; at += int(x.PieceLength) {
		b[at] ^= 1
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	s.request.From = []string{s.path("srv")}
	list, err := s.request.versions(t.Context(), s.patches)
	if err != nil || len(list) != 1 || list[0].v2() != s.patches[0].Base || list[0].here != x.Length-1<<19 || len(s.read) != 1 {
		t.Errorf("found %v, %v, hashed %q, want version 2 but for %d bytes", list, err, s.read, 1<<19)
	}
}
