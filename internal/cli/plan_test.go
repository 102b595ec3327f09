package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// After a get that was killed, plan says what the next one then fetches, whichever way that goes.
func TestPlanAfterAKilledGet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		way, version string
		versions     func(*testing.T, *swarmtest.Host) (one, two string)
		publish      []string
	}{
		{"archive", "1", versions, nil},
		{"patch", "2", versions, nil},
		{"tree", "2", halfAgain, []string{"--no-patches"}},
	} {
		t.Run(c.way, func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			one, two := c.versions(t, h)
			repo := repositoryOf(h, one)
			h.Run(append([]string{"publish", two, "--as", "app@2", "--channel", "stable", "--repo", repo}, c.publish...)...).Succeed()
			args := []string{offered(h, repo) + "app@" + c.version, "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("state"), "-o", h.Path("out")}
			content := one
			if c.version == "2" {
				args, content = append(args, "--from", one), two
			}
			way, planned := killedTwice(t, h, c.way, append([]string{"get"}, args...), args)
			done := h.Run(append([]string{"get"}, args...)...).Succeed().Expect("done")
			if got := done.Int("from.origin"); done.String("way") != way || got < planned-descriptions || got > planned+descriptions {
				t.Errorf("%v: want what plan said, the %s, and %d bytes", done, way, planned)
			}
			swarmtest.Same(t, content, h.Path("out", "app-"+c.version))
		})
	}
}

// And after an update, which fetches elsewhere, and where it stays keeps its patch apart.
func TestPlanAfterAKilledUpdate(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]string{"once": "--once", "staying": "--every=1h"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := swarmtest.Local(t)
			one, two := versions(t, h)
			base, root := published(h, one, two)
			opt, state := []string{"--to", h.Path("opt")}, []string{"--state-dir", h.Path("state")}
			with := func(args ...string) []string { return append(append(args, opt...), state...) }
			h.Run(append([]string{"update", "pin", "1"}, opt...)...).Succeed()
			h.Run(with("update", base+"app:stable", "--root", root, "--once")...).Succeed()
			if way := h.Run(append([]string{"plan"}, with()...)...).Succeed().Expect("plan"); way.Int("fetch_bytes") != 0 {
				t.Errorf("%v: want nothing to be fetched of the version that is pinned and in place", way)
			}
			h.Run(append([]string{"update", "unpin"}, opt...)...).Succeed()
			update := with("update", how)
			way, planned := killedTwice(t, h, "patch", update, with())
			p := h.Start(update...)
			staged := p.Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "staged" })
			if got := staged.Int("from.origin"); staged.String("way") != way || got < planned-descriptions || got > planned+descriptions {
				t.Errorf("%v: want what plan said, the %s, and %d bytes", staged, way, planned)
			}
			p.Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "confirmed" })
			swarmtest.Same(t, two, h.Path("opt", "current"))
		})
	}
}

// killedTwice kills a command when a third of what is to be fetched is here, and again at two thirds, and returns what plan says then. That may be another way
// than the first: what a patch or an archive has made counts for the tree.
func killedTwice(t *testing.T, h *swarmtest.Host, want string, command, plan []string) (way string, fetch int64) {
	t.Helper()
	planned := func() (way string, fetch int64) {
		t.Helper()
		p := h.Run(append([]string{"plan"}, plan...)...).Succeed().Expect("plan")
		return p.String("way"), p.Int("fetch_bytes")
	}
	way, first := planned()
	if way != want {
		t.Fatalf("the %s is planned, want the %s", way, want)
	}
	for _, part := range []int64{first / 3, first * 2 / 3} {
		p := h.Start(append(command, "--limit-down", fmt.Sprint(first/4))...)
		p.Expect("plan")
		waitUntil(t, "a part of it to be here", func() bool {
			_, fetch := planned()
			return fetch <= first-part
		})
		p.Kill()
	}
	return planned()
}

// descriptions are what metainfo may take of releases as small as these.
const descriptions = 4 << 10

// halfAgain makes two versions of a tree, of random bytes: the second has half a file in common with the first, and a new one.
func halfAgain(t *testing.T, h *swarmtest.Host) (one, two string) {
	t.Helper()
	one, two = h.Path("one"), h.Path("two")
	big := func(name string) []byte {
		b, err := os.ReadFile(swarmtest.File(t, h.Path(name), 256<<10))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := big("a"), big("b")
	for path, parts := range map[string][]string{filepath.Join(one, "big"): {string(a), string(a)}, filepath.Join(two, "big"): {string(a), string(b)}} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(strings.Join(parts, "")), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	swarmtest.File(t, filepath.Join(two, "new"), 256<<10)
	return one, two
}

// A file is no older version of a directory: what is not used is told of.
func TestFromAFileForADirectory(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, _ := halfAgain(t, h)
	repo, file := repositoryOf(h, one), swarmtest.File(t, h.Path("file"), 100)
	for _, command := range []string{"plan", "get"} {
		args := []string{command, "app@1", "--repo", repo, "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("state"), "-o", h.Path("out")}
		for from, want := range map[string]bool{file: true, one: false} {
			said := false
			for _, n := range h.Run(append(args, "--from", from)...).Succeed().Events("notice") {
				said = said || strings.Contains(n.String("message"), "it is a file")
			}
			if said != want {
				t.Errorf("%s --from %s: told that it is of no use: %v, want %v", command, from, said, want)
			}
		}
	}
}
