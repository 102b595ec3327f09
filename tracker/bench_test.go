package tracker

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"testing"
	"time"
)

const crowd1M = 1_000_000

// crowded returns a tracker with 10,000 swarms of 100 peers each, and the addresses of the peers.
func crowded(b *testing.B) (*Server, func(peer int) netip.AddrPort) {
	allowed := make(map[[20]byte]bool)
	for n := range 10_000 {
		allowed[hashNumber(n)] = true
	}
	s := New(Config{Allow: func(h [20]byte) bool { return allowed[h] }, AllowVersion: func() uint32 { return 1 }})
	from := func(peer int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(peer >> 16), byte(peer >> 8), byte(peer)}), 5000)
	}
	for peer := range crowd1M {
		r := request{hash: hashNumber(peer % 10_000), from: from(peer).Addr(), port: 6881, left: peer/10_000%3 != 0, want: 0}
		binary.BigEndian.PutUint32(r.id[:], uint32(peer))
		if err := s.announce(doorUDP, &r, &answer{}, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	return s, from
}

func BenchmarkUDP(b *testing.B) {
	s, from := crowded(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		pkt, out := announcePkt(make([]byte, 8), [20]byte{}, 0, 0, 6881, 1, ""), make([]byte, 0, 2048)
		for pb.Next() {
			peer := rand.IntN(crowd1M)
			at := from(peer)
			id := s.connIDAt(at.Addr(), tickAt(time.Now())) // dearer than reality, where an id serves several announces
			hash := hashNumber(peer % 10_000)
			copy(pkt, id[:])
			copy(pkt[16:], hash[:])
			binary.BigEndian.PutUint32(pkt[36:], uint32(peer))
			if out = s.HandleUDP(out[:0], pkt, at); len(out) < 20 {
				b.Fatalf("answer %q", out)
			}
		}
	})
}

// nowhere is a ResponseWriter that keeps nothing.
type nowhere struct{ h http.Header }

func (w *nowhere) Header() http.Header         { return w.h }
func (w *nowhere) WriteHeader(int)             {}
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkHTTP(b *testing.B) {
	s, from := crowded(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := &nowhere{make(http.Header)}
		peer := rand.IntN(crowd1M)
		hash := hashNumber(peer % 10_000)
		r := &http.Request{Method: "GET", RemoteAddr: from(peer).String(), URL: &url.URL{Path: "/announce",
			RawQuery: fmt.Sprintf("info_hash=%s&peer_id=-XX0000-%012d&port=6881&uploaded=0&downloaded=0&left=1&compact=1&numwant=50", url.QueryEscape(string(hash[:])), peer)}}
		for pb.Next() {
			s.ServeHTTP(w, r)
		}
	})
}

// BenchmarkMemory reports what a peer costs once it is listed, with 10,000 swarms of 100.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := New(Config{})
		for peer := range 1_000_000 {
			r := request{hash: hashNumber(peer % 10_000), from: netip.AddrFrom4([4]byte{10, byte(peer >> 16), byte(peer >> 8), byte(peer)}), port: 6881, left: peer/10_000%3 != 0, want: 0}
			s.announce(doorUDP, &r, &answer{}, time.Now())
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "bytes/peer")
		runtime.KeepAlive(s)
	}
}
