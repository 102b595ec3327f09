package swarm

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// liar is a peer that speaks raw bytes, where it listens and where it dials.
type liar struct {
	t    testing.TB
	tor  *piece.Torrent
	want []byte
	id   [20]byte
	addr string
	act  func(*raw) // what it does with each connection
	wg   sync.WaitGroup
	ctx  context.Context

	once sync.Once
	did  chan struct{} // closed by the act when it has done its worst
}

var liarID = [20]byte{'-', 'L', 'I', 'A', 'R', '1', '-'}

func newLiar(t testing.TB, tor *piece.Torrent, want []byte, act func(*raw), set ...func(*liar)) *liar {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &liar{t: t, tor: tor, want: want, id: liarID, addr: ln.Addr().String(), act: act, ctx: ctx, did: make(chan struct{})}
	for _, f := range set {
		f(l)
	}
	l.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.meet(nc) })
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		l.wg.Wait()
	})
	return l
}

// called gives a liar a name of its own, behind prefix.
func called(prefix string, n int) func(*liar) {
	return func(l *liar) {
		copy(l.id[:], prefix)
		l.id[18], l.id[19] = byte(n>>8), byte(n)
	}
}

// meet acts on one connection and closes it.
func (l *liar) meet(nc net.Conn) {
	defer nc.Close()
	stop := context.AfterFunc(l.ctx, func() { nc.Close() })
	defer stop()
	l.act(&raw{Conn: nc, l: l, r: wire.NewReader(nc)})
}

// dial connects to a victim n times at once and returns when all connections have ended.
func (l *liar) dial(addr string, n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if nc, err := net.Dial("tcp", addr); err == nil {
				l.meet(nc)
			}
		})
	}
	wg.Wait()
}

// done says that the act has done its worst.
func (l *liar) done() { l.once.Do(func() { close(l.did) }) }

// soon waits for a hostile peer to have done its worst.
func soon(t testing.TB, did <-chan struct{}) {
	t.Helper()
	select {
	case <-did:
	case <-time.After(20 * time.Second):
		t.Fatal("the hostile peer was not met")
	}
}

// raw is a connection of a liar.
type raw struct {
	net.Conn
	l    *liar
	r    *wire.Reader
	them wire.Handshake
}

func (c *raw) send(b []byte) error {
	_, err := c.Write(b)
	return err
}

// shake shakes hands as an honest peer does.
func (c *raw) shake() bool {
	h := wire.Handshake{Fast: true, Extended: true, V2: c.l.tor.HasV2, InfoHash: c.l.tor.V1, PeerID: c.l.id}
	if !c.l.tor.HasV1 {
		copy(h.InfoHash[:], c.l.tor.V2[:])
	}
	if c.send(h.Append(nil)) != nil {
		return false
	}
	var err error
	c.them, err = wire.ReadHandshake(c)
	return err == nil
}

// greet shakes hands and says that all is here for the asking.
func (c *raw) greet() bool {
	return c.shake() && c.send(wire.AppendPlain(wire.AppendPlain(nil, wire.HaveAll), wire.Unchoke)) == nil
}

// drain reads until the other side ends the connection.
func (c *raw) drain() { io.Copy(io.Discard, c) }

// hold is drain in the background, for those who keep writing.
func (c *raw) hold() { c.l.wg.Go(c.drain) }

// flood writes b again and again until the other side ends the connection.
func (c *raw) flood(b []byte) {
	for c.send(b) == nil {
	}
}

// serve answers requests as an honest peer does, but for those messages that hook takes.
func (c *raw) serve(hook func(m *wire.Message) bool) error {
	for {
		var m wire.Message
		if err := c.r.Next(&m); err != nil {
			return err
		}
		if hook != nil && hook(&m) {
			continue
		}
		switch m.Type {
		case wire.Request:
			if err := c.send(c.block(&m)); err != nil {
				return err
			}
		case wire.HashRequest:
			if err := c.send(c.hashes(m.Hash)); err != nil {
				return err
			}
		}
	}
}

func (c *raw) block(m *wire.Message) []byte {
	at := int64(m.Index)*c.l.tor.PieceLength + int64(m.Begin)
	return append(wire.AppendPieceHeader(nil, m.Index, m.Begin, int(m.Length)), c.l.want[at:at+int64(m.Length)]...)
}

// bad is a block of the right length that is wrong.
func (c *raw) bad(m *wire.Message) []byte {
	b := c.block(m)
	b[len(b)-1] ^= 1
	return b
}

func (c *raw) hashes(h wire.HashSpec) []byte {
	return appendHashes(nil, c.l.tor.Info, h, leafReader{cache: new(leafCache), store: memory(c.l.want), info: c.l.tor.Info})
}

// banned says whether a transfer has sent a peer away.
func banned(t testing.TB, tr *Transfer, id [20]byte) (yes bool) {
	t.Helper()
	s, err := tr.session()
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan bool, 1)
	s.do(func() {
		for w := range s.book.bans {
			if w.id == id {
				answer <- true
				return
			}
		}
		answer <- false
	})
	select {
	case yes = <-answer:
	case <-s.ended:
		t.Fatal("the session has ended")
	}
	return yes
}

