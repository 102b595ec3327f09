package swarm

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// Of a v1 piece that came from two, the one that gave wrong blocks is sent away and the other is not.
func TestWhoGaveTheWrongBlock(t *testing.T) {
	const size = 1 << 20
	tor, path, want := makeContent(t, size, piece.BuildConfig{Format: piece.V1, PieceLength: size})
	for _, c := range []struct {
		name        string
		first, rest func(c *raw, m *wire.Message) []byte // what the two give
		guilty      int                                  // which of them lies
	}{
		{"the first", (*raw).bad, (*raw).block, 0},
		{"the second", (*raw).block, (*raw).bad, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			good := newMachine(t, Config{})
			if _, err := good.Add(Spec{Torrent: tor, Content: path}); err != nil {
				t.Fatal(err)
			}
			// One gives a single block and then nothing more, the other gives the rest.
			var blocks atomic.Int32
			one := newLiar(t, tor, want, func(r *raw) {
				if r.greet() {
					r.serve(func(m *wire.Message) bool {
						if m.Type == wire.Request && blocks.Add(1) == 1 {
							r.send(c.first(r, m))
							r.l.done()
						}
						return true
					})
				}
			})
			two := newLiar(t, tor, want, func(r *raw) {
				if r.greet() {
					r.serve(func(m *wire.Message) bool {
						if m.Type == wire.Request {
							r.send(c.rest(r, m))
							r.l.done()
						}
						return m.Type == wire.Request
					})
				}
			}, called("-LI", 2))
			m := newMachine(t, Config{})
			dir := t.TempDir()
			tr, err := m.Add(Spec{Torrent: tor, Dir: dir, Peers: []string{one.addr}})
			if err != nil {
				t.Fatal(err)
			}
			soon(t, one.did)
			tr.AddPeers(two.addr)
			soon(t, two.did)
			until(t, "the piece has failed", func() bool { return tr.Stats().Bad > 0 })
			tr.AddPeers(good.addr)
			wait(t, tr, 30*time.Second)
			sameFile(t, filepath.Join(dir, "release.bin"), want)
			ids := [][20]byte{one.id, two.id}
			until(t, "the liar is sent away", func() bool { return banned(t, tr, ids[c.guilty]) })
			if banned(t, tr, ids[1-c.guilty]) || banned(t, tr, good.PeerID()) {
				t.Error("somebody who did not lie is sent away")
			}
		})
	}
}

// A seed that hostile peers are at serves others all the same.
func TestHostileLeechers(t *testing.T) {
	tor, path, want := makeContent(t, 3<<20, piece.BuildConfig{PieceLength: 64 << 10})
	request := wire.AppendSpan(nil, wire.Request, 1, 0, 1<<14)
	flood := func(b []byte, read bool) func(c *raw) {
		return func(c *raw) {
			if c.shake() {
				c.send(wire.AppendPlain(wire.AppendPlain(nil, wire.HaveNone), wire.Interested))
				if read {
					c.hold()
				}
				c.flood(b)
			}
		}
	}
	metadata := append(wire.AppendExtended(nil, 0, []byte("d1:md11:ut_metadatai1eee")),
		bytes.Repeat(wire.Metadata{Kind: wire.MetadataRequest}.Append(nil, wire.IDMetadata), 100)...)
	root := wire.HashSpec{Root: tor.Files[0].Root, Length: 2}
	for _, c := range []struct {
		name string
		id   string
		act  func(c *raw)
	}{
		{"requests while choked", "-LI", flood(request, true)},
		{"requests, and no reading", "-LI", flood(request, false)},
		{"requests of a Shoal peer", "-SH", flood(request, true)},
		{"requests of a Shoal peer, and no reading", "-SH", flood(request, false)},
		{"requests and cancels", "-SH", flood(append(request[:17:17], wire.AppendSpan(nil, wire.Cancel, 1, 0, 1<<14)...), true)},
		{"metadata requests, and no reading", "-LI", flood(metadata, false)},
		{"hash requests, and no reading", "-LI", flood(wire.AppendHash(nil, wire.HashRequest, root, nil), false)},
		{"hash requests of nothing", "-LI", flood(wire.AppendHash(nil, wire.HashRequest, wire.HashSpec{}, nil), true)},
		{"blocks for a seed", "-LI", flood(append(wire.AppendPieceHeader(nil, 0, 0, 1<<14), make([]byte, 1<<14)...), true)},
		{"keep-alives", "-LI", flood(wire.AppendKeepAlive(nil), true)},
		{"unknown messages", "-LI", flood([]byte{0, 0, 0, 2, 99, 1}, true)},
		{"pieces given up", "-LI", flood(wire.AppendDontHave(wire.AppendIndex(nil, wire.Have, 1), wire.IDDontHave, 1), true)},
		{"metadata that nobody asked for", "-LI", flood(wire.Metadata{Kind: wire.MetadataData, Total: 1 << 14, Data: make([]byte, 1<<14)}.Append(nil, wire.IDMetadata), true)},
		{"extended messages", "-LI", flood(wire.AppendExtended(nil, 77, make([]byte, 30<<10)), true)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newMachine(t, Config{})
			str, err := s.Add(Spec{Torrent: tor, Content: path})
			if err != nil {
				t.Fatal(err)
			}
			l := newLiar(t, tor, want, c.act, called(c.id, 0))
			var over sync.WaitGroup
			over.Go(func() { l.dial(s.addr, 1) }) // until it is thrown out
			until(t, "the hostile peer is in", func() bool { return str.Stats().Connected > 0 })
			m := newMachine(t, Config{})
			dir := t.TempDir()
			tr, err := m.Add(Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
			if err != nil {
				t.Fatal(err)
			}
			wait(t, tr, 20*time.Second)
			sameFile(t, filepath.Join(dir, "release.bin"), want)
			if c.name != "requests of a Shoal peer" && c.name != "requests of a Shoal peer, and no reading" {
				over.Wait() // what makes no sense ends a connection; asking for content that is there does not
			}
		})
	}
}

