package cli

import (
	"os"
	"regexp"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// A machine that follows a channel gives what it has installed, and what it was fetched by, to its neighbours: with the origin dead, the next one finds out about the
// new version from the DHT, and has all of the patch from there.
func TestUpdateIsPassedOn(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	nodes := swarmtest.StartDHT(t, 8)
	with := func(args ...string) []string {
		return append(args, "--dht", "private", "--dht-bootstrap", nodes[2].Addr, "--listen", "127.0.0.1:0")
	}
	h := swarmtest.Local(t)
	one, two := versions(t, h)
	repo, root := h.Path("repo"), h.Path("repo", "root.json")
	h.Run("init", repo, "--plain-keys").Succeed()
	publish := func(path, version string) {
		t.Helper()
		h.Run("publish", path, "--repo", repo, "--as", "app@"+version).Succeed()
		h.Run("promote", "app@"+version, "--channel", "stable", "--repo", repo).Succeed() // now, when there is a patch
	}
	publish(one, "1")
	origin := h.Start(with("serve", repo)...)
	source := origin.Expect("releases").String("url") + "app:stable"

	first, second := swarmtest.Local(t), swarmtest.Local(t)
	update := func(m *swarmtest.Host, more ...string) []string {
		return append(with("update", source, "--to", m.Path("opt"), "--root", root, "--site", "hall", "--deadline", "1m"), more...)
	}
	confirmed := func(p *swarmtest.Process, version string) {
		t.Helper()
		p.Expect("update", func(e swarmtest.Event) bool {
			return e.String("state") == "confirmed" && e.String("version") == version
		})
	}
	second.Run(update(second, "--once")...).Succeed()
	giver := first.Start(update(first, "--every", "200ms")...)
	confirmed(giver, "1")
	giver.ExpectStderr("state is given to others")
	publish(two, "2")
	confirmed(giver, "2")
	given := regexp.MustCompile(`(?s)given to others" version=2 .*state is given to others`)
	for late := time.Now().Add(time.Minute); !given.MatchString(giver.Stderr()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("the new state is not given\n%s", giver.Output())
		}
	}
	origin.Kill()

	p := second.Run(update(second, "--once")...).Succeed()
	staged := p.Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "staged" })
	if staged.String("way") != "patch" || staged.Int("from.lan") < 1_000_000 || staged.Int("from.origin")+staged.Int("from.peers") != 0 {
		t.Errorf("%v: want the patch from the neighbour", staged)
	}
	swarmtest.Same(t, two, second.Path("opt", "current"))
	if _, err := os.Stat(second.Path("opt", ".shoal", "given")); err == nil {
		t.Error("who does not stay keeps what nobody will ask for")
	}
}
