package cli

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestCandidates(t *testing.T) {
	for _, c := range []struct{ name, own, routed, want string }{
		{"nothing but loopback", "127.0.0.1 ::1 fe80::1", "", "127.0.0.1"},
		{"a bridge comes first in the list", "127.0.0.1 172.17.0.1 192.168.1.20", "192.168.1.20", "192.168.1.20 172.17.0.1"},
		{"an overlay network is not public", "100.101.1.1 172.17.0.1 192.168.1.20", "192.168.1.20", "192.168.1.20 172.17.0.1 100.101.1.1"},
		{"all goes through the overlay", "100.101.1.1 192.168.1.20", "100.101.1.1", "192.168.1.20 100.101.1.1"},
		{"no default route", "198.18.0.1 10.0.0.1 203.0.113.9", "", "203.0.113.9 10.0.0.1 198.18.0.1"},
		{"IPv6 is behind", "2001:db8::7 fd00::1 10.0.0.1", "2001:db8::7", "10.0.0.1 2001:db8::7 fd00::1"},
		{"the same twice", "::ffff:10.0.0.1 10.0.0.1", "", "10.0.0.1"},
	} {
		parse := func(text string) (addrs []netip.Addr) {
			for _, x := range strings.Fields(text) {
				addrs = append(addrs, netip.MustParseAddr(x))
			}
			return addrs
		}
		if got, want := candidates(parse(c.own), parse(c.routed)...), parse(c.want); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
	}
}

func TestPublicURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://updates.example:7070": true, "https://192.0.2.1": true, "http://[2001:db8::1]:7070": true,
		"http://0.0.0.0:7070": false, "http://[::]:7070": false, "http://[::ffff:0.0.0.0]:7070": false, "http://:7070": false, "ftp://x": false, "x:7070": false,
	} {
		if err := checkPublicURL(text); (err == nil) != ok {
			t.Errorf("%s: %v, want ok %v", text, err, ok)
		}
	}
}