// from dials out of another address of loopback, so that a crowd does not look like its victims.
func from(t *testing.T, ip string) *net.Dialer {
	t.Helper()
	a := &net.TCPAddr{IP: net.ParseIP(ip)}
	ln, err := net.ListenTCP("tcp", a)
	if err != nil {
		t.Skipf("loopback has no %s here: %v", ip, err)
	}
	ln.Close()
	return &net.Dialer{LocalAddr: a}
}

// One machine that opens connections without end takes no place that others need.
func TestCrowdFromOneAddress(t *testing.T) {
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{})
	d := from(t, "127.0.0.2")
	crowd := func(t *testing.T, l *liar, addr string, n int) {
		for i := range n {
			nc, err := d.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			x := &liar{tor: l.tor, want: l.want, id: l.id, ctx: l.ctx, act: l.act}
			called("-LI", i)(x)
			l.wg.Go(func() { x.meet(nc) })
		}
	}
	stay := func(c *raw) {
		if c.shake() {
			c.send(wire.AppendPlain(nil, wire.HaveNone))
			c.drain()
		}
	}
	t.Run("at a seed", func(t *testing.T) {
		t.Parallel()
		s := newMachine(t, Config{MaxPeers: 10})
		str, err := s.Add(Spec{Torrent: tor, Content: path})
		if err != nil {
			t.Fatal(err)
		}
		crowd(t, newLiar(t, tor, want, stay), s.addr, 30)
		until(t, "no place is left", func() bool { return str.Stats().Peers == 10 })
		m := newMachine(t, Config{})
		dir := t.TempDir()
		tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
		wait(t, tr, 20*time.Second)
		sameFile(t, filepath.Join(dir, "release.bin"), want)
	})
	t.Run("at one who fetches", func(t *testing.T) {
		t.Parallel()
		s := newMachine(t, Config{})
		add(t, s, Spec{Torrent: tor, Content: path})
		m := newMachine(t, Config{MaxPeers: 10})
		dir := t.TempDir()
		tr := add(t, m, Spec{Torrent: tor, Dir: dir})
		crowd(t, newLiar(t, tor, want, stay), m.addr, 30)
		until(t, "it is crowded", func() bool { return tr.Stats().Peers >= 7 })
		tr.AddPeers(s.addr)
		wait(t, tr, 20*time.Second)
		sameFile(t, filepath.Join(dir, "release.bin"), want)
	})
	t.Run("that says nothing", func(t *testing.T) {
		t.Parallel()
		s := newMachine(t, Config{})
		add(t, s, Spec{Torrent: tor, Content: path})
		var ended atomic.Int32
		l := newLiar(t, tor, want, func(c *raw) { c.drain(); ended.Add(1) })
		crowd(t, l, s.addr, maxShaking+20)
		until(t, "those that are too many are gone", func() bool { return ended.Load() >= 20 })
		m := newMachine(t, Config{})
		dir := t.TempDir()
		tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
		wait(t, tr, 20*time.Second)
		sameFile(t, filepath.Join(dir, "release.bin"), want)
	})
}

