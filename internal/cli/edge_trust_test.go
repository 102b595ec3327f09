package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// The origin dies, and the edge is killed and comes back: a machine that has nothing but root.json finds the newest release in the DHT, by the channel's name and by a
// magnet link, and fetches it from the edge.
func TestEdgeKeepsRepositoryFindable(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	nodes := swarmtest.StartDHT(t, 12)
	dht := []string{"--dht", "private", "--dht-bootstrap", nodes[2].Addr}
	with := func(args ...string) []string { return append(args, dht...) }
	o := swarmtest.Local(t)
	repo, root := o.Path("repo"), o.Path("repo", "root.json")
	o.Run("init", repo, "--plain-keys").Succeed()
	publish(t, o, repo, "app", "1", 200_000)
	origin := o.Start(with("serve", repo, "--listen", "127.0.0.1:0")...)
	magnets, _ := origin.Expect("releases")["magnets"].([]any)
	url := ready(origin)
	h := swarmtest.Local(t)
	edge, _ := node(h, url, with("--quota", "40M")...)
	edge.ExpectStderr("state is given")
	want := publish(t, o, repo, "app", "2", 300_000)
	edge.Expect("kept", func(e swarmtest.Event) bool { return e.String("name") == "app@2" })
	waitUntil(t, "the newer state is given", func() bool { return strings.Count(edge.Stderr(), "state is given") > 1 })
	origin.Kill()
	edge.Kill()
	edge, _ = node(h, url, with("--quota", "40M")...)
	edge.ExpectStderr("state is given")
	if kept, err := filepath.Glob(h.Path("state", "state", "*", "*.json")); err != nil || len(kept) != 1 {
		t.Errorf("%q is kept (%v), want the newest state alone", kept, err)
	}
	for _, source := range []string{"app:stable", magnets[0].(string)} {
		m := swarmtest.Local(t)
		done := m.Run(with("get", source, "--root", root, "--listen", "127.0.0.1:0", "-o", m.Path("out"), "--deadline", "1m")...).Succeed().Expect("done")
		swarmtest.Same(t, want, m.Path("out", "app.bin"))
		if done.Int("from.edges") != 300_000 {
			t.Errorf("%s: %v: want all of it from the edge", source, done)
		}
	}
}

// A thief of all keys shows others another log than the edge has seen. The edge and the machine that got the thief's release learn of it from each other, and both keep the evidence.
func TestEdgeNoticesSplitView(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	o := swarmtest.Local(t)
	repo, twin := o.Path("repo"), o.Path("twin")
	o.Run("init", repo, "--plain-keys").Succeed()
	publish(t, o, repo, "app", "1", 100_000)
	if err := os.CopyFS(twin, os.DirFS(repo)); err != nil {
		t.Fatal(err)
	}
	content := swarmtest.File(t, o.Path("same.bin"), 1<<20)
	for at, version := range map[string]string{repo: "app@2", twin: "app@666"} {
		o.Run("publish", content, "--as", version, "--channel", "stable", "--platform", "any", "--repo", at).Succeed()
	}
	url := ready(o.Start("serve", repo, "--listen", "127.0.0.1:0"))
	other := swarmtest.Local(t)
	thief := ready(other.Start("serve", twin, "--listen", "127.0.0.1:0", "--limit-up", "100K"))
	h := swarmtest.Local(t)
	edge, edgeURL := node(h, url, "--quota", "40M")
	edge.Expect("kept")

	m := swarmtest.Local(t)
	m.Run("get", thief+"/app:stable", "--root", filepath.Join(repo, "root.json"), "--peers", "all", "--peer", strings.TrimPrefix(edgeURL, "http://"), "-o", m.Path("out")).Fail(int(exitTrust))
	edge.ExpectStderr("somebody was shown another log")
	waitUntil(t, "the edge tells of it", func() bool {
		origins, _ := edgeState(t, edgeURL)["origins"].([]any)
		return len(origins) == 1 && swarmtest.Event(origins[0].(map[string]any)).String("fork") != ""
	})
	for _, dir := range []string{h.Path("state"), m.Path("state")} {
		if evidence, err := filepath.Glob(filepath.Join(dir, "trust", "*", "fork-*.txt")); err != nil || len(evidence) != 1 {
			t.Errorf("evidence in %s: %q (%v), want one file", dir, evidence, err)
		}
	}
}

// ready is the URL at which a node serves, once it does.
func ready(p *swarmtest.Process) string {
	return fmt.Sprintf("http://127.0.0.1:%d", p.Expect("ready").Int("port"))
}