// hostile is a way to misbehave towards a machine that fetches.
type hostile struct {
	name    string
	act     func(*raw)
	formats []piece.Format
	banned  bool // it must be sent away
	inbound bool // it dials the victim as well
}

var both = []piece.Format{piece.Hybrid, piece.V1}

func hostiles() []hostile {
	message := func(b []byte) func(*raw) {
		return func(c *raw) {
			if c.shake() {
				c.send(b)
				c.drain()
				c.l.done()
			}
		}
	}
	afterBits := func(f func(c *raw)) func(*raw) {
		return func(c *raw) {
			if c.greet() {
				f(c)
				c.l.done()
			}
		}
	}
	serving := func(hook func(c *raw, m *wire.Message) bool) func(*raw) {
		return afterBits(func(c *raw) { c.serve(func(m *wire.Message) bool { return hook(c, m) }) })
	}
	endless := []byte{0x7f, 0xff, 0xff, 0xff}
	l := []hostile{
		{name: "garbage instead of a handshake", inbound: true, act: func(c *raw) {
			c.send([]byte(strings.Repeat("GET / HTTP/1.1\r\n", 100)))
			c.drain()
			c.l.done()
		}},
		{name: "another torrent's handshake", inbound: true, act: func(c *raw) {
			c.send(wire.Handshake{InfoHash: [20]byte{1, 2, 3}, PeerID: c.l.id}.Append(nil))
			c.drain()
			c.l.done()
		}},
		{name: "half a handshake", inbound: true, act: func(c *raw) {
			c.send([]byte(wire.Protocol))
			c.l.done()
			c.drain()
		}},
		{name: "nothing at all", inbound: true, act: func(c *raw) {
			c.l.done()
			c.drain()
		}},
		{name: "half a message", act: func(c *raw) {
			if c.greet() {
				c.send([]byte{0, 0, 1, 0, byte(wire.Bitfield), 1})
				c.l.done()
				c.drain()
			}
		}},
		{name: "half a block", act: func(c *raw) {
			if c.greet() {
				c.serve(func(m *wire.Message) bool {
					if m.Type == wire.Request {
						c.send(c.block(m)[:4<<10])
						c.l.done()
						c.drain()
					}
					return false
				})
			}
		}},
		{name: "a bitfield too short", act: message(wire.AppendBitfield(nil, []byte{0xff}))},
		{name: "a bitfield too long", act: message(wire.AppendBitfield(nil, make([]byte, 1000)))},
		{name: "a bitfield with spare bits", act: func(c *raw) {
			if c.shake() {
				b := make([]byte, (c.l.tor.NumPieces()+7)/8)
				b[len(b)-1] = 1
				c.send(wire.AppendBitfield(nil, b))
				c.drain()
				c.l.done()
			}
		}},
		{name: "two bitfields", act: afterBits(func(c *raw) {
			c.hold()
			c.flood(wire.AppendBitfield(nil, make([]byte, (c.l.tor.NumPieces()+7)/8)))
		})},
		{name: "HAVE of what does not exist", act: message(wire.AppendIndex(nil, wire.Have, 1<<31))},
		{name: "an extended handshake that is none", act: message(wire.AppendExtended(nil, 0, []byte("hello")))},
		{name: "a metadata message that is none", act: message(wire.AppendExtended(nil, wire.IDMetadata, []byte("d")))},
		{name: "hashes that were not asked for", act: message(wire.AppendHash(nil, wire.Hashes, wire.HashSpec{Length: 2}, make([]byte, 64)))},
		{name: "a request behind the end", act: message(wire.AppendSpan(nil, wire.Request, 0, 1<<30, 1<<14))},
		{name: "a request for too much", act: message(wire.AppendSpan(nil, wire.Request, 0, 0, 1<<20))},
		{name: "a request for nothing", act: message(wire.AppendSpan(nil, wire.Request, 0, 0, 0))},
		{name: "a flood of refusals", act: afterBits(func(c *raw) { c.hold(); c.flood(wire.AppendSpan(nil, wire.Reject, 1, 0, 1<<14)) })},
		{name: "a flood of cancels", act: afterBits(func(c *raw) { c.hold(); c.flood(wire.AppendSpan(nil, wire.Cancel, 1, 0, 1<<14)) })},
		{name: "a flood of HAVEs", act: afterBits(func(c *raw) { c.hold(); c.flood(wire.AppendIndex(nil, wire.Have, 0)) })},
		{name: "a flood of interest", act: afterBits(func(c *raw) { c.hold(); c.flood(wire.AppendPlain(nil, wire.Interested)) })},
		{name: "a flood of requests that reads no answer", act: afterBits(func(c *raw) { c.flood(wire.AppendSpan(nil, wire.Request, 1, 0, 1<<14)) })},
		{name: "a flood of hash requests", act: afterBits(func(c *raw) { c.flood(wire.AppendHash(nil, wire.HashRequest, wire.HashSpec{}, nil)) })},
		{name: "blocks that nobody asked for", banned: true, act: afterBits(func(c *raw) {
			c.hold()
			c.flood(append(wire.AppendPieceHeader(nil, 0, 0, 1<<14), make([]byte, 1<<14)...))
		})},
		{name: "never answers", act: func(c *raw) {
			if c.greet() {
				c.serve(func(m *wire.Message) bool {
					if m.Type == wire.Request {
						c.l.done()
					}
					return true
				})
			}
		}},
		{name: "chokes for ever", act: func(c *raw) {
			if c.shake() {
				c.send(wire.AppendPlain(nil, wire.HaveAll))
				c.l.done()
				c.drain()
			}
		}},
		{name: "chokes and does not refuse", act: func(c *raw) {
			if c.greet() {
				c.serve(func(m *wire.Message) bool {
					if m.Type == wire.Request {
						c.send(wire.AppendPlain(nil, wire.Choke))
						c.l.done()
					}
					return true
				})
			}
		}},
		{name: "refuses everything", act: func(c *raw) {
			if c.greet() {
				c.serve(func(m *wire.Message) bool {
					if m.Type == wire.Request {
						c.send(wire.AppendSpan(nil, wire.Reject, m.Index, m.Begin, m.Length))
						c.l.done()
					}
					return true
				})
			}
		}},
		{name: "blocks too short", act: func(c *raw) {
			if c.greet() {
				c.serve(func(m *wire.Message) bool {
					if m.Type == wire.Request {
						c.send(append(wire.AppendPieceHeader(nil, m.Index, m.Begin, 100), make([]byte, 100)...))
						c.l.done()
					}
					return m.Type == wire.Request
				})
			}
		}},
		{name: "wrong blocks, true leaves", formats: []piece.Format{piece.Hybrid, piece.V2}, banned: true,
			act: serving(func(c *raw, m *wire.Message) bool {
				if m.Type == wire.Request {
					c.send(c.bad(m))
				}
				return m.Type == wire.Request
			})},
		{name: "wrong blocks, no leaves", formats: both, banned: true, act: serving(func(c *raw, m *wire.Message) bool {
			switch m.Type {
			case wire.Request:
				c.send(c.bad(m))
			case wire.HashRequest:
				c.send(wire.AppendHash(nil, wire.HashReject, m.Hash, nil))
			}
			return true
		})},
		{name: "wrong hashes", formats: []piece.Format{piece.Hybrid, piece.V2}, banned: true, act: serving(func(c *raw, m *wire.Message) bool {
			if m.Type == wire.HashRequest {
				b := c.hashes(m.Hash)
				b[60] ^= 1
				c.send(b)
			}
			return m.Type == wire.HashRequest
		})},
	}
	for _, x := range []wire.Type{wire.Choke, wire.Have, wire.Bitfield, wire.Request, wire.Piece, wire.Extended, wire.Hashes, 99} {
		l = append(l, hostile{name: "a message of 2 GiB", act: message(append(append([]byte(nil), endless...), byte(x), 0, 0, 0, 0))})
	}
	return l
}

