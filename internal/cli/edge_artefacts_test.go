package cli

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// What an edge follows it has in every way that a release comes: its files, its archive, and the patches to it, of which small ones come with the signed files as well. Machines behind it
// take the cheapest, also when the origin is down; and all of it goes when the release is withdrawn.
func TestEdgeHasArchivesAndPatches(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	three := h.Path("three")
	text := make([]byte, 600_000)
	rand.NewChaCha8([32]byte{2}).Read(text)
	if err := errors.Join(os.Mkdir(three, 0o755), os.CopyFS(filepath.Join(three, "renamed"), os.DirFS(two)), os.WriteFile(filepath.Join(three, "text"), []byte(hex.EncodeToString(text)), 0o755)); err != nil {
		t.Fatal(err)
	}
	repo := repositoryOf(h, one, two, three)
	serve := h.Start("serve", repo, "--listen", "127.0.0.1:0", "--state-dir", h.Path("origin"))
	origin := serve.Expect("releases").String("url")
	serve.Expect("ready")
	at := swarmtest.Local(t)
	_, edge := node(at, origin, "--quota", "100M")
	kinds := func() (have map[string]int) {
		have = map[string]int{}
		list, _ := edgeState(t, edge)["contents"].([]any)
		for _, x := range list {
			if e := swarmtest.Event(x.(map[string]any)); e.String("state") == "whole" && e.String("name") == "app@3" {
				have[e.String("kind")+e.String("patch_from")]++
			}
		}
		return have
	}
	waitUntil(t, "files, archive and patches are there", func() bool {
		have := kinds()
		return len(have) == 4 && have["T"] == 1 && have["F"] == 1 && have["P1"] == 1 && have["P2"] == 1
	})
	serve.Stop()
	for _, c := range []struct {
		from, way string
		most      int64
	}{{"", "archive", 3_200_000}, {two, "patch", 700_000}, {one, "patch", 1_800_000}} {
		m := swarmtest.Local(t)
		args := []string{"get", edge + "/app:stable", "-o", m.Path("out"), "--trust-on-first-use"}
		if c.from != "" {
			args = append(args, "--from", c.from)
		}
		done := m.Run(args...).Succeed().Expect("done")
		if n := done.Int("from.edges") + done.Int("from.origin"); done.String("way") != c.way || n == 0 || n > c.most {
			t.Errorf("from %q: %v, want %s of %d bytes at most", filepath.Base(c.from), done, c.way, c.most)
		}
		swarmtest.Same(t, three, m.Path("out", "app-3"))
	}
	h.Run("withdraw", "app@3", "--repo", repo, "--reason", "broken").Succeed()
	_, _, port := cutURL(origin)
	serve = h.Start("serve", repo, "--listen", "127.0.0.1:"+port, "--state-dir", h.Path("origin"))
	serve.Expect("ready")
	waitUntil(t, "all of it has gone", func() bool { return edgeState(t, edge).Int("dropped.withdrawn.contents") == 4 })
	if have := kinds(); len(have) > 0 { // what the channel leads to now may be there by now
		t.Errorf("%v are kept", have)
	}
}
