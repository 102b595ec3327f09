package cli

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// What of an installed file is cut off is all that its repair fetches, also where an archive of the whole has fewer bytes than the file.
func TestRepairOfAFileThatWasCutOff(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	app, text := h.Path("app"), hexDigits(8, 1<<20)
	if err := errors.Join(os.Mkdir(app, 0o755), os.WriteFile(h.Path("app", "text"), text, 0o644)); err != nil {
		t.Fatal(err)
	}
	base, root := published(h, app)
	out := h.Path("out")
	h.Run("get", base+"app@1", "--root", root, "-o", out).Succeed()
	for _, args := range [][]string{{"verify", "--repair", out}, {"get", base + "app@1", "-o", out}} {
		if err := os.Truncate(h.Path("out", "app-1", "text"), 1_700_000); err != nil {
			t.Fatal(err)
		}
		done := h.Run(args...).Succeed().Expect("done")
		if n := done.Int("from.origin"); n < 390_000 || n > 500_000 {
			t.Errorf("%s: %v, want only what was cut off", args[0], done)
		}
		swarmtest.Same(t, app, h.Path("out", "app-1"))
	}

	// Something else lies in the file's place.
	if err := os.WriteFile(h.Path("out", "app-1", "text"), append([]byte("#"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	if done := h.Run("get", base+"app@1", "-o", out).Succeed().Expect("done"); done.String("way") != "archive" {
		t.Errorf("%v, want the archive", done)
	}
	swarmtest.Same(t, app, h.Path("out", "app-1"))
}

// A file that is in place stays there, whatever an older version has of it: only what is bad of it comes anew, from the older version if that has it.
func TestRepairWhereAnOlderVersionIsKnown(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	base, root, old, now := besideAnOlderVersion(t, h)
	get := func(version string) swarmtest.Event {
		t.Helper()
		return h.Run("get", base+"app@"+version, "--root", root, "-o", h.Path("out")).Succeed().Expect("done")
	}
	get("1")
	get("2")
	data := h.Path("out", "app-2", "data")
	was, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if done := get("2"); done.Int("from.origin") != 0 || done.Int("from.reuse") != done.Int("bytes") {
		t.Errorf("what is here, again: %v, want nothing fetched", done)
	}
	if is, err := os.Stat(data); err != nil || !os.SameFile(was, is) || !is.ModTime().Equal(was.ModTime()) {
		t.Errorf("a file that was right was written anew: %v", err)
	}
	for _, c := range []struct {
		name string
		at   []int
		want int64 // from the origin
	}{{"a piece that only the new version has", []int{2_000_000}, 64 << 10}, {"one that both have", []int{10}, 0}, {"both", []int{10, 2_000_000}, 64 << 10}} {
		for _, args := range [][]string{{"verify", "--repair", h.Path("out", "app-2")}, {"get", base + "app@2", "-o", h.Path("out")}} {
			for _, at := range c.at {
				flip(t, data, at)
			}
			if done := h.Run(args...).Succeed().Expect("done"); done.Int("from.origin") != c.want || done.Int("from.reuse") != done.Int("bytes")-c.want {
				t.Errorf("%s, %s: %v, want %d bytes from the origin", c.name, args[0], done, c.want)
			}
			swarmtest.Same(t, now, h.Path("out", "app-2"))
		}
	}
	swarmtest.Same(t, old, h.Path("out", "app-1"))
	if l := leftovers(t, h.Path("out")); len(l) > 0 {
		t.Errorf("left behind: %q", l)
	}
}

// besideAnOlderVersion publishes two versions of one file each, which have their first MiB in common, and 2 MiB of their own.
func besideAnOlderVersion(t *testing.T, h *swarmtest.Host) (base, root, one, two string) {
	t.Helper()
	one, two = h.Path("one"), h.Path("two")
	for i, dir := range []string{one, two} {
		b := make([]byte, 3<<20)
		rand.NewChaCha8([32]byte{3}).Read(b[:1<<20])
		rand.NewChaCha8([32]byte{4, byte(i)}).Read(b[1<<20:])
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "data"), b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	base, root = published(h, one, two)
	return base, root, one, two
}

// A patch from a version of which somebody has changed a file makes all but that file's new version, which the tree gives; what it made was here.
func TestPatchFromAChangedVersion(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	out := h.Path("out")
	h.Run("get", base+"app@1", "--root", root, "-o", out).Succeed()
	flip(t, h.Path("out", "app-1", "lib", "03"), 10)
	nobody := h.Run("plan", base+"app@2", "--root", root, "--from", h.Path("out", "app-1"), "--state-dir", h.Path("other")).Succeed().Expect("plan")
	if nobody.String("way") != "patch" {
		t.Errorf("where nobody remembers the version: %v, want the patch", nobody)
	}
	p := h.Run("get", base+"app@2", "-o", out).Succeed()
	if n := p.Events("notice"); len(n) != 1 || !strings.Contains(n[0].String("message"), "the patch from 1 made all but 39 KiB of 2.7 MiB right") {
		t.Errorf("notices %v, want one that says how much of the release the patch did not make", n)
	}
	done := p.Expect("done")
	if n := done.Int("from.origin"); n > 1_200_000 || done.Int("from.reuse") != done.Int("bytes")-n {
		t.Errorf("%v, want the patch and one file, and that all else was here", done)
	}
	swarmtest.Same(t, two, h.Path("out", "app-2"))
}

// Of the old version a file is gone, and another was cut off: what a patch makes of the others is right all the same.
func TestAPatchMakesTheMostOfADamagedVersion(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	get := func(version string) *swarmtest.Process {
		t.Helper()
		return h.Run("get", base+"app@"+version, "--root", root, "--state-dir", h.Path("state"), "-o", h.Path("out")).Succeed()
	}
	get("1")
	old := filepath.Join(h.Path("out"), "app-1", "lib")
	if err := errors.Join(os.Remove(filepath.Join(old, "00")), os.Truncate(filepath.Join(old, "10"), 10_000)); err != nil {
		t.Fatal(err)
	}
	p := get("2")
	if n := p.Events("notice"); len(n) == 0 || !strings.Contains(n[len(n)-1].String("message"), "made all but") {
		t.Errorf("notices %v, want that the patch made most", n)
	}
	if done := p.Expect("done"); done.Int("from.origin") > 1_150_000+80_100 {
		t.Errorf("%v, want the patch and the two files from the origin", done)
	}
	swarmtest.Same(t, two, filepath.Join(h.Path("out"), "app-2"))
}

// A patch of a few bytes comes before the tree's description. Of a large old file of which a byte has changed, that byte's piece comes from the tree all the same, and no archive of the whole.
func TestASmallPatchMakesTheMostOfAChangedFile(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two, text := h.Path("one"), h.Path("two"), hexDigits(9, 1<<20)
	for _, dir := range []string{one, two} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "text"), text, 0o644)); err != nil {
			t.Fatal(err)
		}
		copy(text[1_000_000:], "NEW")
	}
	base, root := published(h, one, two)
	get := func(version string) *swarmtest.Process {
		t.Helper()
		return h.Run("get", base+"app@"+version, "--root", root, "-o", h.Path("out")).Succeed()
	}
	get("1")
	flip(t, h.Path("out", "app-1", "text"), 550_000) // in none of the pieces that are looked at before
	p := get("2")
	done := p.Expect("done")
	if n := done.Int("from.origin"); done.String("way") != "tree" || n > 66<<10 || done.Int("from.reuse") != done.Int("bytes")-n {
		t.Errorf("%v, want the patch and the one piece of 64 KiB from the origin, and that all else was here", done)
	}
	if n := p.Events("notice"); len(n) != 1 || !strings.Contains(n[0].String("message"), "the patch from 1 made all but 64 KiB of 2.0 MiB right") {
		t.Errorf("notices %v, want one that says how much of the release the patch did not make", n)
	}
	swarmtest.Same(t, two, h.Path("out", "app-2"))
}