// A machine that knows a good peer and a hostile one gets its content from the good one, unharmed.
func TestHostilePeers(t *testing.T) {
	content := map[piece.Format]*piece.Torrent{}
	path := map[piece.Format]string{}
	const size = 42*64<<10 - 5000
	want := randomBytes(size)
	for _, f := range []piece.Format{piece.Hybrid, piece.V1, piece.V2} {
		content[f], path[f] = writeContent(t, filepath.Join(t.TempDir(), "release.bin"), want, piece.BuildConfig{Format: f, PieceLength: 128 << 10})
	}
	for _, h := range hostiles() {
		if h.formats == nil {
			h.formats = []piece.Format{piece.Hybrid}
		}
		for _, f := range h.formats {
			t.Run(h.name+", "+f.String(), func(t *testing.T) {
				t.Parallel()
				tor := content[f]
				good := newMachine(t, Config{})
				if _, err := good.Add(Spec{Torrent: tor, Content: path[f]}); err != nil {
					t.Fatal(err)
				}
				l := newLiar(t, tor, want, h.act)
				m := newMachine(t, Config{})
				dir := t.TempDir()
				tr, err := m.Add(Spec{Torrent: tor, Dir: dir, Peers: []string{l.addr}})
				if err != nil {
					t.Fatal(err)
				}
				if h.inbound {
					l.wg.Go(func() { l.dial(m.addr, 2) })
				}
				soon(t, l.did)
				if got := tr.Stats(); got.Prepared && got.Have == got.Wanted {
					t.Fatal("complete before the good peer is known")
				}
				if h.banned {
					until(t, "the liar is sent away", func() bool { return banned(t, tr, liarID) })
				}
				tr.AddPeers(good.addr)
				wait(t, tr, 20*time.Second)
				sameFile(t, filepath.Join(dir, "release.bin"), want)
				if got := banned(t, tr, liarID); got != h.banned {
					t.Errorf("the liar is sent away: %v, want %v", got, h.banned)
				}
				if banned(t, tr, good.PeerID()) {
					t.Error("the good peer is sent away")
				}
			})
		}
	}
}
