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
