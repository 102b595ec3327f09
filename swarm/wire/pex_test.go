package wire

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func samePex(a, b Pex) bool {
	return slices.Equal(a.Added, b.Added) && slices.Equal(a.Dropped, b.Dropped)
}

func TestPex(t *testing.T) {
	for name, x := range map[string]Pex{
		"nothing": {},
		"both families": {
			Added: []PexPeer{{netip.MustParseAddrPort("10.0.0.1:6881"), PexSeed | PexReachable}, {netip.MustParseAddrPort("10.0.0.2:1"), 0},
				{netip.MustParseAddrPort("[2001:db8::1]:65535"), PexEncrypts}},
			Dropped: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:9"), netip.MustParseAddrPort("[2001:db8::2]:2")},
		},
	} {
		id, p := payload(t, x.Append(nil, 3))
		if got, err := ParsePex(p); err != nil || id != 3 || !samePex(got, x) {
			t.Errorf("%s: id %d, %+v, %v; want %+v", name, id, got, err, x)
		}
	}
	for in, want := range map[string]Pex{
		"de": {},
		"d5:added6:\x0a\x00\x00\x01\x1a\xe17:added.f1:\x02e":           {Added: []PexPeer{{netip.MustParseAddrPort("10.0.0.1:6881"), 2}}},
		"d5:added7:\x0a\x00\x00\x01\x1a\xe1\x00e":                      {Added: []PexPeer{{netip.MustParseAddrPort("10.0.0.1:6881"), 0}}},
		"d5:addedi5e7:dropped6:\x0a\x00\x00\x01\x1a\xe1e":              {Dropped: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:6881")}},
		"d5:added12:\x0a\x00\x00\x01\x00\x00\xe0\x00\x00\x01\x00\x01e": {}, // no port, multicast
		"d6:added65:abcdee": {},
	} {
		if got, err := ParsePex([]byte(in)); err != nil || !samePex(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	many := "d5:added600:" + strings.Repeat("\x0a\x00\x00\x01\x1a\xe1", 100) + "6:added618:" + strings.Repeat("\x20", 18) + "7:dropped600:" + strings.Repeat("\x0a\x00\x00\x01\x1a\xe1", 100) + "e"
	if got, err := ParsePex([]byte(many)); err != nil || len(got.Added) != MaxPex || len(got.Dropped) != MaxPex {
		t.Errorf("of 100 peers %d and %d are read, %v; want %d", len(got.Added), len(got.Dropped), err, MaxPex)
	}
	for _, in := range []string{"", "x", "le", "i5e", "d5:added"} {
		if x, err := ParsePex([]byte(in)); err == nil {
			t.Errorf("%q was read as %+v", in, x)
		}
	}
}

func FuzzPex(f *testing.F) {
	f.Add(Pex{Added: []PexPeer{{netip.MustParseAddrPort("10.0.0.1:6881"), 2}, {netip.MustParseAddrPort("[2001:db8::1]:1"), 1}},
		Dropped: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:9")}}.Append(nil, 1)[6:])
	f.Add([]byte("d5:added12:\x0a\x00\x00\x01\x1a\xe1\x0a\x00\x00\x02\x1a\xe17:added.f2:\x12\x006:added60:8:added6.f0:7:dropped0:8:dropped60:e"))
	f.Add([]byte("d5:added7:\x0a\x00\x00\x01\x1a\xe1\x00e"))
	f.Fuzz(func(t *testing.T, p []byte) {
		x, err := ParsePex(p)
		if err != nil {
			return
		}
		if len(x.Added) > MaxPex || len(x.Dropped) > MaxPex {
			t.Fatalf("%d and %d peers were read", len(x.Added), len(x.Dropped))
		}
		for _, a := range x.Added {
			if a.Addr.Port() == 0 || !a.Addr.IsValid() || a.Addr.Addr().IsMulticast() || a.Addr.Addr().IsUnspecified() {
				t.Fatalf("%v was read", a)
			}
		}
		again, err := ParsePex(x.Append(nil, 1)[6:])
		if err != nil || !samePex(again, x) {
			t.Fatalf("%+v became %+v, %v", x, again, err)
		}
	})
}
