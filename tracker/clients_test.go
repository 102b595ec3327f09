package tracker

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What real clients sent, recorded by testdata/clients/record.py: each asks for site=berlin in its announce URL, and has 100,000 bytes to fetch.
// It is read as it was meant, over HTTP on the quick way, and over UDP with the URL's query where the client sends that (BEP 41).
func TestRealClients(t *testing.T) {
	hash := [20]byte([]byte("\xf5\x9b\xe1\x60\xe6\x98\x32\xca\xf4\x9c\xbc\x9e\x3b\xd9\xbf\xb1\x89\xff\x83r"))
	berlin := siteOf([]byte("berlin"))
	for _, c := range []struct {
		client, id string
		httpPort   uint16
		udpPort    uint16
		httpWant   int
		udpWant    int
		keep       bool
		udpSite    uint32
	}{
		{"aria2", "A2-1-36-0-", 6985, 6991, 50, 50, true, 0},
		{"libtorrent", "-LT2080-", 36153, 0, 200, 200, false, berlin},
		{"qbittorrent", "-qB4520-", 16881, 16881, 200, 200, false, berlin},
		{"transmission", "-TR3000-", 51413, 51413, 80, 80, true, 0},
	} {
		in := read(t, c.client+".http")
		head, ok := parseHead(in)
		if !ok || head.end != len(in) || head.keep != c.keep {
			t.Errorf("%s: the head is %+v of %d bytes, %v; want it whole, and the connection kept: %v", c.client, head, len(in), ok, c.keep)
			continue
		}
		path, query, _ := strings.Cut(string(in[4:head.target]), "?")
		var r request
		dictionary, _, err := parseAnnounce(query, &r)
		want := request{hash: hash, id: r.id, port: c.httpPort, left: true, event: eventStarted, want: c.httpWant, site: berlin, families: true, idle: true}
		if path != "/announce" || err != nil || dictionary || r != want || !bytes.HasPrefix(r.id[:], []byte(c.id)) {
			t.Errorf("%s over HTTP: %s, %+v (id %q), %v\nwant %+v", c.client, path, r, r.id, err, want)
		}

		r = request{}
		if ok := parseAnnounceUDP(read(t, c.client+".udp"), &r); !ok || !bytes.HasPrefix(r.id[:], []byte(c.id)) {
			t.Errorf("%s over UDP: %+v, %v", c.client, r, ok)
		}
		if c.udpPort == 0 {
			c.udpPort = r.port // libtorrent chose it by chance
		}
		want = request{hash: hash, id: r.id, port: c.udpPort, left: true, event: eventStarted, want: c.udpWant, site: c.udpSite, idle: true}
		if r.tokenLen = 0; r != want {
			t.Errorf("%s over UDP: %+v\nwant %+v", c.client, r, want)
		}
	}
}

// They get an answer that tells them of each other, over both doors.
func TestRealClientsAreToldOfEachOther(t *testing.T) {
	clients := []string{"aria2", "libtorrent", "qbittorrent", "transmission"}
	for _, door := range []string{"http", "udp"} {
		s := New(Config{})
		var out []byte
		for n, client := range clients {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 5000)
			in := read(t, client+"."+door)
			if door == "udp" {
				copy(in, connect(t, s, from))
				out = s.HandleUDP(nil, in, from)
				if len(out) != 20+6*n {
					t.Errorf("%s: %d bytes of answer over UDP, want %d peers", client, len(out), n)
				}
				continue
			}
			var used int
			out, used, _ = s.HandleHTTP(nil, in, from, netip.AddrPort{})
			_, body, _ := bytes.Cut(out, []byte("\r\n\r\n"))
			if used != len(in) || len(unbencode(t, body)["peers"].(string)) != 6*n {
				t.Errorf("%s: used %d of %d bytes, answered %q; want %d peers", client, used, len(in), body, n)
			}
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "clients", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
