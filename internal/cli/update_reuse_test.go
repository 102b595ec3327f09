package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// What was fetched of a version that the channel has left meanwhile is not fetched again with the next one, by whichever way it came, and nothing of it is left then.
func TestUpdateTakesWhatItBeganToFetch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		way  string
		text func(n byte) []byte
	}{
		{"tree", func(n byte) []byte {
			b := make([]byte, 1<<20)
			rand.NewChaCha8([32]byte{6, n}).Read(b)
			return b
		}},
		{"archive", func(n byte) []byte { return hexDigits(n, 1<<19) }},
	} {
		t.Run(c.way, func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			one, two := h.Path("one"), h.Path("two")
			for i, dir := range []string{one, two} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				for n := range byte(4) {
					b := c.text(n)
					if i == 1 && n == 3 {
						b[1000]++
						b[1<<19]++
					}
					name := fmt.Sprintf("%d-%d", n, i%2*int(n%2)) // some have another name
					if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			base, root := published(h, one)
			args := []string{"update", base + "app:stable", "--root", root, "--to", h.Path("opt"), "--once"}
			stage := h.Path("opt", ".shoal", "stage")
			p := h.Start(append(args, "--limit-down", "768Ki")...)
			var there int64
			waitUntil(t, "some of it is here", func() bool {
				there = mostParts(t, filepath.Join(stage, "1"))
				return there > 3<<20
			})
			p.Kill()
			p.Wait()
			if plan := p.Expect("plan"); plan.String("way") != c.way {
				t.Fatalf("%v, want the %s", plan, c.way)
			}
			h.Run("publish", two, "--as", "app@2", "--channel", "stable", "--repo", h.Path("repo")).Succeed()
			done := h.Run(args...).Succeed().Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "confirmed" })
			from, _ := done["from"].(map[string]any)
			if got := swarmtest.Event(from).Int("origin"); got > 7<<18 {
				t.Errorf("%v: %d bytes came from the origin, though %d were here", done, got, there)
			}
			swarmtest.Same(t, two, h.Path("opt", "versions", "2"))
			if left, err := os.ReadDir(stage); err != nil || len(left) > 0 {
				t.Errorf("left in the stage: %v (%v)", left, err)
			}
		})
	}
}

// A version that was staged whole, and left by the channel before it could be installed, is what the next one begins with.
func TestUpdateTakesWhatItHasStaged(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	base, root, _, two := besideAnOlderVersion(t, h)
	h.Run("promote", "app@1", "--channel", "stable", "--repo", h.Path("repo")).Succeed()
	args := []string{"update", base + "app:stable", "--root", root, "--to", h.Path("opt"), "--once"}
	h.Run(append(args, "--fleet-lock", "http://127.0.0.1:1")...).Wait()
	if _, err := os.Stat(h.Path("opt", ".shoal", "stage", "1", "app-1")); err != nil {
		t.Fatal(err)
	}
	h.Run("promote", "app@2", "--channel", "stable", "--repo", h.Path("repo")).Succeed()
	done := h.Run(args...).Succeed().Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "confirmed" })
	from, _ := done["from"].(map[string]any)
	if got := swarmtest.Event(from).Int("origin"); got > 21<<17 {
		t.Errorf("%v: %d bytes came from the origin, though a third was here", done, got)
	}
	swarmtest.Same(t, two, h.Path("opt", "versions", "2"))
}

// A first update takes what lies there already, or where it is told, for an older version: a file that it replaces, a version that somebody has put where versions lie, --from.
func TestFirstUpdateTakesWhatLiesThere(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	var files [2]string
	text := hexDigits(3, 1<<20)
	for i := range files {
		files[i] = h.Path(fmt.Sprint("v", i+1), "tool")
		copy(text[1000*(i+1):], "NEW")
		if err := errors.Join(os.Mkdir(filepath.Dir(files[i]), 0o755), os.WriteFile(files[i], text, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	base, root := published(h, files[:]...)
	link := func(path string) string {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Link(files[0], path)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"the file that is replaced", []string{"--in-place", "--to", link(h.Path("bin", "tool"))}},
		{"a version that was put there", []string{"--to", filepath.Dir(filepath.Dir(filepath.Dir(link(h.Path("opt", "versions", "9", "tool")))))}},
		{"--from", []string{"--to", h.Path("other"), "--from", h.Path("v1")}},
	} {
		args := append([]string{"update", base + "app:stable", "--root", root, "--once", "--state-dir", h.Path("state of " + c.name)}, c.args...)
		done := h.Run(args...).Succeed().Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "confirmed" })
		from, _ := done["from"].(map[string]any)
		if got := swarmtest.Event(from).Int("origin"); got > 200_000 {
			t.Errorf("%s: %v: %d bytes came from the origin", c.name, done, got)
		}
	}
	for at, want := range map[string]string{h.Path("bin", "tool"): files[1], h.Path("opt", "versions", "9", "tool"): files[0], h.Path("opt", "current", "tool"): files[1], h.Path("other", "current", "tool"): files[1]} {
		swarmtest.Same(t, want, at)
	}
}
