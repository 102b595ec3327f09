package port

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		begin string
		want  protocol
	}{
		{"", undecided},
		{"\x13BitTorrent protocol\x00\x00", bitTorrent},
		{"\x13BitTorrent protocol", bitTorrent},
		{"\x13BitTorrent protoco", undecided},
		{"\x13BitTorrent protocoL", unknown},
		{"\x13", undecided},
		{"\x13b", unknown},
		{"\x12BitTorrent protocol", unknown},
		{"GET /x HTTP/1.1\r\n", http},
		{"GET ", http},
		{"GET", undecided},
		{"GETX", unknown},
		{"G", undecided}, // an encrypted stranger's key begins so once in 256 times
		{"G\xfe", unknown},
		{"HEAD / ", http},
		{"P", undecided},
		{"PUT ", http},
		{"POST /", http},
		{"PATCH /", http},
		{"OPTIONS *", http},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http},
		{"PRI * HTTP/1", unknown},
		{"get / HTTP/1.1", unknown},
		{"\x16", undecided},
		{"\x16\x03\x01", tls},
		{"\x16\x02", unknown},
		{"\x00", unknown},
		{"SSH-2.0-x", unknown},
	} {
		if got := match([]byte(c.begin)); got != c.want {
			t.Errorf("match(%q) = %v, want %v", c.begin, got, c.want)
		}
	}
}

// What is decided stays decided, 20 bytes always decide, and what is not unknown is a beginning of something we know.
func FuzzMatch(f *testing.F) {
	for _, p := range prefixes {
		f.Add([]byte(p.begin))
		f.Add([]byte(p.begin[:1] + "\xff"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		decided := undecided
		for n := range len(b) + 1 {
			got := match(b[:n])
			if decided != undecided && got != decided {
				t.Fatalf("match(%q) = %v, but its beginning was %v", b[:n], got, decided)
			}
			decided = got
			known := false
			for _, p := range prefixes {
				s := string(b[:n])
				known = known || strings.HasPrefix(s, p.begin) || strings.HasPrefix(p.begin, s)
			}
			if known == (got == unknown) {
				t.Fatalf("match(%q) = %v, but it is known: %v", b[:n], got, known)
			}
		}
		if len(b) >= 20 && decided == undecided {
			t.Fatalf("%q is undecided", b)
		}
	})
}
