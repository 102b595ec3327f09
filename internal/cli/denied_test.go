package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// An archive or a patch on a plain web server is missing, cut off or damaged, and nobody else is known: the tree, which lies on the same server, comes at once, also where nothing is
// given up for its silence. It does as well, later, where a peer is named that cannot be reached, and might have had it.
func TestArtefactThatNobodyHas(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := h.Path("one"), h.Path("two")
	for i, dir := range []string{one, two, two} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, fmt.Sprint(i/2)), hexDigits(byte(i/2), 1<<18), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	made := repositoryOf(h, one, two)
	cut := func(path string) error { return os.Truncate(path, 50) }
	damaged := func(path string) error { flip(t, path, 100_000); return nil }
	for _, c := range []struct {
		name, way string
		harm      func(path string) error
		args      []string
		late      bool
	}{
		{name: "no archive", way: "archive", harm: os.Remove},
		{name: "an archive that is cut off", way: "archive", harm: cut},
		{name: "a damaged archive", way: "archive", harm: damaged},
		{name: "a damaged archive, without peers", way: "archive", harm: damaged, args: []string{"--peers", "off"}},
		{name: "no patch", way: "patch", harm: os.Remove},
		{name: "a patch that is cut off", way: "patch", harm: cut},
		{name: "a damaged patch", way: "patch", harm: damaged},
		{name: "no archive, and a peer that is away", way: "archive", harm: os.Remove, args: []string{"--peer", "127.0.0.1:1"}, late: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := swarmtest.Local(t)
			repo := m.Path("repo")
			if err := os.CopyFS(repo, os.DirFS(filepath.Join(made, "public"))); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.FileServer(http.Dir(repo)))
			t.Cleanup(server.Close)
			get := func(version string, args ...string) *swarmtest.Process {
				return m.Start(append([]string{"get", server.URL + "/app@" + version, "--root", filepath.Join(made, "root.json"), "-o", m.Path("out")}, args...)...)
			}
			file := "app-2.tar.zst"
			if c.way == "patch" {
				get("1").Succeed()
				file = "app-2.from-1.patch"
				beside, err := filepath.Glob(filepath.Join(repo, "targets", "releases", "app", "2", "*+1.patch"))
				if err != nil || len(beside) != 1 || os.Remove(beside[0]) != nil {
					t.Fatalf("patches with the signed documents: %q, %v", beside, err)
				}
			}
			found, err := filepath.Glob(filepath.Join(repo, "content", "*", file))
			if err != nil || len(found) != 1 {
				t.Fatalf("%s: %q, %v", file, found, err)
			}
			if err := c.harm(found[0]); err != nil {
				t.Fatal(err)
			}
			p := get("2", append(c.args, "--stall-timeout", "0", "--deadline", "1m")...)
			if plan := p.Expect("plan"); plan.String("way") != c.way {
				t.Fatalf("%v, want the %s", plan, c.way)
			}
			done := p.Succeed().Expect("done")
			if done.String("way") != "tree" {
				t.Errorf("%v, want the tree in the end", done)
			}
			if took := done.Int("seconds"); !c.late && took >= 9 { // after 10 s others are asked for the tree
				t.Errorf("it took %v s, want what one needs to find out", took)
			}
			swarmtest.Same(t, two, m.Path("out", "app-2"))
		})
	}
}
