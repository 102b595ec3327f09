package cli

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/swarmtest"
	"shoal/swarm/dht"
)

// awaitPeer waits until a node of the DHT finds a peer of the content that serving tells of, by one of its names.
func awaitPeer(t *testing.T, n *swarmtest.DHTNode, infohash string) {
	t.Helper()
	hash := parseHash(t, infohash)
	var found atomic.Bool
	for end := time.Now().Add(time.Minute); !found.Load(); time.Sleep(50 * time.Millisecond) {
		n.Lookup(t.Context(), hash, 0, func([]netip.AddrPort) { found.Store(true) })
		if time.Now().After(end) {
			t.Fatal("nobody finds the origin in the DHT")
		}
	}
}

func parseHash(t *testing.T, v2 string) (id dht.ID) {
	t.Helper()
	for i := range id {
		b, err := strconv.ParseUint(v2[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		id[i] = byte(b)
	}
	return id
}

// A magnet link with nothing but a hash, in a private network of a hundred nodes of which thirty then die.
func TestGetByTheDHTAlone(t *testing.T) {
	many := 100
	if n, err := strconv.Atoi(os.Getenv("SHOAL_DHT_NODES")); err == nil {
		many = n
	}
	nodes := swarmtest.StartDHT(t, many)
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("release"), 2<<20)
	_, serving := origin(h, content, "--dht", "private", "--dht-bootstrap", nodes[3].Addr)
	infohash := serving.String("infohash")
	magnet := "magnet:?xt=urn:btmh:1220" + infohash
	awaitPeer(t, nodes[many/2], infohash)
	get := func(what, from string) {
		t.Helper()
		begin := time.Now()
		done := h.Run("get", magnet, "-o", h.Path(what), "--listen", "127.0.0.1:0", "--dht", "private", "--dht-bootstrap", from, "--deadline", "1m").Succeed().Expect("done")
		t.Logf("%s: get took %v s by itself, %.2f s as a process", what, done["seconds"], time.Since(begin).Seconds())
		swarmtest.Same(t, content, h.Path(what, "release"))
	}
	get("warm", nodes[many-1].Addr)
	for i, n := range nodes {
		if i%10 < 3 {
			n.Kill()
		}
	}
	get("a third dead", nodes[many-1].Addr)

	st := h.Run("status").Succeed().Expect("status")
	about, _ := st["dht"].(map[string]any)
	if about["mode"] != "private" || about["reason"] == "" || about["stats"] == nil {
		t.Errorf("status says of the DHT: %v", about)
	}
}

// What is private never reaches the DHT, whatever is asked for, and --dht off keeps everything from it.
func TestPrivateContentNeverReachesTheDHT(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	node := c.LocalAddr().String()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 200<<10)
	private, open := h.Path("private.torrent"), h.Path("open.torrent")
	h.Run("create", content, "--private", "-o", private).Succeed()
	h.Run("create", content, "-o", open).Succeed()
	for _, c := range []struct{ torrent, mode, reason string }{
		{private, "private", "the content is private"}, {private, "public", "the content is private"}, {open, "off", "as it was told"},
	} {
		s := h.Start("seed", c.torrent, content, "--listen", "127.0.0.1:0", "--dht", c.mode, "--dht-bootstrap", node)
		seeding := s.Expect("seeding")
		if seeding.String("dht") != "off" || seeding.String("dht_reason") != c.reason {
			t.Errorf("seed --dht %s: %v, want off because %s", c.mode, seeding, c.reason)
		}
		peer := seeding.String("peer")
		h.Run("get", c.torrent, "-o", h.Path("out"), "--peer", peer, "--listen", "127.0.0.1:0", "--dht", c.mode, "--dht-bootstrap", node).Succeed()
		os.RemoveAll(h.Path("out"))
		s.Stop()
	}
	c.SetReadDeadline(time.Now())
	b := make([]byte, 2048)
	if n, from, err := c.ReadFrom(b); err == nil {
		t.Errorf("the DHT was sent %q by %v", b[:n], from)
	}
}

// Without anybody to ask a magnet link leads nowhere, and the error says what would help.
func TestMagnetWithoutAnybody(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	p := h.Run("get", "magnet:?xt=urn:btmh:1220"+strings.Repeat("ab", 32), "-o", h.Path("out"), "--listen", "127.0.0.1:0").Fail(exitNoSource)
	if e := p.Expect("error"); !strings.Contains(e.String("hint"), "--dht") {
		t.Errorf("%v", e)
	}
}

// A node comes back into a private network by what its state directory has kept, with nobody named to it.
func TestServeRemembersTheDHT(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	nodes := swarmtest.StartDHT(t, 12)
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 200<<10)
	first, serving := origin(h, content, "--dht", "private", "--dht-bootstrap", nodes[0].Addr)
	infohash := serving.String("infohash")
	awaitPeer(t, nodes[5], infohash)
	first.Stop()
	if _, err := os.Stat(filepath.Join(h.Path("state"), "dht", "private", "nodes.json")); err != nil {
		t.Fatal(err)
	}
	nodes[0].Kill()
	second, _ := origin(h, content, "--dht", "private")
	_, port, _ := net.SplitHostPort(second.Expect("listening").String("address"))
	hash := parseHash(t, infohash)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var found atomic.Bool
		nodes[7].Lookup(t.Context(), hash, 0, func(peers []netip.AddrPort) {
			for _, p := range peers {
				if strconv.Itoa(int(p.Port())) == port {
					found.Store(true)
				}
			}
		})
		if found.Load() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nobody finds it again")
		}
	}
}
