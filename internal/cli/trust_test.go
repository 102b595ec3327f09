package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// A publisher with two faces, or a thief of his keys, shows each of two machines a history of its own, of which each is whole. They meet in a swarm, and notice.
func TestSplitViewIsNoticed(t *testing.T) {
	h := swarmtest.Local(t)
	repo, twin := h.Path("repo"), h.Path("twin")
	content := swarmtest.File(t, h.Path("file"), 3<<20)
	h.Run("init", repo, "--plain-keys").Succeed()
	h.Run("publish", content, "--as", "app@1", "--repo", repo).Succeed()
	if err := os.CopyFS(twin, os.DirFS(repo)); err != nil {
		t.Fatal(err)
	}
	h.Run("publish", h.Path("repo", "root.json"), "--as", "app@2", "--channel", "stable", "--repo", repo).Succeed()
	h.Run("publish", h.Path("repo", "shoal.json"), "--as", "app@666", "--channel", "stable", "--repo", twin).Succeed()
	root := filepath.Join(repo, "root.json")
	serve := func(dir, limit string) (*swarmtest.Process, string) {
		p := h.Start("serve", dir, "--listen", "127.0.0.1:0", "--state-dir", dir+"-state", "--limit-up", limit)
		return p, p.Expect("releases").String("url")
	}
	_, bad := serve(twin, "0")
	origin, good := serve(repo, "300K")
	address := fmt.Sprintf("127.0.0.1:%d", h.FreePort()) // it announces itself to the other origin's tracker only, so it is named
	victim := h.Start("get", bad+"app@1", "--root", root, "-o", h.Path("victim"), "--state-dir", h.Path("victim-state"), "--seed-for", "1h", "--peers", "all", "--listen", address)
	victim.Expect("done")
	other := h.Run("get", good+"app@1", "--root", root, "-o", h.Path("other"), "--state-dir", h.Path("other-state"), "--peer", address)
	other.Fail(exitTrust)
	if e := other.Expect("error"); e.String("rule") != "fork" || !strings.Contains(e.String("hint"), "fork-2-2.txt") {
		t.Errorf("%v: want the rule fork, and the evidence named", e)
	}
	evidence := func(state string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(state, "trust", "*", "fork-*.txt"))
		if err != nil || len(files) != 1 {
			t.Errorf("evidence %q in %s, %v", files, state, err)
		}
	}
	evidence(h.Path("other-state"))
	// Who only gives what he has notices too, and so does an origin.
	victim.Expect("notice", func(e swarmtest.Event) bool { return strings.Contains(e.String("message"), "fork-2-2.txt") })
	evidence(h.Path("victim-state"))
	late := h.Run("get", bad+"app@1", "--root", root, "-o", h.Path("late"), "--state-dir", h.Path("late-state"), "--peer", strings.TrimPrefix(strings.TrimSuffix(good, "/"), "http://"))
	late.Fail(exitTrust)
	origin.ExpectStderr("another log of this repository")
	evidence(repo + "-state")
}
