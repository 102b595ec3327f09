package swarm

import (
	"net/netip"
	"testing"
)

// The first two are BEP 40's own examples.
func TestPriority(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want uint32
	}{
		{"123.213.32.10:0", "98.76.54.32:0", 0xec2d7224},
		{"123.213.32.10:0", "123.213.32.234:0", 0x99568189},
	} {
		a, b := netip.MustParseAddrPort(c.a), netip.MustParseAddrPort(c.b)
		if got := priority(a, b); got != c.want {
			t.Errorf("priority(%s, %s) = %08x, want %08x", c.a, c.b, got, c.want)
		}
		if priority(a, b) != priority(b, a) {
			t.Errorf("priority(%s, %s) is not symmetric", c.a, c.b)
		}
	}
	one, other := netip.MustParseAddrPort("[2001:db8::1]:5"), netip.MustParseAddrPort("[2001:db8::1]:9")
	if priority(one, other) != priority(other, one) || priority(one, other) == priority(one, one) {
		t.Error("peers behind one address are told apart by their ports, from both ends alike")
	}
}
