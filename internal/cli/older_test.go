package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// An old version is patched from wherever update has put it, and a version that is installed elsewhere is not fetched again.
func TestOldVersionsThatUpdateHasInstalled(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	state := []string{"--root", root, "--state-dir", h.Path("state")}
	installed := func(to string) swarmtest.Event {
		t.Helper()
		h.Run("update", "pin", "1", "--to", h.Path(to)).Succeed()
		p := h.Run(append([]string{"update", base + "app:stable", "--once", "--to", h.Path(to)}, state...)...).Succeed()
		return p.Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "staged" })
	}
	installed("first")
	if staged := installed("second"); staged.Int("from.origin") != 0 {
		t.Errorf("the same version at a second place: %v, want nothing fetched", staged)
	}
	plan := h.Run(append([]string{"plan", base + "app@2", "-o", h.Path("out")}, state...)...).Succeed().Expect("plan")
	if plan.String("way") != "patch" || plan.String("patch_from") != "1" {
		t.Errorf("%v, want a patch from what update has installed", plan)
	}
}

// A directory that is named is a version, whatever it is called, also if something in it begins with the app's name, something was added, and most bytes are in a file of which some have
// changed. What is of no use is told of.
func TestFromADirectoryWithMoreInIt(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	srv := h.Path("v1srv")
	if err := errors.Join(os.CopyFS(srv, os.DirFS(one)), os.WriteFile(filepath.Join(srv, "app-server"), []byte("x"), 0o755), os.Mkdir(h.Path("empty"), 0o755)); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(srv, "lib", "data"), 500_000) // 1.0 of 1.8 MB
	args := []string{base + "app@2", "--root", root, "--from", srv, "--from", h.Path("empty"), "-o", h.Path("out")}
	plan := h.Run(append([]string{"plan", "--state-dir", h.Path("other")}, args...)...).Succeed().Expect("plan")
	if plan.String("way") != "patch" || plan.String("patch_from") != "1" {
		t.Errorf("%v, want a patch from 1", plan)
	}
	p := h.Run(append([]string{"get", "--state-dir", h.Path("state")}, args...)...).Succeed()
	if n := p.Expect("done").Int("from.origin"); n > 1_250_000 {
		t.Errorf("%d bytes from the origin, want the patch and a piece", n)
	}
	if n := p.Events("notice"); len(n) == 0 || !strings.Contains(n[0].String("message"), "nothing comes --from "+h.Path("empty")+": ") {
		t.Errorf("notices %v, want one that the empty directory is of no use", n)
	}
	swarmtest.Same(t, two, h.Path("out", "app-2"))
}

// What is one file is found beside the new one whatever it is called, where get has put it.
func TestAnOldVersionThatIsAFileOfAnotherName(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	text := hexDigits(1, 500_000)
	var files []string
	for _, version := range []string{"1", "2", "3"} {
		path := h.Path(version, "install-"+version+".bin")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, append(text, version...), 0o755)); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	base, root := published(h, files...)
	for i, way := range []string{"archive", "patch", "patch"} {
		args := []string{"get", base + "app@" + string(rune('1'+i)), "--root", root, "--state-dir", h.Path("state"), "-o", h.Path("out")}
		if done := h.Run(args...).Succeed().Expect("done"); done.String("way") != way {
			t.Errorf("version %d: %v, want the %s", i+1, done, way)
		}
	}
}

// A file that lies where it should, under another name, is not fetched, nor are two whose names were exchanged.
func TestAFileThatWasRenamed(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, _ := versions(t, h)
	base, root := published(h, one)
	out := h.Path("out")
	get := []string{"get", base + "app@1", "--root", root, "--state-dir", h.Path("state"), "-o", out}
	h.Run(get...).Succeed()
	lib := filepath.Join(out, "app-1", "lib")
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(lib, from), filepath.Join(lib, to)); err != nil {
			t.Fatal(err)
		}
	}
	for name, again := range map[string][]string{"get": get, "repair": {"verify", "--repair", filepath.Join(out, "app-1"), "--state-dir", h.Path("state")}} {
		rename("data", "moved")
		rename("00", "aside")
		rename("01", "00")
		rename("aside", "01")
		if done := h.Run(again...).Succeed().Expect("done"); done.Int("from.origin") != 0 || done.Int("from.reuse") != done.Int("bytes") {
			t.Errorf("%s: %v, want nothing fetched", name, done)
		}
		if err := os.Remove(filepath.Join(lib, "moved")); err != nil {
			t.Fatal(err)
		}
		swarmtest.Same(t, one, filepath.Join(out, "app-1"))
	}
}

