package cli

import (
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
	content := swarmtest.Tree(t, h.Path("app"), 1<<20)
	repo := h.Path("repo")
	h.Run("init", repo, "--plain-keys").Succeed()
	h.Run("publish", content, "--repo", repo, "--as", "app@1", "--channel", "stable").Succeed()
	root := h.Path("repo", "root.json")

	origin := h.Start(with("serve", repo)...)
	offered := origin.Expect("releases")
	channel, _ := offered["channels"].([]any)
	magnets, _ := offered["magnets"].([]any)
	if len(channel) != 1 || len(magnets) != 1 {
		t.Fatalf("%v", offered)
	}
	one, two := swarmtest.Local(t), swarmtest.Local(t)
	giver := one.Start(with("get", channel[0].(string), "--root", root, "-o", one.Path("out"), "--seed-for", "1h", "--log-level", "info")...)
	giver.Expect("done")
	if code := two.Run(with("get", "app:stable", "--root", root, "-o", two.Path("out"), "--deadline", "30s")...).Wait(); code != 0 {
		t.Fatalf("with the origin alive the release is not found in the DHT: exit code %d", code)
	}
	giver.ExpectStderr("state is given")
	origin.Stop()
	var three *swarmtest.Host
	for _, source := range []string{"app:stable", magnets[0].(string)} {
		three = swarmtest.Local(t)
		three.Run(with("get", source, "--root", root, "-o", three.Path("out"), "--deadline", "1m")...).Succeed()
		swarmtest.Same(t, content, three.Path("out", "app-1"))
	}

	// A machine that keeps it installed finds it in the same way, also if it was told to ask the origin.
	for i, source := range []string{"app:stable", channel[0].(string)} {
		to := three.Path("opt", strconv.Itoa(i))
		three.Run(with("update", source, "--to", to, "--root", root, "--once", "--deadline", "1m")...).Succeed()
		swarmtest.Same(t, content, filepath.Join(to, "current"))
	}
}