// A liar that claims a good peer's id has itself sent away, and not the good one.
func TestBorrowedID(t *testing.T) {
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{PieceLength: 64 << 10})
	d := from(t, "127.0.0.2")
	good := newMachine(t, Config{})
	add(t, good, Spec{Torrent: tor, Content: path})
	l := newLiar(t, tor, want, func(c *raw) {
		if c.greet() {
			c.serve(func(m *wire.Message) bool {
				if m.Type == wire.Request {
					c.send(c.bad(m))
				}
				return m.Type == wire.Request
			})
			c.l.done()
		}
	}, func(l *liar) { l.id = good.PeerID() })
	m := newMachine(t, Config{})
	dir := t.TempDir()
	tr := add(t, m, Spec{Torrent: tor, Dir: dir})
	nc, err := d.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	l.wg.Go(func() { l.meet(nc) })
	soon(t, l.did)
	tr.AddPeers(good.addr)
	wait(t, tr, 20*time.Second)
	sameFile(t, filepath.Join(dir, "release.bin"), want)
	if tr.Stats().Bans == 0 {
		t.Error("the liar was not sent away")
	}
}

// Of two connections that claim one id, the one that is of use stays.
func TestReplaces(t *testing.T) {
	now := time.Now()
	at := func(ip string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(ip), 1) }
	node := New(Config{PeerID: [20]byte{5}})
	s := &session{t: &Transfer{node: node}}
	low, high := [20]byte{1}, [20]byte{9}
	for _, c := range []struct {
		name string
		o, c *conn
		want bool
	}{
		{"both dialled, theirs is the lower id and is new", &conn{id: low, joined: now, lastIn: now}, &conn{id: low, inbound: true}, true},
		{"both dialled, theirs is the lower id and is old", &conn{id: low, inbound: true, joined: now, lastIn: now}, &conn{id: low}, false},
		{"both dialled, ours is the lower id and is new", &conn{id: high, inbound: true, joined: now, lastIn: now}, &conn{id: high}, true},
		{"both dialled, ours is the lower id and is old", &conn{id: high, joined: now, lastIn: now}, &conn{id: high, inbound: true}, false},
		{"the same way twice", &conn{id: low, joined: now, lastIn: now}, &conn{id: low}, false},
		{"from another address at once", &conn{id: low, joined: now, lastIn: now, addr: at("10.0.0.1")}, &conn{id: low, inbound: true, addr: at("10.0.0.2")}, false},
		{"the old one is dead", &conn{id: low, joined: now.Add(-time.Minute), lastIn: now.Add(-40 * time.Second), received: 1}, &conn{id: low}, true},
		{"the old one is of use", &conn{id: low, joined: now.Add(-time.Minute), lastIn: now, received: 1}, &conn{id: low, inbound: true}, false},
		{"the old one was never of use", &conn{id: low, joined: now.Add(-time.Minute), lastIn: now}, &conn{id: low, inbound: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.replaces(c.c, c.o, now); got != c.want {
				t.Errorf("the new one takes the old one's place: %v, want %v", got, c.want)
			}
		})
	}
}

func TestConnectedToOurselves(t *testing.T) {
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{})
	good := newMachine(t, Config{})
	add(t, good, Spec{Torrent: tor, Content: path})
	m := newMachine(t, Config{})
	dir := t.TempDir()
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{m.addr, good.addr}})
	wait(t, tr, 20*time.Second)
	sameFile(t, filepath.Join(dir, "release.bin"), want)
	if n := tr.Stats().Connected; n != 1 {
		t.Errorf("%d connections, want only that to the good peer", n)
	}
}

