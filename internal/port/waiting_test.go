package port

import (
	"io"
	"net/netip"
	"testing"
)

type fakeConn struct{ closed bool }

func (c *fakeConn) Close() error { c.closed = true; return nil }

func TestWaitingPushesOutTheOldestOfTheMany(t *testing.T) {
	w := newWaiting(5)
	enter := func(addr string) (*waiter, *fakeConn, io.Closer) {
		c := &fakeConn{}
		me, out, ok := w.enter(netip.MustParseAddr(addr), c)
		if !ok {
			t.Fatalf("%s may not enter", addr)
		}
		return me, c, out
	}
	_, honest, _ := enter("10.0.0.2")
	w1, a1, _ := enter("10.0.0.1")
	_, a2, _ := enter("10.0.0.1")
	enter("10.0.0.1")
	if w5, _, out := enter("10.0.0.1"); out != nil {
		t.Error("somebody was pushed out while there was room")
	} else if _, _, out := enter("10.0.0.1"); out != io.Closer(a1) {
		t.Error("one more of the address that has the most did not push out that address's first")
	} else if w.leave(w1) {
		t.Error("who was pushed out left as if it had decided")
	} else if _, _, out := enter("10.0.0.3"); out != io.Closer(a2) {
		t.Error("another address did not push out the first of the one that has the most")
	} else if !w.leave(w5) || w.leave(w5) {
		t.Error("who waits can leave once")
	}
	if _, _, out := enter("10.0.0.4"); out != nil {
		t.Error("somebody was pushed out although one had left")
	}
	enter("10.0.0.5") // the last that 10.0.0.1 has more of than others
	if _, _, out := enter("10.0.0.6"); out != io.Closer(honest) {
		t.Error("of addresses that have one each, the oldest did not go")
	}
	w.closeAll()
	if _, _, ok := w.enter(netip.MustParseAddr("10.0.0.7"), &fakeConn{}); ok {
		t.Error("somebody entered after closeAll")
	}
	if w.many != 0 || len(w.from) != 0 {
		t.Errorf("after closeAll %d wait, from %v", w.many, w.from)
	}
}

func TestOneHostIsOneSource(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true}, // a host has a /64
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if got := source(netip.MustParseAddr(c.a)) == source(netip.MustParseAddr(c.b)); got != c.same {
			t.Errorf("%s and %s are one source: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}
