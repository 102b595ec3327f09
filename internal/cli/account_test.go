package cli

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// What a patch makes of an older version was here; the origin has sent the patch.
func TestPatchedBytesWereHere(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := h.Path("one.bin"), h.Path("two.bin")
	b := make([]byte, 2_000_000)
	rand.NewChaCha8([32]byte{3}).Read(b)
	err := os.WriteFile(one, b, 0o644)
	b[1_000_000] ^= 1
	if err := errors.Join(err, os.WriteFile(two, b, 0o644)); err != nil {
		t.Fatal(err)
	}
	base, root := published(h, one, two)
	get := func(version string) swarmtest.Event {
		t.Helper()
		return h.Run("get", base+"app@"+version, "--root", root, "--state-dir", h.Path("state"), "-o", h.Path("out")).Succeed().Expect("done")
	}
	get("1")
	done := get("2")
	if n := done.Int("from.origin"); done.String("way") != "patch" || n > 10_000 || done.Int("from.reuse") != done.Int("bytes")-n {
		t.Errorf("%v, want a small patch, and all else from what was here", done)
	}
	swarmtest.Same(t, two, h.Path("out", "two.bin"))
}

// What a former run has unpacked is here, for the one that goes on.
func TestUnpackedBeforeIsHere(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, _ := versions(t, h)
	base, root := published(h, one)
	get := []string{"get", base + "app@1", "--root", root, "--state-dir", h.Path("state"), "-o", h.Path("out")}
	p := h.Start(append(get, "--limit-down", "300K")...)
	p.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 1_100_000 }) // lib/data comes last of all
	p.Kill()
	done := h.Run(get...).Succeed().Expect("done")
	if n := done.Int("from.reuse"); n < 400_000 || n >= done.Int("bytes") {
		t.Errorf("%v, want that what was unpacked before is counted as here", done)
	}
	swarmtest.Same(t, one, filepath.Join(h.Path("out"), "app-1"))
}

// What a killed run has of the files is not planned to be fetched again.
func TestPlanAfterKill(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one := h.Path("one.bin")
	b := make([]byte, 4_000_000)
	rand.NewChaCha8([32]byte{4}).Read(b)
	if err := os.WriteFile(one, b, 0o644); err != nil {
		t.Fatal(err)
	}
	base, root := published(h, one)
	args := []string{base + "app@1", "--root", root, "--state-dir", h.Path("state"), "-o", h.Path("out")}
	p := h.Start(append([]string{"get", "--limit-down", "500K"}, args...)...)
	told := p.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 500_000 }).Int("done")
	p.Kill()
	plan := h.Run(append([]string{"plan"}, args...)...).Succeed().Expect("plan")
	if n := plan.Int("fetch_bytes"); plan.String("way") != "tree" || n > 4_010_000-told || n < 10_000 {
		t.Errorf("%v after %d bytes were there, want the rest", plan, told)
	}
}