// What is here is enough to repair what get and update have installed, with nobody to ask: modes, a file that another version has, pieces of one. What is not here is an error, and
// then nothing is changed.
func TestRepairWithNobodyToAsk(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := h.Path("one"), h.Path("two")
	for i, dir := range []string{one, two} {
		b := make([]byte, 3<<20)
		rand.NewChaCha8([32]byte{3}).Read(b[:1<<20])
		rand.NewChaCha8([32]byte{4, byte(i)}).Read(b[1<<20:])
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "data"), b, 0o644), os.WriteFile(filepath.Join(dir, "same"), b[:1<<20], 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	repo := repositoryOf(h, one)
	origin := h.Start("serve", repo, "--listen", "127.0.0.1:0", "--state-dir", h.Path("origin"))
	base := origin.Expect("releases").String("url")
	origin.Expect("ready")
	root := filepath.Join(repo, "root.json")
	h.Run("get", base+"app@1", "--root", root, "-o", h.Path("out")).Succeed()
	h.Run("update", base+"app:stable", "--root", root, "--to", h.Path("opt"), "--once").Succeed()
	h.Run("publish", two, "--as", "app@2", "--channel", "stable", "--repo", repo).Succeed()
	h.Run("get", base+"app@2", "-o", h.Path("out")).Succeed()
	h.Run("update", "--to", h.Path("opt"), "--once").Succeed()
	origin.Stop()

	for _, at := range []string{h.Path("out", "app-2"), h.Path("opt", "versions", "2")} {
		same, data := filepath.Join(at, "same"), filepath.Join(at, "data")
		repaired := func(what string) {
			t.Helper()
			done := h.Run("verify", "--repair", at).Succeed().Expect("done")
			if done.Int("from.origin") != 0 || done.Int("from.reuse") != done.Int("bytes") {
				t.Errorf("%s, %s: %v, want all of it to have been here", at, what, done)
			}
			swarmtest.Same(t, two, at)
		}
		if err := os.Chmod(same, 0o644); err != nil {
			t.Fatal(err)
		}
		repaired("a mode")
		if err := os.Remove(same); err != nil {
			t.Fatal(err)
		}
		repaired("a file that another version has")
		flip(t, data, 10)
		if err := os.Chmod(data, 0o644); err != nil {
			t.Fatal(err)
		}
		repaired("a piece that another version has")

		flip(t, data, 10) // in both, since else one has what the other lacks
		flip(t, data, 2_000_000)
		damaged, err := os.ReadFile(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Rename(h.Path("out", "app-1"), h.Path("away")), os.Rename(h.Path("opt", "versions", "1"), h.Path("gone"))); err != nil {
			t.Fatal(err)
		}
		other := map[string]string{h.Path("out", "app-2"): h.Path("opt", "versions", "2"), h.Path("opt", "versions", "2"): h.Path("out", "app-2")}[at]
		flip(t, filepath.Join(other, "data"), 2_000_000)
		h.Run("verify", "--repair", at).Fail(3)
		if b, err := os.ReadFile(data); err != nil || !bytes.Equal(b, damaged) {
			t.Errorf("%s: what nobody could repair was changed (%v)", at, err)
		}
		if l := leftovers(t, h.Path("out")); len(l) > 0 {
			t.Errorf("left behind: %q", l)
		}
		flip(t, filepath.Join(other, "data"), 2_000_000)
		if err := errors.Join(os.Chmod(filepath.Join(other, "data"), 0o644), os.Rename(h.Path("away"), h.Path("out", "app-1")), os.Rename(h.Path("gone"), h.Path("opt", "versions", "1"))); err != nil {
			t.Fatal(err)
		}
		if at == h.Path("out", "app-2") { // of the same content only the last place is remembered
			repaired("what the other installation has")
		}
	}
}

