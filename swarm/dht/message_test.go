package dht

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
)

// seeds are messages as others send them: BEP 5's examples, libtorrent's, and what has crashed nodes.
var seeds = []string{
	"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
	"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
	"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
	"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:v4:LT\x02\x001:y1:qe",
	"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee2:ip6:\x01\x02\x03\x04\x1a\xe11:t2:aa1:y1:re",
	"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer2:roi1e1:t2:aa1:y1:qe",
	"d1:ad3:casi3e2:id20:abcdefghij01234567891:k32:" + strings.Repeat("k", 32) + "4:salt3:abc3:seqi4e3:sig64:" + strings.Repeat("s", 64) + "5:token8:aoeusnth1:vd1:ai1eee1:q3:put1:t2:aa1:y1:qe",
	"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456\x01\x02\x03\x04\x1a\xe16:nodes638:mnopqrstuvwxyz123456\x20\x01\x0d\xb8aaaaaaaaaaaa\x1a\xe1e1:t2:aa1:y1:re",
	"d1:q13:announce_peer1:t2:aa1:y1:qe",
	"d1:q3:put1:t2:aa1:y1:qe",
	"d2:ip1:x1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567896:valuesl0:ee1:t2:aa1:y1:re",
	"d1:eli1ee1:t2:aa1:y1:ee",
	"d1:t2:aa1:y1:re",
	"d1:ad1:v" + strings.Repeat("l", 200),
	"d1:ad1:v99999999999999999999:",
	"d1:ai1e1:q4:ping1:t2:aa1:y1:qe",
}

func TestParse(t *testing.T) {
	m, err := parse([]byte(seeds[6]))
	if err != nil {
		t.Fatal(err)
	}
	if m.kind != 'q' || m.method != "put" || *m.cas != 3 || *m.seq != 4 || string(m.salt) != "abc" || string(m.v) != "d1:ai1ee" ||
		m.id.String() != ID([]byte("abcdefghij0123456789")).String() || len(m.key) != 32 || len(m.sig) != 64 || string(m.token) != "aoeusnth" {
		t.Errorf("a put came out as %+v", m)
	}
	m, err = parse([]byte(seeds[4]))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("97.120.106.101:11893"), netip.MustParseAddrPort("105.100.104.116:28269")}
	if m.kind != 'r' || !reflect.DeepEqual(m.values, want) || m.ip != netip.MustParseAddrPort("1.2.3.4:6881") {
		t.Errorf("peers came out as %v, the address as %v", m.values, m.ip)
	}
	m, err = parse([]byte(seeds[7]))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.nodes) != 1 || m.nodes[0].addr != netip.MustParseAddrPort("1.2.3.4:6881") || len(m.nodes6) != 1 || !m.nodes6[0].addr.Addr().Is6() {
		t.Errorf("nodes came out as %v and %v", m.nodes, m.nodes6)
	}
	for _, bad := range []string{"", "d", "de", "x", "d1:t2:aae", "d1:t2:aa1:y1:ze", "d1:t2:aa1:y1:qe", // a query without a name
		"d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re", "d1:rd5:nodes25:mnopqrstuvwxyz123456\x01\x02\x03\x04\x1ae1:t2:aa1:y1:re",
		"d1:t33:" + strings.Repeat("a", 33) + "1:y1:re", "d1:rd1:k31:" + strings.Repeat("k", 31) + "e1:t2:aa1:y1:re",
		"d1:rd1:vi01ee1:t2:aa1:y1:re", "d1:rd1:vi-0ee1:t2:aa1:y1:re", "d1:t2:aa1:t2:aa1:y1:re",
		"d1:rd1:v" + strings.Repeat("l", 20) + strings.Repeat("e", 20) + "e1:t2:aa1:y1:re", "d1:t2:aa1:y1:r1:z" + strings.Repeat("9", 3000)} {
		if m, err := parse([]byte(bad)); err == nil {
			t.Errorf("%.60q was taken for %+v", bad, m)
		}
	}
}

// FuzzMessage: what is taken is taken the same again after we have written it, within bounds, and the library that others use reads what we write.
func FuzzMessage(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if len(m.nodes) > maxNodes || len(m.nodes6) > maxNodes || len(m.values) > maxValues || len(m.tid) > maxTID || len(m.method) > 32 {
			t.Fatalf("beyond its bounds: %+v", m)
		}
		for _, a := range m.values {
			if !reachable(a) {
				t.Fatalf("peer at %v", a)
			}
		}
		one := m.append(nil)
		again, err := parse(one)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", b, one, err)
		}
		if two := again.append(nil); !bytes.Equal(one, two) {
			t.Fatalf("written as %q, then as %q", one, two)
		}
		if m.v != nil && !isValue(m.v) {
			t.Fatalf("value %q", m.v)
		}
		var theirs krpc.Msg
		if err := bencode.Unmarshal(one, &theirs); err != nil {
			t.Fatalf("krpc does not read %q: %v", one, err)
		}
		if theirs.T != string(m.tid) || theirs.Y != string(m.kind) || theirs.Q != "" && theirs.Q != m.method {
			t.Fatalf("krpc reads %q as %+v", one, theirs)
		}
	})
}
