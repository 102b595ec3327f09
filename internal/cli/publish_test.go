package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/swarmtest"
)

// Interrupted before its patches are there, --patches-first does not claim that the release is live: its channel does not have it.
func TestPatchesFirstIsInterrupted(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	for i, dir := range []string{h.Path("one"), h.Path("two")} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/text", hexDigits(byte(i), 4<<20), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	repo := repositoryOf(h, h.Path("one"))
	p := h.Start("publish", h.Path("two"), "--as", "app@2", "--channel", "stable", "--patches-first", "--repo", repo)
	p.Expect("published")
	p.Signal(syscall.SIGINT)
	if hint := p.Expect("error").String("hint"); strings.Contains(hint, "live") || !strings.Contains(hint, "app:stable") {
		t.Errorf("%q, want what is missing yet", hint)
	}
}

// --no-patches leaves out patches, not the index of blocks: the next version finds again what has only moved.
func TestNoPatchesStillMeansAnIndex(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := swarmtest.File(t, h.Path("1", "app"), 3<<20), h.Path("2", "app")
	content, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(h.Path("2"), 0o755), os.WriteFile(two, append(hexDigits(7, 388), content...), 0o644)); err != nil {
		t.Fatal(err)
	}
	repo := repositoryOf(h)
	for i, path := range []string{one, two} {
		version := strconv.Itoa(i + 1)
		p := h.Run("publish", path, "--as", "app@"+version, "--channel", "stable", "--repo", repo, "--no-patches").Succeed()
		if events := p.Events("patch"); len(events) > 0 {
			t.Errorf("version %s: %v, want no patch", version, events)
		}
	}
	get := func(version string) swarmtest.Event {
		return h.Run("get", "app@"+version, "--repo", repo, "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("state"), "-o", h.Path("out", version)).Succeed().Expect("done")
	}
	get("1")
	done := get("2")
	if n := done.Int("bytes") - done.Int("from.reuse"); n > 128<<10 {
		t.Errorf("%v: fetched %d bytes, want a few blocks", done, n)
	}
}

// A version to patch from that cannot be is refused before anything is signed; one that has its patch already is not told of.
func TestPatchFromIsChecked(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	repo := repositoryOf(h, one)
	publish := func(args ...string) *swarmtest.Process {
		return h.Run(append([]string{"publish", two, "--as", "app@2", "--channel", "stable", "--repo", repo}, args...)...)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitNoSource, []string{"--patch-from", "9.9"}},
		{exitNoSource, []string{"--patch-from", "1", "--platform", "plan9-mips"}},
		{exitUsage, []string{"--patch-from", "2"}},
		{exitUsage, []string{"--patch-from", "1", "--no-patches"}},
	} {
		if p := publish(c.args...).Fail(c.code); len(p.Events("published")) > 0 {
			t.Errorf("%v: published all the same", c.args)
		}
	}
	for _, want := range []bool{true, false} { // the second time it is there
		p := publish("--patch-from", "1").Succeed()
		if e := p.Expect("published"); e.Bool("added") != want {
			t.Errorf("%v, want added %v", e, want)
		}
		if got := len(p.Events("patch")) > 0; got != want {
			t.Errorf("a patch is made: %v, want %v", got, want)
		}
		for _, n := range p.Events("notice") {
			if strings.Contains(n.String("message"), "patch") {
				t.Errorf("%v, want nothing said of a patch", n)
			}
		}
	}
}

// What a repository has lost is restored by publishing it again, as its origin says: a machine can have it once more, and the origin goes on.
func TestPublishAgainRestores(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, _ := versions(t, h)
	repo := repositoryOf(h, one)
	origin := h.Start("serve", repo, "--listen", "127.0.0.1:0", "--state-dir", h.Path("origin"), "--log-level", "info")
	base := origin.Expect("releases").String("url")
	origin.Expect("ready")
	if err := os.RemoveAll(filepath.Join(repo, "public", "content")); err != nil {
		t.Fatal(err)
	}
	origin.ExpectStderr("publish it again")
	e := h.Run("publish", one, "--as", "app@1", "--repo", repo).Succeed().Expect("published")
	if got, ok := e["restored"].([]any); !ok || len(got) != 2 || e.Bool("added") || len(e["signed"].([]any)) > 0 {
		t.Errorf("%v, want content and archive restored, and nothing signed", e)
	}
	origin.ExpectStderr("is what was signed again")
	h.Run("get", base+"app@1", "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("state"), "-o", h.Path("out")).Succeed()
	swarmtest.Same(t, one, h.Path("out", "app-1"))
}

// A build directory that is published in place and then built into again is no base of patches: no machine fetches one that leads elsewhere.
func TestPatchFromWhatWasBuiltOver(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	repo, build := repositoryOf(h), h.Path("build")
	publish := func(from, version string) *swarmtest.Process {
		t.Helper()
		if err := errors.Join(os.RemoveAll(build), os.CopyFS(build, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
		return h.Run("publish", build, "--as", "app@"+version, "--channel", "stable", "--in-place", "--repo", repo).Succeed()
	}
	publish(one, "1")
	p := publish(two, "2")
	if made := p.Events("patch"); len(made) > 0 {
		t.Errorf("made %v, want no patch: its base is gone", made)
	}
	told := false
	for _, n := range p.Events("notice") {
		told = told || strings.Contains(n.String("message"), "app@1") && strings.Contains(n.String("message"), "--in-place")
	}
	if !told {
		t.Errorf("notices %v, want one of the base", p.Events("notice"))
	}
	// From elsewhere the base is published again, and then there is a patch.
	if e := h.Run("publish", one, "--as", "app@1", "--repo", repo).Succeed().Expect("published"); e["restored"] == nil {
		t.Errorf("%v, want that the content is restored", e)
	}
	h.Run("publish", build, "--as", "app@2", "--in-place", "--repo", repo).Succeed().Expect("patch")
	done := h.Run("get", offered(h, repo)+"app@2", "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("state"), "--from", one, "-o", h.Path("out")).Succeed().Expect("done")
	if done.String("way") != "patch" {
		t.Errorf("%v, want by the patch", done)
	}
}

// A get may be here before its origin has read what was published: it waits for that moment, and not in vain.
func TestGetRightAfterPublish(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	for _, version := range []string{"2", "3"} {
		swarmtest.File(t, filepath.Join(p.content, "new.bin"), 300<<10)
		p.publish(version)
		out := p.h.Path("out" + version)
		done := p.h.Run("get", p.source, "-o", out, "--root", p.root, "--peers", "off", "--stall-timeout", "10s").Succeed().Expect("done")
		if name := done.String("name"); name != "app-"+version {
			t.Errorf("got %s, want app-%s", name, version)
		}
	}
}
