package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"shoal/internal/swarmtest"
)

// The origin signs and offers, one machine fetches and goes on giving, the origin dies. Another that has nothing but root.json finds the repository by
// its item in the DHT, by the channel's name and by a magnet link, and fetches the release from the one machine.
func TestReleaseOutlivesItsOrigin(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	nodes := swarmtest.StartDHT(t, 12)
	dht := []string{"--dht", "private", "--dht-bootstrap", nodes[2].Addr, "--listen", "127.0.0.1:0"}
	with := func(args ...string) []string { return append(args, dht...) }
	h := swarmtest.Local(t)
	before, content := swarmtest.Tree(t, h.Path("before"), 1<<20), h.Path("app")
	if err := errors.Join(os.CopyFS(content, os.DirFS(before)), os.WriteFile(filepath.Join(content, "new"), []byte("what is new"), 0o644)); err != nil {
		t.Fatal(err)
	}
	repo := h.Path("repo")
	h.Run("init", repo, "--plain-keys").Succeed()
	h.Run("publish", before, "--repo", repo, "--as", "app@1", "--channel", "stable").Succeed()
	h.Run("publish", content, "--repo", repo, "--as", "app@2", "--channel", "stable").Succeed()
	root := h.Path("repo", "root.json")

	origin := h.Start(with("serve", repo)...)
	offered := origin.Expect("releases")
	channel, _ := offered["channels"].([]any)
	magnets, _ := offered["magnets"].([]any)
	if len(channel) != 1 || len(magnets) != 1 {
		t.Fatalf("%v", offered)
	}
	one, two := swarmtest.Local(t), swarmtest.Local(t)
	giver := one.Start(with("get", channel[0].(string), "--root", root, "-o", one.Path("out"), "--from", before, "--seed-for", "1h", "--log-level", "info")...)
	if way := giver.Expect("done").String("way"); way != "patch" {
		t.Errorf("the giver came by %s, want a patch, which it gives as well", way)
	}
	if code := two.Run(with("get", "app:stable", "--root", root, "-o", two.Path("out"), "--deadline", "30s")...).Wait(); code != 0 {
		t.Fatalf("with the origin alive the release is not found in the DHT: exit code %d", code)
	}
	giver.ExpectStderr("state is given")
	origin.Stop()
	var three *swarmtest.Host
	for _, source := range []string{"app:stable", magnets[0].(string)} {
		three = swarmtest.Local(t)
		three.Run(with("get", source, "--root", root, "-o", three.Path("out"), "--deadline", "1m")...).Succeed()
		swarmtest.Same(t, content, three.Path("out", "app-2"))
	}
	four := swarmtest.Local(t) // with the version before, the patch comes from others too, although it is one of those that come with the signed documents
	done := four.Run(with("get", "app:stable", "--root", root, "-o", four.Path("out"), "--from", before, "--deadline", "1m")...).Succeed().Expect("done")
	if done.String("way") != "patch" || done.Int("from.peers")+done.Int("from.lan") == 0 || done.Int("from.origin") != 0 {
		t.Errorf("%v, want a patch, from a peer", done)
	}
	swarmtest.Same(t, content, four.Path("out", "app-2"))

	// A machine that keeps it installed finds it in the same way, also if it was told to ask the origin.
	for i, source := range []string{"app:stable", channel[0].(string)} {
		to := three.Path("opt", strconv.Itoa(i))
		three.Run(with("update", source, "--to", to, "--root", root, "--once", "--deadline", "1m")...).Succeed()
		swarmtest.Same(t, content, filepath.Join(to, "current"))
	}
}