// What a version that is kept has is not fetched to repair the one in place, whichever it is and whatever the file is called there.
func TestRepairFromAllVersionsThatAreKept(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	var publish []string
	for i := range 4 {
		dir := h.Path(fmt.Sprint("v", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for n, name := range []string{"a", "b", "c"} { // a is the third version's and the last one's, b the first one's, under another name
			seed := byte(10*i + n)
			switch {
			case i == 3 && n == 0:
				seed = 20
			case i == 3 && n == 1:
				seed, name = 1, "renamed"
			}
			b := make([]byte, 500_000)
			rand.NewChaCha8([32]byte{5, seed}).Read(b)
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		publish = append(publish, dir)
	}
	repo := repositoryOf(h)
	base := offered(h, repo)
	for i, dir := range publish {
		h.Run("publish", dir, "--as", fmt.Sprintf("app@%d", i+1), "--channel", "stable", "--repo", repo).Succeed()
		h.Run("update", base+"app:stable", "--root", filepath.Join(repo, "root.json"), "--to", h.Path("opt"), "--once", "--keep", "9").Succeed()
	}
	current := h.Path("opt", "current")
	for _, name := range []string{"a", "renamed", "c"} {
		if err := os.Remove(filepath.Join(current, name)); err != nil {
			t.Fatal(err)
		}
	}
	if done := h.Run("verify", "--repair", current).Succeed().Expect("done"); done.Int("from.origin") > 510_000 {
		t.Errorf("%v, want one of three files from the origin", done)
	}
	swarmtest.Same(t, publish[3], current)
}
