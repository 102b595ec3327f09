package deliver

import (
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	hash1  = "c9e15763f722f23e98a29decdfae341b98d53056"
	hash32 = "zhqvoy7xelzd5gfctxwn7lrudomnkmcw"
	hash2  = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e"
)

func TestParseMagnet(t *testing.T) {
	var v1 [20]byte
	var v2 [32]byte
	hex.Decode(v1[:], []byte(hash1))
	hex.Decode(v2[:], []byte(hash2))
	for _, tt := range []struct {
		name, link string
		want       Magnet
	}{
		{"hex", "magnet:?xt=urn:btih:" + hash1, Magnet{V1: v1, HasV1: true}},
		{"upper case", "MAGNET:?xt=URN:BTIH:" + strings.ToUpper(hash1), Magnet{V1: v1, HasV1: true}},
		{"base32", "magnet:?xt=urn:btih:" + strings.ToUpper(hash32), Magnet{V1: v1, HasV1: true}},
		{"base32 in lower case", "magnet:?xt=urn:btih:" + hash32, Magnet{V1: v1, HasV1: true}},
		{"v2", "magnet:?xt=urn:btmh:1220" + hash2, Magnet{V2: v2, HasV2: true}},
		{"hybrid", "magnet:?xt=urn:btih:" + hash1 + "&xt=urn:btmh:1220" + hash2, Magnet{V1: v1, HasV1: true, V2: v2, HasV2: true}},
		{"numbered", "magnet:?xt.1=urn:btih:" + hash1 + "&xt.2=urn:btmh:1220" + hash2 + "&tr.1=udp://a:1&tr.2=udp://b:2",
			Magnet{V1: v1, HasV1: true, V2: v2, HasV2: true, Trackers: []string{"udp://a:1", "udp://b:2"}}},
		{"other topics beside", "magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C&xt=urn:btih:" + hash1, Magnet{V1: v1, HasV1: true}},
		{"all", "magnet:?dn=a+b%20c&xt=urn:btih:" + hash1 + "&tr=http%3A%2F%2Ft%2Fannounce&tr=udp://t:80&tr=http://t/announce&ws=http://w/&xl=42&xs=https://x/a.torrent",
			Magnet{V1: v1, HasV1: true, Name: "a b c", Length: 42, Trackers: []string{"http://t/announce", "udp://t:80"},
				WebSeeds: []string{"http://w/"}, MetainfoURLs: []string{"https://x/a.torrent"}}},
		{"bad URLs are dropped", "magnet:?xt=urn:btih:" + hash1 + "&tr=nonsense&tr=&ws=ftp://w/&tr=udp://t:80&xl=-1",
			Magnet{V1: v1, HasV1: true, Trackers: []string{"udp://t:80"}}},
		{"peers", "magnet:?xt=urn:btih:" + hash1 + "&x.pe=1.2.3.4:5&x.pe=%5B2001:DB8::1%5D:6881&x.pe=host.example:7070&x.pe=1.2.3.4:05",
			Magnet{V1: v1, HasV1: true, Peers: []string{"1.2.3.4:5", "[2001:db8::1]:6881", "host.example:7070"}}},
		{"BEP 53's example", "magnet:?xt=urn:btih:" + hash1 + "&so=0,2,4,6-8", Magnet{V1: v1, HasV1: true, Files: []FileRange{{0, 0}, {2, 2}, {4, 4}, {6, 8}}}},
		{"ranges merge", "magnet:?xt=urn:btih:" + hash1 + "&so=5-9,3,4,7-20", Magnet{V1: v1, HasV1: true, Files: []FileRange{{3, 20}}}},
	} {
		got, err := ParseMagnet(tt.link)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, *got, tt.want)
		}
	}
}

