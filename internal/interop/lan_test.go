package interop

import (
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// lanNetwork is a switch with machines on it that look for each other, and no way to anywhere else.
func lanNetwork(t *testing.T, n int) (hosts []*swarmtest.Host) {
	t.Helper()
	swarmtest.Require(t, "netns", "ip")
	net := swarmtest.NewNetwork(t)
	for range n {
		h := net.Host()
		h.Setenv("SHOAL_NO_LAN", "false")
		hosts = append(hosts, h)
	}
	return hosts
}

// Two machines on a switch, without tracker, origin or route, exchange a release; the second one
// serves a third when the first is gone.
func TestNeighboursExchange(t *testing.T) {
	hosts := lanNetwork(t, 3)
	first, second, third := hosts[0], hosts[1], hosts[2]
	content := swarmtest.Tree(t, first.Path("release"), size)
	torrent := create(t, first, content, "hybrid")
	seeder := first.Start("seed", torrent, content)
	seeder.Expect("seeding")
	out := second.Path("out")
	p := second.Start("get", torrent, "-o", out, "--seed-for", "1h")
	done := p.Expect("done")
	swarmtest.Same(t, content, filepath.Join(out, "release"))
	if done.Int("from.lan") != done.Int("bytes") {
		t.Errorf("%v: want all from the LAN, which is the site where none is named", done)
	}
	seeder.Kill()
	if done := get(t, third, torrent, content); done.Int("from.lan") != done.Int("bytes") {
		t.Errorf("%v: want all from the neighbour that has fetched it", done)
	}
}

// Who comes first is found by who comes later, by a magnet link too.
func TestNeighboursThatComeLater(t *testing.T) {
	hosts := lanNetwork(t, 2)
	content := swarmtest.Tree(t, hosts[0].Path("release"), size)
	torrent := create(t, hosts[0], content, "v2")
	magnet := "magnet:?xt=urn:btmh:1220" + key(hosts[0], torrent)
	out := hosts[1].Path("out")
	p := hosts[1].Start("get", magnet, "-o", out)
	hosts[0].Start("seed", torrent, content).Expect("seeding")
	p.Expect("done")
	swarmtest.Same(t, content, filepath.Join(out, "release"))
}

// Nobody is told of what is private, or by who does not want to.
func TestNeighboursAreNotTold(t *testing.T) {
	hosts := lanNetwork(t, 2)
	content := swarmtest.File(t, hosts[0].Path("release.bin"), 1<<20)
	for name, c := range map[string]struct {
		create, seed, get []string
		code              int
		rule              string
	}{
		"private":      {[]string{"--private"}, nil, nil, 3, "no-source"},
		"seed, no LAN": {nil, []string{"--no-lan"}, nil, 3, "no-source"},
		"get, no LAN":  {nil, nil, []string{"--no-lan"}, 3, "no-source"},
	} {
		t.Run(name, func(t *testing.T) {
			torrent := create(t, hosts[0], content, "v1", c.create...)
			p := hosts[0].Start(append([]string{"seed", torrent, content, "--listen", ":0"}, c.seed...)...)
			p.Expect("seeding")
			defer p.Kill()
			q := hosts[1].Run(append([]string{"get", torrent, "-o", t.TempDir(), "--stall-timeout", "3s"}, c.get...)...)
			if e := q.Expect("error"); q.Wait() != c.code || e.String("rule") != c.rule {
				t.Errorf("exit code %d, %v; want %d, %s", q.Wait(), e, c.code, c.rule)
			}
		})
	}
}

// Machines of two sites on one switch stay apart, those of one site do not, and names are of no
// matter where there is no IPv4.
func TestNeighboursOfSites(t *testing.T) {
	hosts := lanNetwork(t, 2)
	content := swarmtest.File(t, hosts[0].Path("release.bin"), 1<<20)
	for name, c := range map[string]struct {
		seed, get []string
		lan       bool
		v6        bool
	}{
		"two sites":     {[]string{"--site", "a"}, []string{"--site", "b"}, false, false},
		"one of a site": {nil, []string{"--site", "b"}, false, false},
		"one site":      {[]string{"--site", "a"}, []string{"--site", "a"}, true, false},
		"another's key": {[]string{"--site-key", "correct horse"}, []string{"--site-key", "battery staple"}, false, false},
		"IPv6 alone":    {nil, nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := hosts
			if c.v6 {
				hosts = lanNetwork(t, 2)
				for _, h := range hosts {
					h.Do("ip", "-4", "addr", "flush", "dev", "eth0")
				}
			}
			torrent := create(t, hosts[0], content, "v1")
			p := hosts[0].Start(append([]string{"seed", torrent, content, "--listen", ":0"}, c.seed...)...)
			p.Expect("seeding")
			defer p.Kill()
			out := t.TempDir()
			done := hosts[1].Run(append([]string{"get", torrent, "-o", out}, c.get...)...).Succeed().Expect("done")
			swarmtest.Same(t, content, filepath.Join(out, "release.bin"))
			if got := done.Int("from.lan"); (got == done.Int("bytes")) != c.lan || got != 0 && !c.lan {
				t.Errorf("%v: want all from the LAN: %v", done, c.lan)
			}
		})
	}
}
