package swarm

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

func TestIPv6(t *testing.T) {
	t.Parallel()
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("no IPv6 here: %v", err)
		}
		return ln
	}
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{})
	s := newMachineAt(t, Config{}, listen())
	add(t, s, Spec{Torrent: tor, Content: path})
	m := newMachineAt(t, Config{}, listen())
	dir := t.TempDir()
	wait(t, add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}}), 20*time.Second)
	sameFile(t, filepath.Join(dir, "release.bin"), want)
}

// A peer that is not there yet when it is dialled first is found when it comes.
func TestLatePeer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{})
	m := newMachine(t, Config{})
	dir := t.TempDir()
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{addr}})
	until(t, "the first dial has failed", func() bool {
		fails := make(chan int, 1)
		s, err := tr.session()
		if err != nil {
			t.Fatal(err)
		}
		s.do(func() { fails <- s.book.pinned[addr].fails })
		return <-fails > 0
	})
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Skipf("somebody else took the port: %v", err)
	}
	s := newMachineAt(t, Config{}, ln)
	add(t, s, Spec{Torrent: tor, Content: path})
	wait(t, tr, 20*time.Second)
	sameFile(t, filepath.Join(dir, "release.bin"), want)
}

// Limits hold and do not break connections, however low they are; a transfer that waits for one
// can be closed at any moment.
func TestLowLimits(t *testing.T) {
	tor, path, want := makeContent(t, 300<<10, piece.BuildConfig{PieceLength: 128 << 10})
	for _, c := range []struct {
		name     string
		up, down int64
	}{{"down", 0, 200 << 10}, {"up", 200 << 10, 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newMachine(t, Config{LimitUp: c.up})
			add(t, s, Spec{Torrent: tor, Content: path})
			m := newMachine(t, Config{LimitDown: c.down})
			dir := t.TempDir()
			tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
			wait(t, tr, 20*time.Second)
			sameFile(t, filepath.Join(dir, "release.bin"), want)
			if s := tr.Stats(); s.Wasted > 0 || s.Connected != 1 {
				t.Errorf("wasted %d bytes over %d connections", s.Wasted, s.Connected)
			}
		})
	}
	t.Run("closed while it waits", func(t *testing.T) {
		t.Parallel()
		s := newMachine(t, Config{})
		add(t, s, Spec{Torrent: tor, Content: path})
		m := newMachine(t, Config{LimitDown: 1 << 10})
		tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{s.addr}})
		until(t, "a block has come", func() bool { return tr.Stats().Connected > 0 })
		tr.Close()
		if err := tr.Err(); err == nil {
			t.Error("closed in the middle and no error")
		}
	})
}

// Peers that dial each other at the same moment end up with one connection, and the transfer goes on.
func TestBothDial(t *testing.T) {
	t.Parallel()
	tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{PieceLength: 64 << 10})
	for range 5 {
		s, m := newMachine(t, Config{}), newMachine(t, Config{})
		dir := t.TempDir()
		str := add(t, s, Spec{Torrent: tor, Content: path, Peers: []string{m.addr}})
		tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{s.addr}})
		wait(t, tr, 20*time.Second)
		sameFile(t, filepath.Join(dir, "release.bin"), want)
		if a, b := str.Stats().Peers, tr.Stats().Peers; a > 1 || b > 1 {
			t.Errorf("%d and %d connections", a, b)
		}
		s.stop()
		m.stop()
	}
}

