package daemon

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"shoal/internal/port"
)

func TestDecideDHT(t *testing.T) {
	home := []netip.Addr{netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.2")}
	public := append(home, netip.MustParseAddr("8.8.8.8"))
	for _, c := range []struct {
		name   string
		cfg    DHTConfig
		own    []netip.Addr
		mode   string
		reason string
	}{
		{"the zero value", DHTConfig{}, public, DHTOff, "told"},
		{"off", DHTConfig{Mode: DHTOff, Bootstrap: []string{"10.0.0.1:1"}}, public, DHTOff, "told"},
		{"public", DHTConfig{Mode: DHTPublic}, home, DHTPublic, "told"},
		{"private", DHTConfig{Mode: DHTPrivate}, public, DHTPrivate, "told"},
		{"private content", DHTConfig{Mode: DHTPublic, PrivateContent: true}, public, DHTOff, "content is private"},
		{"auto at home", DHTConfig{Mode: DHTAuto, Hosts: []string{"10.0.0.1", "127.0.0.1", "localhost"}}, home, DHTOff, "no public address"},
		{"auto with a public address", DHTConfig{Mode: DHTAuto}, public, DHTPublic, "8.8.8.8"},
		{"auto with a public source", DHTConfig{Mode: DHTAuto, Hosts: []string{"10.0.0.1", "9.9.9.9"}}, home, DHTPublic, "9.9.9.9"},
		{"auto with nodes", DHTConfig{Mode: DHTAuto, Bootstrap: []string{"10.0.0.1:1"}}, public, DHTPrivate, "nodes to begin with"},
		{"auto with private content", DHTConfig{Mode: DHTAuto, PrivateContent: true, Bootstrap: []string{"10.0.0.1:1"}}, public, DHTOff, "content is private"},
	} {
		st := c.cfg.decide(context.Background(), c.own)
		if st.Mode != c.mode || !strings.Contains(st.Reason, c.reason) {
			t.Errorf("%s: %s, want %s because of %q", c.name, st, c.mode, c.reason)
		}
	}
}

func TestLocalAddress(t *testing.T) {
	lo, any4 := netip.MustParseAddr("127.0.0.1"), netip.IPv4Unspecified()
	pub := netip.MustParseAddr("8.8.8.8")
	for _, c := range []struct {
		bound  netip.Addr
		public []netip.Addr
		to     string
		want   netip.Addr
	}{
		{lo, nil, "127.0.0.9", lo}, {any4, nil, "127.0.0.9", lo}, {any4, []netip.Addr{pub}, "9.9.9.9", pub}, {any4, []netip.Addr{pub}, "127.0.0.9", lo},
	} {
		if got := localAddress(c.bound, c.public, netip.MustParseAddr(c.to)); got != c.want {
			t.Errorf("bound to %s, towards %s: %s, want %s", c.bound, c.to, got, c.want)
		}
	}
}

// The well-known nodes are for the public network alone: nothing else leads to them.
func TestWellKnownNodes(t *testing.T) {
	p, err := port.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for mode, want := range map[string]bool{DHTPublic: true, DHTPrivate: false, DHTOff: false, DHTAuto: false} {
		for _, bootstrap := range [][]string{nil, {"127.0.0.1:1"}} {
			c := DHTConfig{Mode: mode, Bootstrap: bootstrap}
			got := false
			for _, hp := range c.entrances(c.decide(context.Background(), []netip.Addr{p.Addr().Addr()}).Mode) {
				got = got || hp == wellKnown[0]
			}
			if got != (want && bootstrap == nil) {
				t.Errorf("%s with nodes %q: begins with the well-known %v", mode, bootstrap, got)
			}
		}
	}
}
