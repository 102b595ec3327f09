package swarm

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// bubble is where nodes meet over memory, under the clock of synctest: what takes seconds costs none.
type bubble struct {
	t    *testing.T
	ctx  context.Context
	wg   sync.WaitGroup
	read atomic.Int64 // bytes that came over all connections
	came func() int64 // those that a limit is for
}

// inBubble runs f in a bubble, and then ends all nodes.
func inBubble(t *testing.T, f func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		b := &bubble{t: t, ctx: ctx}
		b.came = b.read.Load
		defer b.wg.Wait()
		defer cancel()
		f(b)
	})
}

var (
	elsewhere = netip.MustParseAddr("198.18.0.1")
	nearBy    = netip.MustParseAddr("198.19.0.1")
)

// node runs one that is attached to the network of nearBy.
func (b *bubble) node(cfg Config) *Node {
	n := New(cfg)
	n.links.read, n.links.prefixes = time.Now().AddDate(9, 0, 0), []netip.Prefix{netip.PrefixFrom(nearBy, 16)}
	b.wg.Go(func() { n.Run(b.ctx) })
	return n
}

func (b *bubble) add(n *Node, spec Spec) *Transfer {
	b.t.Helper()
	tr, err := n.Add(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return tr
}

// memoryConn is one end of a connection in memory, to somebody at an address.
type memoryConn struct {
	net.Conn
	addr netip.Addr
	came *atomic.Int64
}

func (c memoryConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 7070))
}

func (c memoryConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.came != nil {
		c.came.Add(int64(n))
	}
	return n, err
}

// meet has a transfer's node dial another one. Each believes that the other one is at the address.
func (b *bubble) meet(tr *Transfer, to *Node, at netip.Addr) {
	mine, other := net.Pipe()
	b.wg.Go(func() { to.HandleConn(b.ctx, memoryConn{other, at, nil}) })
	b.wg.Go(func() {
		s, err := tr.session()
		if err != nil {
			b.t.Error(err)
			return
		}
		nc := memoryConn{mine, at, &b.read}
		if _, err := nc.Write(tr.handshake(tr.node.cfg.PeerID).Append(nil)); err != nil {
			b.t.Error(err)
			return
		}
		h, err := wire.ReadHandshake(nc)
		if err != nil {
			b.t.Error(err)
			return
		}
		s.runConn(b.ctx, newConn(s, nc, h, false))
	})
}

// webSeedOf is a web seed in memory with one file.
type webSeedOf struct {
	content []byte
	came    *atomic.Int64
	busy    *atomic.Bool // nil: it never is
}

func (w webSeedOf) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if w.busy != nil && w.busy.Load() {
		rec.WriteHeader(http.StatusServiceUnavailable)
		resp := rec.Result()
		resp.Request = r
		return resp, nil
	}
	http.ServeContent(rec, r, "", time.Unix(1e9, 0), bytes.NewReader(w.content))
	resp := rec.Result()
	resp.Request, resp.Body = r, io.NopCloser(&countedReader{resp.Body, w.came})
	return resp, nil
}

type countedReader struct {
	io.Reader
	n *atomic.Int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// begins waits for the first bytes.
func (b *bubble) begins() {
	for b.came() < 64<<10 {
		time.Sleep(10 * time.Millisecond)
	}
}

// holds lets five seconds pass, in which as much has to come as a rate lets through, within 5 %.
func (b *bubble) holds(what string, rate int64) {
	b.t.Helper()
	before := b.came()
	time.Sleep(5 * time.Second)
	if got, want := float64(b.came()-before), 5*float64(rate); got < 0.95*want || got > 1.05*want {
		b.t.Errorf("%s: %.0f bytes in 5 s, want %.0f within 5 %%", what, got, want)
	}
}

// Each limit holds within 5 % over 5 s, from many machines and to many, and so does what it is changed to meanwhile.
func TestLimitsHoldWithinFivePercent(t *testing.T) {
	tor, path, content := makeContent(t, 9<<20, piece.BuildConfig{})
	const slow, fast = 300_000, 900_000
	for _, c := range []struct {
		name  string
		at    netip.Addr
		seeds int
		web   bool
		set   func(seed, get *Node, pace *Pace, rate int64)
	}{
		{name: "up", at: elsewhere, seeds: 1, set: func(seed, _ *Node, _ *Pace, rate int64) { seed.SetLimits(Limits{Up: rate, LAN: 1, MaxPeers: 80}) }},
		{name: "down, from four", at: elsewhere, seeds: 4, set: func(_, get *Node, _ *Pace, rate int64) { get.SetLimits(Limits{Down: rate, LAN: 1, MaxPeers: 80}) }},
		{name: "up to a machine near by", at: nearBy, seeds: 1, set: func(seed, _ *Node, _ *Pace, rate int64) { seed.SetLimits(Limits{LAN: rate, Up: 1, MaxPeers: 80}) }},
		{name: "down from machines near by", at: nearBy, seeds: 2, set: func(_, get *Node, _ *Pace, rate int64) { get.SetLimits(Limits{LAN: rate, Down: 1, MaxPeers: 80}) }},
		{name: "down from a web seed", web: true, set: func(_, get *Node, _ *Pace, rate int64) { get.SetLimits(Limits{Down: rate, LAN: 1, MaxPeers: 80}) }},
		{name: "one transfer's own pace", at: elsewhere, seeds: 2, set: func(_, _ *Node, pace *Pace, rate int64) { pace.Set(rate) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				get, pace := b.node(Config{}), new(Pace)
				spec := Spec{Torrent: tor, Dir: t.TempDir(), Pace: pace}
				if c.web {
					spec.Local, spec.OriginSeeds = webSeedOf{content, new(atomic.Int64), nil}, []string{"http://origin.example/release.bin"}
				}
				var seeds []*Node
				for range c.seeds {
					seed := b.node(Config{})
					b.add(seed, Spec{Torrent: tor, Content: path})
					seeds = append(seeds, seed)
				}
				set := func(rate int64) {
					var seed *Node
					if c.seeds > 0 {
						seed = seeds[0]
					}
					c.set(seed, get, pace, rate)
				}
				set(slow)
				tr := b.add(get, spec)
				for _, seed := range seeds {
					b.meet(tr, seed, c.at)
				}
				if c.web { // what counts has passed the limit
					b.came = func() int64 { return tr.Stats().FromWebSeeds }
				}
				b.begins()
				b.holds("at first", slow)
				set(fast)
				b.holds("changed to more", fast)
				set(slow)
				time.Sleep(time.Second) // what was on its way when it changed
				b.holds("changed to less", slow)
			})
		})
	}
}

