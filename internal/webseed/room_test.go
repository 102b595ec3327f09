package webseed

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestOneClientLeavesRoomForOthers(t *testing.T) {
	var r room
	fill := func(addr string) (n int) {
		for r.enter(netip.MustParseAddr(addr), 100) {
			n++
		}
		return n
	}
	if n := fill("10.0.0.1"); n != 51 {
		t.Errorf("one client gets room for %d of 100 responses, want half", n)
	}
	if n := fill("10.0.0.2"); n < 20 || n > 30 {
		t.Errorf("the second client gets room for %d, want about half of what is left", n)
	}
	if !r.enter(netip.MustParseAddr("10.0.0.3"), 100) {
		t.Error("the third client gets none")
	}
	for r.of[netip.MustParseAddr("10.0.0.1")] > 0 {
		r.leave(netip.MustParseAddr("10.0.0.1"))
	}
	if len(r.of) != 2 || r.all != r.of[netip.MustParseAddr("10.0.0.2")]+1 {
		t.Errorf("after all have left of one, the books have %d in all, %v", r.all, r.of)
	}
}

func TestClientOf(t *testing.T) {
	for from, want := range map[string]string{"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "10.0.0.1", "[2001:db8::1:2]:5": "2001:db8::", "@": "invalid IP"} {
		if got := ClientOf(&http.Request{RemoteAddr: from}).String(); got != want {
			t.Errorf("%s is of %s, want %s", from, got, want)
		}
	}
}

// now is how many responses are under way.
func (r *room) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}
