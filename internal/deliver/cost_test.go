package deliver

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// Which way is the cheapest depends on where the bytes come from: what is near is fetched rather than unpacked.
func TestPlanByClassOfSource(t *testing.T) {
	const mb = 1 << 20
	v2 := func(c string) string { return strings.Repeat(c, 64) }
	for _, c := range []struct {
		from                 swarm.Class
		tree, archive, patch int64 // bytes; 0: there is none
		want                 string
	}{
		// An archive of 94 % saves something on a long way, and nothing on a short one.
		{swarm.Origin, 100 * mb, 94 * mb, 0, WayArchive},
		{swarm.Peers, 100 * mb, 94 * mb, 0, WayArchive},
		{swarm.Edges, 100 * mb, 94 * mb, 0, WayTree},
		{swarm.LAN, 100 * mb, 94 * mb, 0, WayTree},
		// One of a third is worth it everywhere but on this machine's own disk.
		{swarm.Origin, 100 * mb, 33 * mb, 0, WayArchive},
		{swarm.LAN, 100 * mb, 33 * mb, 0, WayArchive},
		{swarm.Reuse, 100 * mb, 33 * mb, 0, WayTree},
		// A patch is, too.
		{swarm.Origin, 100 * mb, 33 * mb, 2 * mb, WayPatch},
		{swarm.LAN, 100 * mb, 33 * mb, 2 * mb, WayPatch},
		{swarm.Reuse, 100 * mb, 33 * mb, 2 * mb, WayTree},
		// A small release is not worth another torrent.
		{swarm.LAN, mb / 4, mb / 8, 0, WayTree},
	} {
		doc := &release.Release{Artefacts: []release.Artefact{{Kind: "T", V2: v2("a"), Bytes: c.tree}, {Kind: "F", V2: v2("b"), Bytes: c.archive}}}
		old := &version{info: &piece.Info{}, here: 0}
		s := survey{release: &release.Found{Release: doc}, source: c.from, tree: &piece.Torrent{Info: &piece.Info{}}, parts: 0, artefactDir: func(string) string { return t.TempDir() }}
		if c.patch > 0 {
			s.versions = []*version{old}
			s.patches = []release.Artefact{{Kind: "P", From: "1", Base: old.v2(), V2: v2("c"), Bytes: c.patch}}
		}
		p := s.plan()
		if got := p.Chosen(); got.Way != c.want || !strings.Contains(got.Why, sourceName(c.from)) {
			t.Errorf("from %v, %d of tree, %d of archive, %d of patch: %s (%s), want %s, and where it comes from", c.from, c.tree, c.archive, c.patch, got.Way, got.Why, c.want)
		}
	}
}

func TestClassOf(t *testing.T) {
	var near *netip.Addr
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok && !n.IP.IsLoopback() {
			a, _ := netip.AddrFromSlice(n.IP)
			a = a.Unmap()
			near = &a
		}
	}
	self, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	if swarm.Attached(far) { // some give networks for documentation to their machines
		far = netip.MustParseAddr("198.51.100.1")
	}
	for _, c := range []struct {
		addr *netip.Addr
		edge bool
		want swarm.Class
	}{{&far, false, swarm.Origin}, {&far, true, swarm.Edges}, {&self, false, swarm.Origin}, {nil, false, swarm.Origin}, {near, false, swarm.LAN}, {near, true, swarm.LAN}} {
		if c.want == swarm.LAN && near == nil {
			continue // this machine has no network
		}
		if got := classOf(c.addr, c.edge); got != c.want {
			t.Errorf("%v, edge %v: %v, want %v", fmt.Sprint(c.addr), c.edge, got, c.want)
		}
	}
}
