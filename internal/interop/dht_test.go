package interop

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	lib "github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"shoal/internal/swarmtest"
)

// libtorrent's node and ours in one network: each finds the other's peer by a bare hash, with nobody else to ask.
func TestDHTWithLibtorrent(t *testing.T) {
	python(t)
	t.Parallel()
	for _, nodes := range []int{0, 20} {
		name := "alone"
		if nodes > 0 {
			name = "among others"
		}
		t.Run(name, func(t *testing.T) {
			h := swarmtest.Local(t)
			content := swarmtest.Tree(t, h.Path("release"), size)
			torrent := create(t, h, content, "v1")
			about := h.Run("inspect", torrent).Succeed().Expect("torrent")
			magnet := "magnet:?xt=urn:btih:" + about.String("v1")
			flags := []string{"--listen", "127.0.0.1:0", "--dht", "private"}
			entrance := ""
			var network []*swarmtest.DHTNode
			if nodes > 0 {
				network = swarmtest.StartDHT(t, nodes)
				entrance = network[0].Addr
				flags = append(flags, "--dht-bootstrap", entrance)
			}
			ours := h.Start(append([]string{"seed", torrent, content}, flags...)...)
			peer := ours.Expect("seeding").String("peer")
			if entrance == "" {
				entrance = peer
			}
			timed(t, "libtorrent finds ours", func() { leechLibtorrent(t, h, content, client{Source: magnet, DHT: entrance}) })
			ours.Stop()
			if nodes == 0 {
				return
			}
			p := libtorrent(t, h, client{Source: torrent, Dir: h.Dir, Seed: true, DHT: entrance})
			p.ExpectLine("^seeding")
			port := p.ExpectLine(`^listening (\d+)`)[1]
			timed(t, "libtorrent has announced itself", func() { awaitPeer(t, network[9], hash(t, about.String("v1")), port) })
			timed(t, "ours finds libtorrent", func() {
				get(t, h, magnet, content, "--dht", "private", "--dht-bootstrap", entrance, "--deadline", "1m")
			})
		})
	}
}

// Ours begins with libtorrent's node alone, and the other way round.
func TestDHTThroughLibtorrent(t *testing.T) {
	python(t)
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("release"), size)
	torrent := create(t, h, content, "v1")
	about := h.Run("inspect", torrent).Succeed().Expect("torrent")
	port := h.FreePort()
	p := libtorrent(t, h, client{Source: torrent, Dir: h.Dir, Seed: true, Port: port, DHT: "127.0.0.1:1"})
	p.ExpectLine("^seeding")
	entrance := "127.0.0.1:" + p.ExpectLine(`^listening (\d+)`)[1]
	ours := h.Start("seed", torrent, content, "--listen", "127.0.0.1:0", "--dht", "private", "--dht-bootstrap", entrance)
	ours.Expect("seeding")
	timed(t, "ours finds ours through libtorrent", func() {
		get(t, h, "magnet:?xt=urn:btih:"+about.String("v1"), content, "--dht", "private", "--dht-bootstrap", entrance, "--deadline", "1m")
	})
}

// The library that the design wanted wrapped finds what is announced among our nodes, and announces to them.
func TestDHTWithAnacrolix(t *testing.T) {
	nodes := swarmtest.StartDHT(t, 20)
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := netip.MustParseAddrPort(nodes[0].Addr)
	s, err := lib.NewServer(&lib.ServerConfig{Conn: c, NoSecurity: true, SendLimiter: rate.NewLimiter(rate.Inf, 0), Logger: log.Default.FilterLevel(log.Critical),
		DefaultWant:   []krpc.Want{krpc.WantNodes},
		StartingNodes: func() ([]lib.Addr, error) { return []lib.Addr{lib.NewAddr(net.UDPAddrFromAddrPort(first))}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.BootstrapContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	hash := [20]byte{7}
	if nodes[3].Lookup(t.Context(), hash, 1234, nil) == 0 {
		t.Fatal("our announce was not stored")
	}
	op, err := s.AnnounceTraversal(hash, lib.AnnouncePeer(lib.AnnouncePeerOpts{Port: 4321}))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for v := range op.Peers {
		for _, p := range v.Peers {
			found = found || p.Port == 1234
		}
	}
	if !found {
		t.Error("the library does not find our peer")
	}
	<-op.Finished()
	awaitPeer(t, nodes[9], hash, "4321")
}

// awaitPeer waits until a node finds the peer at a port.
func awaitPeer(t *testing.T, n *swarmtest.DHTNode, hash [20]byte, port string) {
	t.Helper()
	eventually(t, func() error {
		var found atomic.Bool
		n.Lookup(t.Context(), hash, 0, func(peers []netip.AddrPort) {
			for _, p := range peers {
				if strings.HasSuffix(p.String(), ":"+port) {
					found.Store(true)
				}
			}
		})
		if !found.Load() {
			return errors.New("the peer at port " + port + " is not found")
		}
		return nil
	})
}

func hash(t *testing.T, text string) [20]byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 20 {
		t.Fatalf("%q, %v", text, err)
	}
	return [20]byte(b)
}