func TestParseMagnetRefuses(t *testing.T) {
	ok := "magnet:?xt=urn:btih:" + hash1
	for _, tt := range []struct{ name, link, want string }{
		{"no query", "magnet:xt=urn:btih:" + hash1, "begins with"},
		{"other scheme", "http://x/", "begins with"},
		{"no hash", "magnet:?dn=x", "without an info hash"},
		{"only an unknown topic", "magnet:?xt=urn:btpk:00", "only xt=urn:btih:"},
		{"short hash", ok[:len(ok)-1], "39 digits"},
		{"hash not hex", ok[:len(ok)-1] + "g", "neither hex nor base32"},
		{"hash not base32", "magnet:?xt=urn:btih:" + strings.Repeat("1", 32), "neither hex nor base32"},
		{"multihash of another function", "magnet:?xt=urn:btmh:1120" + hash2, "1220"},
		{"multihash cut short", "magnet:?xt=urn:btmh:1220" + hash2[2:], "1220"},
		{"multihash not hex", "magnet:?xt=urn:btmh:1220" + hash2[1:] + "x", "not hex"},
		{"two hashes", ok + "&xt=urn:btih:" + strings.Repeat("0", 40), "two different"},
		{"bad escape", ok + "&dn=%zz", "dn"},
		{"empty selection", ok + "&so=", "so="},
		{"selection backwards", ok + "&so=5-2", "so="},
		{"selection negative", ok + "&so=-2", "so="},
		{"selection huge", ok + "&so=0-99999999999999999999", "so="},
		{"selection with a sign", ok + "&so=+1", "so="},
		{"too many ranges", ok + "&so=" + strings.Repeat("1,", maxFileRanges) + "1", "more than"},
		{"too long", ok + strings.Repeat("&tr=udp://t:80", 10_000), "bytes"},
		{"too many parameters", ok + strings.Repeat("&a", maxMagnetParams), "parameters"},
	} {
		if m, err := ParseMagnet(tt.link); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", tt.name, m, err, tt.want)
		}
	}
}

func TestMagnetIgnoresBadPeers(t *testing.T) {
	for _, tt := range []struct{ peer, want string }{
		{"foo", "HOST:PORT"}, {"1.2.3.4", "HOST:PORT"}, {":80", "HOST:PORT"}, {"a:0", "1…65535"}, {"a:65536", "1…65535"}, {"a/b:80", "host name"},
	} {
		m, err := ParseMagnet("magnet:?xt=urn:btih:" + hash1 + "&x.pe=" + tt.peer + "&x.pe=a.example:7070")
		if err != nil || !slices.Equal(m.Peers, []string{"a.example:7070"}) || len(m.Notices) != 1 || !strings.Contains(m.Notices[0], tt.want) {
			t.Errorf("x.pe=%s: got %+v, %v, want the other peer and a notice with %q", tt.peer, m, err, tt.want)
		}
	}
	m, err := ParseMagnet("magnet:?xt=urn:btih:" + hash1 + strings.Repeat("&x.pe=foo", 100))
	if err != nil || len(m.Notices) != maxNotices {
		t.Errorf("a hundred bad peers: %v, %v", m, err)
	}
}

func TestMagnetWants(t *testing.T) {
	m := &Magnet{Files: []FileRange{{0, 0}, {2, 2}, {6, 8}}}
	for i, want := range []bool{true, false, true, false, false, false, true, true, true, false} {
		if m.Wants(i) != want {
			t.Errorf("Wants(%d) = %v, want %v", i, !want, want)
		}
	}
	if !(&Magnet{}).Wants(7) {
		t.Error("a magnet without so= does not want file 7, want all files")
	}
}

// What is parsed has a hash, keeps the bounds, and is the same after it was written and read again.
func FuzzMagnet(f *testing.F) {
	f.Add("magnet:?xt=urn:btih:" + hash1)
	f.Add("magnet:?xt=urn:btih:" + hash32 + "&dn=a+b%26&so=1,3-5&x.pe=%5B::1%5D:6881&x.pe=a.b:1")
	f.Add("MAGNET:?xt.1=urn:btmh:1220" + hash2 + "&tr=udp://t:80&tr.2=http://t/a?b=c&ws=http://w/&xs=http://x/&xl=7")
	f.Add("magnet:?xs=urn:btpk:" + hash2 + "&s=72656c&dn=app:stable")
	f.Fuzz(func(t *testing.T, link string) {
		m, err := ParseMagnet(link)
		if err != nil {
			return
		}
		if !m.HasV1 && !m.HasV2 && !m.HasItem {
			t.Fatalf("ParseMagnet(%q) = %+v, without a hash", link, m)
		}
		if len(m.Trackers) > maxMagnetURLs || len(m.Peers) > maxMagnetPeers || len(m.Files) > maxFileRanges {
			t.Fatalf("ParseMagnet(%q) exceeds its bounds", link)
		}
		if len(m.Notices) > maxNotices {
			t.Fatalf("%d notices", len(m.Notices))
		}
		m.Notices = nil // what was ignored is not written
		written := m.String()
		if len(written) > maxMagnetBytes { // escapes can make a link three times as long
			return
		}
		again, err := ParseMagnet(written)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("ParseMagnet(%q)\n  = %+v\nwritten as %q\n  = %+v, %v", link, m, written, again, err)
		}
	})
}
