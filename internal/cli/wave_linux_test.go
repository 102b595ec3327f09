package cli

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// A wave of machines of mixed old versions behind an origin with a line of 100 Mbit/s, with artefacts of several MB: how much the origin sends without a budget
// and with one, beside the artefacts that are used and whole downloads.
func TestWaveOfALine(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "tc")
	if !swarmtest.Required("long") {
		t.Skip("SHOAL_REQUIRE=netns,long runs it")
	}
	for _, c := range []struct {
		name string
		args []string
		most float64 // of the artefacts that are used
	}{{"no budget", nil, 30}, {"a budget of 1.02", []string{"--origin-budget", "1.02"}, 1.05}} {
		t.Run(c.name, func(t *testing.T) { wave(t, 30, c.most, c.args...) })
	}
}

// wave has machines of three kinds go to version 3 at once: those with versions 1 and 2, and those with nothing.
func wave(t *testing.T, machines int, most float64, args ...string) {
	net := swarmtest.NewNetwork(t)
	h := net.Host()
	rnd := rand.NewChaCha8([32]byte{5})
	text := func(n int) []byte { // compresses to half
		b := make([]byte, n/2)
		rnd.Read(b)
		return []byte(hex.EncodeToString(b))
	}
	data, first, second, third, added := text(6<<20), text(4<<20), text(4<<20), text(4<<20), text(2<<20)
	dirs := []string{h.Path("1"), h.Path("2"), h.Path("3")}
	for i, files := range []map[string][]byte{{"data": data, "lib": first}, {"data": data, "lib": second, "added": added}, {"data": data, "lib": third, "added": added}} {
		for name, b := range files {
			if err := errors.Join(os.MkdirAll(dirs[i], 0o755), os.WriteFile(filepath.Join(dirs[i], name), b, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	repo := repositoryOf(h, dirs...)
	address := netip.AddrPortFrom(h.Addr, 7070).String()
	h.Start(append([]string{"serve", repo, "--listen", address}, args...)...).Expect("ready")
	base := "http://" + address + "/"
	net.Line(h, "100mbit")
	fetches := make([]*swarmtest.Process, machines)
	hosts := make([]*swarmtest.Host, machines)
	for i := range fetches {
		hosts[i] = net.Host()
		net.Line(hosts[i], "100mbit")
	}
	for i, m := range hosts {
		args := []string{"get", base + "app@3", "--root", filepath.Join(repo, "root.json"), "--state-dir", m.Path("state"), "-o", m.Path("out"), "--peers", "all", "--seed-for", "5m"}
		if i%3 > 0 {
			args = append(args, "--from", dirs[i%3-1])
		}
		fetches[i] = m.Start(args...)
	}
	var sent, whole int64
	ways := map[string]int{}
	for i, p := range fetches {
		done := p.Expect("done")
		sent += done.Int("from.origin")
		whole = done.Int("bytes")
		ways[done.String("way")+done.String("patch_from")]++
		swarmtest.Same(t, dirs[2], hosts[i].Path("out", "app-3"))
	}
	for _, p := range fetches {
		p.Stop()
	}
	artefacts := map[string]int64{"tree": whole, "patch1": contentSize(t, repo, "app-3.from-1.patch"), "patch2": contentSize(t, repo, "app-3.from-2.patch"), "archive": contentSize(t, repo, "app-3.tar.zst")}
	var used int64
	for way := range ways {
		used += artefacts[way]
	}
	t.Logf("%d machines (%v): the origin has sent %d bytes, %.2f of the artefacts that were used; %d machines that fetch all would be %d", machines, ways, sent, float64(sent)/float64(used), machines, int64(machines)*whole)
	if float64(sent) > most*float64(used) {
		t.Errorf("the origin has sent %d bytes, want %.2f of %d at most", sent, most, used)
	}
}
