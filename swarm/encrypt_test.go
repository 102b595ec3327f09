package swarm

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/port"
	"shoal/piece"
)

// newPortMachine is a node behind the one port, as it is in programs.
func newPortMachine(t testing.TB, cfg Config) *machine {
	t.Helper()
	p, err := port.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Port = p.Number()
	m := &machine{Node: New(cfg), addr: p.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	m.wg.Go(func() { m.Run(ctx) })
	m.wg.Go(func() { p.Run(ctx, port.Handlers{BitTorrent: m.HandleConn, Encrypted: m.HandleEncrypted}) })
	m.stop = func() {
		cancel()
		m.wg.Wait()
	}
	t.Cleanup(m.stop)
	return m
}

// Who takes one kind of connection only is reached by all who can make that kind.
func TestEncryption(t *testing.T) {
	t.Parallel()
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{PieceLength: 64 << 10})
	for _, of := range []Encryption{EncryptionPrefer, EncryptionRequire, EncryptionOff} {
		for _, by := range []Encryption{EncryptionPrefer, EncryptionRequire, EncryptionOff} {
			t.Run(by.String()+" fetches of "+of.String(), func(t *testing.T) {
				t.Parallel()
				s := newPortMachine(t, Config{Encryption: of})
				add(t, s, Spec{Torrent: tor, Content: path})
				m := newPortMachine(t, Config{Encryption: by})
				dir := t.TempDir()
				tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
				if of != by && of != EncryptionPrefer && by != EncryptionPrefer {
					until(t, "dialling has failed twice", func() bool {
						fails := make(chan int, 1)
						x, err := tr.session()
						if err != nil {
							t.Fatal(err)
						}
						x.do(func() { fails <- x.book.pinned[s.addr].fails })
						return <-fails >= 2
					})
					if n := tr.Stats().Connected; n != 0 {
						t.Errorf("%d connections", n)
					}
					return
				}
				wait(t, tr, 20*time.Second)
				sameFile(t, filepath.Join(dir, "release.bin"), want)
			})
		}
	}
}

func TestWays(t *testing.T) {
	for _, c := range []struct {
		policy Encryption
		known  way
		want   []way
	}{
		{EncryptionPrefer, anyWay, []way{plain, sealed}},
		{EncryptionPrefer, plain, []way{plain}},
		{EncryptionPrefer, sealed, []way{sealed, plain}},
		{EncryptionRequire, plain, []way{sealed}},
		{EncryptionOff, sealed, []way{plain}},
	} {
		got := c.policy.ways(c.known)
		if len(got) != len(c.want) || got[0] != c.want[0] || got[len(got)-1] != c.want[len(c.want)-1] {
			t.Errorf("%v, known %d: %v, want %v", c.policy, c.known, got, c.want)
		}
	}
	for _, e := range []Encryption{EncryptionPrefer, EncryptionRequire, EncryptionOff} {
		if got, ok := ParseEncryption(e.String()); !ok || got != e {
			t.Errorf("%v was read as %v, %v", e, got, ok)
		}
	}
	if _, ok := ParseEncryption("maybe"); ok {
		t.Error("maybe is a policy")
	}
}

// Encrypted handshakes cost us more than they cost a stranger: only so many are taken in a second.
func TestEncryptedHandshakesAreBounded(t *testing.T) {
	n := New(Config{})
	closed := 0
	for range 10 * maxSealed {
		a, b := net.Pipe()
		a.Close() // the handshake ends at once
		n.HandleEncrypted(t.Context(), b)
		if _, err := b.Read(nil); err != nil {
			closed++
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sealed.left > 1 {
		t.Errorf("%.0f handshakes are left after ten times what is allowed", n.sealed.left)
	}
	if n.accepted != 0 || len(n.shaking) != 0 || closed != 10*maxSealed {
		t.Errorf("%d accepted, %d shaking, %d closed", n.accepted, len(n.shaking), closed)
	}
}

// Who is not admitted is not dialled, not let in, and sent away when that changes.
func TestAdmission(t *testing.T) {
	t.Parallel()
	tor, path, _ := makeContent(t, 1<<20, piece.BuildConfig{PieceLength: 64 << 10})
	var open atomic.Bool
	admit := func(netip.Addr) bool { return open.Load() }
	for _, who := range []string{"who is dialled", "who dials"} {
		t.Run(who, func(t *testing.T) {
			open.Store(false)
			var cs, cm Config
			if who == "who dials" {
				cs.Admit = admit
			} else {
				cm.Admit = admit
			}
			cs.LimitUp = 100 << 10 // so that it is not over before it is looked at
			s := newMachine(t, cs)
			str := add(t, s, Spec{Torrent: tor, Content: path})
			m := newMachine(t, cm)
			dir := t.TempDir()
			tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
			until(t, "dialling has failed twice", func() bool {
				fails := make(chan int, 1)
				x, _ := tr.session()
				x.do(func() { fails <- x.book.pinned[s.addr].fails })
				return <-fails >= 2
			})
			if a, b := tr.Stats().Connected, str.Stats().Connected; a+b != 0 {
				t.Errorf("%d and %d connections", a, b)
			}
			open.Store(true)
			until(t, "they are connected", func() bool { return tr.Stats().Peers == 1 && str.Stats().Peers == 1 })
			open.Store(false)
			until(t, "they are not connected", func() bool { return tr.Stats().Peers == 0 && str.Stats().Peers == 0 })
		})
	}
	x := newBench(tor, nil)
	defer x.stop()
	x.t.node.cfg.Admit = func(a netip.Addr) bool { return a != netip.MustParseAddr("10.0.0.1") }
	for _, a := range []string{"10.0.0.1:5", "[::ffff:10.0.0.1]:5", "10.0.0.2:5"} {
		x.heard(netip.MustParseAddrPort(a), time.Now())
	}
	if len(x.book.known) != 1 {
		t.Errorf("known are %v, want 10.0.0.2 alone", x.book.known)
	}
}

// What a router lets others reach us by is told to those beyond it, and to trackers.
func TestPortBeyondTheRouter(t *testing.T) {
	tor, _, want := makeContent(t, 16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	b := newBench(tor, want)
	defer b.stop()
	n := b.t.node
	n.cfg.Port = 7070
	n.SetPort(50000)
	near, far := b.peer(1), b.peer(2)
	near.near, far.near = true, false
	if a, b := b.portFor(near), b.portFor(far); a != 7070 || b != 50000 {
		t.Errorf("a neighbour is told %d, another %d; want 7070 and 50000", a, b)
	}
}