// Below the least rate a web seed helps after five seconds, and above it never; a change counts.
func TestMinRateHoldsWithinFivePercent(t *testing.T) {
	tor, path, content := makeContent(t, 8<<20, piece.BuildConfig{})
	inBubble(t, func(b *bubble) {
		const rate = 100_000
		seed, get := b.node(Config{LimitUp: rate}), b.node(Config{MinRate: rate * 95 / 100})
		b.add(seed, Spec{Torrent: tor, Content: path})
		var helped atomic.Int64
		var busy atomic.Bool
		busy.Store(true) // until there is a peer
		tr := b.add(get, Spec{Torrent: tor, Dir: t.TempDir(), Local: webSeedOf{content, &helped, &busy}, OriginSeeds: []string{"http://origin.example/release.bin"}})
		b.meet(tr, seed, elsewhere)
		b.begins()
		busy.Store(false)
		time.Sleep(30 * time.Second)
		if n := helped.Load(); n > 0 {
			t.Errorf("the web seed gave %d bytes while peers gave 5 %% more than the least rate, want none", n)
		}
		get.SetLimits(Limits{MinRate: rate * 105 / 100, MaxPeers: 80})
		time.Sleep(2 * time.Second)
		if helped.Load() == 0 {
			t.Error("the web seed gave nothing while peers gave 5 % less than the least rate, want it to help")
		}
	})
}

// Of the connections that are offered, as many stay as --max-peers says, of the later ones too when it has changed.
func TestMaxPeersHolds(t *testing.T) {
	tor, path, _ := makeContent(t, 1<<20, piece.BuildConfig{})
	inBubble(t, func(b *bubble) {
		seed := b.node(Config{MaxPeers: 3, LimitUp: 1000})
		tr := b.add(seed, Spec{Torrent: tor, Content: path})
		come := func(many int) {
			for range many {
				b.meet(b.add(b.node(Config{}), Spec{Torrent: tor, Dir: t.TempDir()}), seed, elsewhere)
			}
			time.Sleep(time.Second)
		}
		come(5)
		if n := tr.Stats().Peers; n != 3 {
			t.Errorf("%d peers, want 3", n)
		}
		seed.SetLimits(Limits{MaxPeers: 6, Up: 1000})
		come(5)
		if n := tr.Stats().Peers; n != 6 {
			t.Errorf("%d peers after the change, want 6", n)
		}
	})
}

// When fewer connections are allowed, those that are too many end soon: never the one that content comes from.
func TestFewerPeersAreAllowed(t *testing.T) {
	tor, path, _ := makeContent(t, 9<<20, piece.BuildConfig{})
	for _, c := range []struct {
		name           string
		seeds, lacking int // whom it meets, in this order
		whole          bool
	}{
		{name: "of who gives", lacking: 4, whole: true},
		{name: "of who fetches, from the one that came last", seeds: 1, lacking: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				node := b.node(Config{LimitUp: 100_000, LimitDown: 100_000})
				spec := Spec{Torrent: tor, Dir: t.TempDir()}
				if c.whole {
					spec = Spec{Torrent: tor, Content: path}
				}
				tr := b.add(node, spec)
				peers := func(want int) {
					t.Helper()
					for range 100 {
						if tr.Stats().Peers == want {
							return
						}
						time.Sleep(50 * time.Millisecond)
					}
					t.Fatalf("%d peers after 5 s, want %d", tr.Stats().Peers, want)
				}
				for i := range c.lacking + c.seeds {
					other := Spec{Torrent: tor, Dir: t.TempDir()}
					if i >= c.lacking {
						other = Spec{Torrent: tor, Content: path}
					}
					n := b.node(Config{})
					b.add(n, other)
					b.meet(tr, n, elsewhere)
					peers(i + 1)
				}
				time.Sleep(5 * time.Second)
				moved := func() int64 {
					if st := tr.Stats(); !c.whole {
						return st.Have
					} else {
						return st.To[Peers]
					}
				}
				limits := node.Limits()
				for _, most := range []int{3, 1} {
					limits.MaxPeers = most
					node.SetLimits(limits)
					peers(most)
					before := moved()
					time.Sleep(10 * time.Second)
					if moved() == before {
						t.Errorf("with %d peers nothing has moved in 10 s", most)
					}
				}
			})
		})
	}
}