// What --from has is not fetched of a part of a release either, nor of what is no release, and what --from cannot be used for is told of.
func TestFromWhereThereIsNoPlan(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	base, root := published(h, one, two)
	release := []string{"get", base + "app@2", "--root", root, "--state-dir", h.Path("state"), "--from", one}
	out := h.Path("selected")
	if done := h.Run(append(release, "-o", out, "--select", "lib/data", "--select", "share")...).Succeed().Expect("done"); done.Int("from.origin") != 0 || done.Int("from.reuse") != done.Int("bytes") {
		t.Errorf("a part of a release: %v, want what is the same not to be fetched", done)
	}
	swarmtest.Same(t, filepath.Join(two, "lib", "data"), filepath.Join(out, "app-2", "lib", "data"))
	if l := leftovers(t, out); len(l) > 0 {
		t.Errorf("it left behind %q", l)
	}

	_, serving := origin(h, two)
	plain := func(args ...string) *swarmtest.Process {
		t.Helper()
		return h.Run(append([]string{"get", "--state-dir", h.Path("state")}, args...)...).Succeed()
	}
	p := plain(serving.String("url"), "-o", h.Path("plain"), "--from", one, "--from", h.Path("repo", "keys"))
	if done := p.Expect("done"); done.Int("from.reuse") < 1_000_000+40_000 || done.Int("from.reuse")+done.Int("from.origin") != done.Int("bytes") {
		t.Errorf("what is no release: %v, want its files that are the same not to be fetched", done)
	}
	if n := p.Events("notice"); len(n) != 1 || !strings.Contains(n[0].String("message"), "nothing comes --from "+h.Path("repo", "keys")) {
		t.Errorf("notices %v, want one that the second directory is of no use", n)
	}
	swarmtest.Same(t, two, h.Path("plain", "two"))
	p = plain(serving.String("magnet"), "-o", h.Path("magnet"), "--from", one)
	if n := p.Events("notice"); len(n) == 0 || !strings.Contains(n[0].String("message"), "nothing comes --from "+one+": what a magnet link leads to") {
		t.Errorf("notices %v, want one that a magnet link says too little", n)
	}
}

// What a fetch of an older version has left that was killed is used for the newer one, and is gone with it; what another process still fetches, and what is another app's, stays.
func TestAnOlderVersionThatWasStopped(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	repo := repositoryOf(h, one, two)
	h.Run("publish", swarmtest.File(t, h.Path("other"), 3_000_000), "--as", "other@1", "--channel", "stable", "--repo", repo).Succeed()
	base := offered(h, repo)
	for name, kill := range map[string]bool{"killed": true, "running": false} {
		out := h.Path(name)
		get := func(what string, args ...string) []string {
			return append([]string{"get", base + what, "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path(name + "-state"), "-o", out}, args...)
		}
		other := h.Start(get("other@1", "--limit-down", "300K")...)
		waitUntil(t, "some of the other app", func() bool { return mostParts(t, out) > 200_000 })
		other.Kill()
		other.Wait()
		stays := leftovers(t, out)
		p := h.Start(get("app@1", "--limit-down", "300K")...)
		waitUntil(t, "most of the large file of an old version", func() bool { return len(leftovers(t, out)) > len(stays)+1 && mostParts(t, out) > 700_000 })
		if kill {
			p.Kill()
			p.Wait()
		}
		done := h.Run(get("app@2")...).Succeed().Expect("done")
		swarmtest.Same(t, two, filepath.Join(out, "app-2"))
		if kill {
			if n := done.Int("from.reuse"); n < 500_000 {
				t.Errorf("%v, want what the older version has left to be used", done)
			}
			if l := leftovers(t, out); strings.Join(l, " ") != strings.Join(stays, " ") {
				t.Errorf("left behind are %q, want the other app's %q", l, stays)
			}
			continue
		}
		p.Expect("done")
		swarmtest.Same(t, one, filepath.Join(out, "app-1"))
	}
}