// A magnet's metadata comes from the one peer that tells the truth about it.
func TestLiesAboutMetadata(t *testing.T) {
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{})
	offer := func(c *raw, size int) bool {
		b, _ := wire.ExtHandshake{M: map[string]int{wire.NameMetadata: int(wire.IDMetadata)}, MetadataSize: size}.Append(nil)
		return c.shake() && c.send(b) == nil
	}
	// answer replies to each request for metadata; nil ends it.
	answer := func(size int, f func(c *raw, piece int) []byte) func(c *raw) {
		return func(c *raw) {
			if !offer(c, size) {
				return
			}
			c.serve(func(m *wire.Message) bool {
				if m.Type == wire.Extended && m.ExtID == wire.IDMetadata {
					x, err := wire.ParseMetadata(m.Payload)
					if err == nil && x.Kind == wire.MetadataRequest {
						c.send(f(c, x.Piece))
						c.l.done()
					}
				}
				return true
			})
		}
	}
	data := func(i, total int, b []byte) []byte {
		return wire.Metadata{Kind: wire.MetadataData, Piece: i, Total: total, Data: b}.Append(nil, wire.IDMetadata)
	}
	size := len(tor.Bytes)
	for _, c := range []struct {
		name string
		act  func(c *raw)
	}{
		{"wrong content", answer(size, func(c *raw, i int) []byte { return data(i, size, make([]byte, size)) })},
		{"another size, wrong content", answer(100, func(c *raw, i int) []byte { return data(i, 100, make([]byte, 100)) })},
		{"pieces too short", answer(size, func(c *raw, i int) []byte { return data(i, size, []byte("d")) })},
		{"pieces that do not exist", answer(size, func(c *raw, i int) []byte { return data(900, size, make([]byte, size)) })},
		{"one piece for ever", answer(2*wire.MetadataPiece, func(c *raw, i int) []byte {
			return bytes.Repeat(data(0, size, make([]byte, wire.MetadataPiece)), 100)
		})},
		{"no answer to 16 MiB", answer(wire.MaxMetadata, func(c *raw, i int) []byte { return nil })},
		{"refusal", answer(size, func(c *raw, i int) []byte {
			return wire.Metadata{Kind: wire.MetadataReject, Piece: i}.Append(nil, wire.IDMetadata)
		})},
		{"16 MiB that do not fit", answer(wire.MaxMetadata, func(c *raw, i int) []byte {
			return data(i, wire.MaxMetadata, make([]byte, wire.MetadataPiece))
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			good := newMachine(t, Config{})
			add(t, good, Spec{Torrent: tor, Content: path})
			met := make(chan struct{})
			var once sync.Once
			var peers []string
			for i := range 4 { // more than are asked at once
				l := newLiar(t, tor, want, c.act, called("-LI", i))
				l.wg.Go(func() {
					select {
					case <-l.did:
						once.Do(func() { close(met) })
					case <-l.ctx.Done():
					}
				})
				peers = append(peers, l.addr)
			}
			m := newMachine(t, Config{})
			dir := t.TempDir()
			tr := add(t, m, Spec{V1: tor.V1, HasV1: true, Dir: dir, Peers: peers})
			soon(t, met)
			tr.AddPeers(good.addr)
			wait(t, tr, 25*time.Second)
			sameFile(t, filepath.Join(dir, "release.bin"), want)
			if banned(t, tr, good.PeerID()) {
				t.Error("the good peer is sent away")
			}
		})
	}
}

// What strangers send in vain takes no memory to speak of.
func TestFloodsTakeLittleMemory(t *testing.T) {
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{PieceLength: 64 << 10})
	s := newMachine(t, Config{})
	str := add(t, s, Spec{Torrent: tor, Content: path})
	const conns = 40
	request := bytes.Repeat(wire.AppendSpan(nil, wire.Request, 1, 0, 1<<14), 1000)
	hash := wire.AppendHash(nil, wire.HashRequest, wire.HashSpec{Root: tor.Files[0].Root, Length: 2, ProofLayers: 5}, nil)
	acts := []func(c *raw){
		func(c *raw) { c.flood(request) },
		func(c *raw) { c.flood(bytes.Repeat(hash, 100)) },
		func(c *raw) { c.flood(wire.AppendExtended(nil, 9, make([]byte, 31<<10))) },
		func(c *raw) { c.send(wire.AppendPieceHeader(nil, 0, 0, wire.MaxBlock)); c.drain() },
		func(c *raw) { c.flood(wire.AppendBitfield(nil, make([]byte, wire.MaxBitfield))) },
		func(c *raw) { c.send([]byte{0, 7, 0xff, 0xff, byte(wire.Bitfield)}); c.drain() },
	}
	var turn atomic.Int32
	l := newLiar(t, tor, want, func(c *raw) {
		n := int(turn.Add(1))
		x := &liar{tor: c.l.tor, want: c.l.want, id: c.l.id, ctx: c.l.ctx}
		called("-SH", n)(x)
		c.l = x
		if c.shake() {
			acts[n%len(acts)](c)
		}
	})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithCancel(t.Context())
	var peak atomic.Uint64
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapInuse))
			time.Sleep(2 * time.Millisecond)
		}
	})
	for range 3 {
		l.wg.Go(func() { l.dial(s.addr, conns) })
		dir := t.TempDir()
		m := newMachine(t, Config{})
		tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
		wait(t, tr, 20*time.Second)
		sameFile(t, filepath.Join(dir, "release.bin"), want)
		m.stop()
	}
	cancel()
	wg.Wait()
	grown := int64(peak.Load()) - int64(before.HeapInuse)
	t.Logf("%d connections made the heap grow by %d MiB at most", str.Stats().Connected, grown>>20)
	if grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}
