package swarm

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"shoal/piece"
)

// Who is known by a name and by his address gets one handshake, whichever of the dials comes first: with two each end might give up another one.
func TestOnePeerByTwoNames(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := netip.MustParseAddrPort(ln.Addr().String())
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	name := net.JoinHostPort("localhost", port)
	tor, _, _ := makeContent(t, 1<<20, piece.BuildConfig{})
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{name, at.String()}})
	said := make(chan int, 2)
	for range 2 {
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		go func() {
			nc.SetReadDeadline(time.Now().Add(time.Minute))
			n, _ := io.ReadAtLeast(nc, make([]byte, 1<<10), 1)
			said <- n
		}()
	}
	if a, b := <-said, <-said; a > 0 && b > 0 || a+b == 0 {
		t.Errorf("%d and %d bytes came over two connections, want a handshake over one", a, b)
	}
	s, err := tr.session()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "both names stand for one entry", func() bool {
		one := make(chan bool, 1)
		s.do(func() {
			one <- s.book.pinned[name] == s.book.known[at] && s.book.known[at] == s.book.pinned[at.String()]
		})
		return <-one
	})
}

// What the user has named and what others tell of is one peer.
func TestPinnedIsKnown(t *testing.T) {
	now := time.Now()
	a, b := netip.MustParseAddrPort("10.0.0.1:7070"), netip.MustParseAddrPort("10.0.0.2:7070")
	book := newBook()
	book.heard(a, now)
	for _, p := range []string{a.String(), "[::ffff:10.0.0.2]:7070", "origin.example:7070"} {
		book.pin(p)
	}
	book.heard(b, now)
	if len(book.known) != 2 || book.known[a] != book.pinned[a.String()] || book.known[b] != book.pinned["[::ffff:10.0.0.2]:7070"] {
		t.Errorf("known %v, pinned %v", book.known, book.pinned)
	}
}