// Addresses are given up for longer and longer, and bans are of who was met there.
func TestBook(t *testing.T) {
	now := time.Now()
	a := netip.MustParseAddrPort("10.0.0.1:1000")
	at := func(b *book) *entry { return b.known[a] }
	t.Run("what is heard", func(t *testing.T) {
		b := newBook()
		for _, bad := range []string{"0.0.0.0:1", "10.0.0.1:0", "224.0.0.1:5", "[::]:7", "[ff02::1]:7"} {
			b.heard(netip.MustParseAddrPort(bad), now)
		}
		if len(b.known) != 0 {
			t.Errorf("known are %v", b.known)
		}
		b.heard(netip.MustParseAddrPort("[::ffff:10.0.0.1]:1000"), now)
		if at(b) == nil || !at(b).ready(now) {
			t.Error("a mapped address is not the address")
		}
		for i := range 3 * maxKnown {
			b.heard(netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), 1), now)
		}
		if len(b.known) > maxKnown {
			t.Errorf("%d addresses are known, want %d at most", len(b.known), maxKnown)
		}
		at(b).fails = 3
		fresh := netip.MustParseAddrPort("12.0.0.1:1")
		if b.heard(fresh, now); b.known[fresh] != nil {
			t.Error("a full book is looked through for each address")
		}
		if b.heard(fresh, now.Add(dialPause)); b.known[fresh] == nil || at(b) != nil {
			t.Error("an address that has failed makes no room")
		}
	})
	t.Run("a ban", func(t *testing.T) {
		b := newBook()
		b.heard(a, now)
		liar := &conn{id: [20]byte{1}, addr: netip.MustParseAddrPort("10.0.0.1:40000"), inbound: true, listen: 1000}
		b.listens(liar, now)
		b.ban(liar, now)
		if !b.banned(liar, now) || at(b).ready(now.Add(time.Minute)) {
			t.Error("the liar is not banned")
		}
		if b.banned(&conn{id: [20]byte{2}, addr: liar.addr}, now) || b.banned(&conn{id: [20]byte{1}, addr: netip.MustParseAddrPort("10.0.0.2:1")}, now) {
			t.Error("another behind the address, or of the same name elsewhere, is banned")
		}
		if b.banned(liar, now.Add(banTime)) || !at(b).until.Before(now.Add(banTime+1)) {
			t.Error("banned for ever")
		}
	})
	t.Run("a liar that names another's port", func(t *testing.T) {
		b := newBook()
		b.heard(a, now)
		at(b).id = [20]byte{7} // who was met there
		liar := &conn{id: [20]byte{1}, addr: netip.MustParseAddrPort("10.0.0.1:40000"), inbound: true, listen: 1000}
		b.listens(liar, now)
		b.ban(liar, now)
		if !at(b).ready(now) {
			t.Error("the other may not be dialled")
		}
	})
	t.Run("backing off", func(t *testing.T) {
		b := newBook()
		b.heard(a, now)
		c := &conn{addr: a}
		last := time.Duration(0)
		for range 10 {
			b.left(c, now, false)
			wait := at(b).next.Sub(now)
			if wait < last || wait > maxBackoff {
				t.Errorf("waits %v after %v", wait, last)
			}
			last = wait
		}
		c.received = 1
		if b.left(c, now, false); at(b).next.Sub(now) != time.Second {
			t.Errorf("waits %v for one that was of use", at(b).next.Sub(now))
		}
	})
}

// What a peer said before we knew the torrent counts once we do.
func TestEarlyBits(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	for name, c := range map[string]struct {
		say  []wire.Message
		want int
	}{
		"bits and more":  {[]wire.Message{{Type: wire.Bitfield, Payload: []byte{0xff, 0, 0}}, {Type: wire.Have, Index: 9}, {Type: wire.Have, Index: 3}}, 9},
		"HAVEs alone":    {[]wire.Message{{Type: wire.Have, Index: 19}, {Type: wire.Have, Index: 20}, {Type: wire.Have, Index: 1 << 31}}, 1},
		"all":            {[]wire.Message{{Type: wire.HaveAll}}, 20},
		"none":           {[]wire.Message{{Type: wire.HaveNone}}, 0},
		"bits too long":  {[]wire.Message{{Type: wire.Bitfield, Payload: make([]byte, 100)}}, -1},
		"bits too short": {[]wire.Message{{Type: wire.Bitfield, Payload: []byte{0xff}}}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(tor, want)
			defer b.stop()
			known := b.torrent
			b.torrent = nil
			c1 := b.peer(1)
			for _, m := range c.say {
				if err := b.handle(c1, &m); err != nil {
					t.Fatal(err)
				}
			}
			b.torrent = known
			b.introduce(c1)
			if c.want < 0 {
				if !c1.gone {
					t.Error("a bitfield that does not fit is taken")
				}
				return
			}
			if c1.have.set != c.want || c1.useful != c.want {
				t.Errorf("it has %d pieces and %d are useful, want %d", c1.have.set, c1.useful, c.want)
			}
		})
	}
}
