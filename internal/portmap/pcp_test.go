package portmap

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// router is a fake of one, on loopback: it grants what is asked for, under another number if taken
// says so, and speaks NAT-PMP only if it is old.
type router struct {
	conn  *net.UDPConn
	old   bool
	taken uint16 // this number is somebody else's outside

	mu       sync.Mutex
	mappings map[[2]uint16]uint16 // protocol and internal port → external
	grants   int
	noise    bool // it answers wrongly first
}

var outside = netip.MustParseAddr("203.0.113.9")

func newRouter(t *testing.T) *router {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &router{conn: c, mappings: make(map[[2]uint16]uint16)}
	done := make(chan struct{})
	go func() { defer close(done); r.serve() }()
	t.Cleanup(func() { c.Close(); <-done })
	return r
}

// serve answers until the socket is closed.
func (r *router) serve() {
	b := make([]byte, 2000)
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.noise {
			for _, x := range [][]byte{{}, {2}, {2, 0x81, 0, 0}, make([]byte, 3), bytes.Repeat([]byte{2, 0x81, 0, 0}, 15)} {
				r.conn.WriteToUDPAddrPort(x, from)
			}
		}
		r.conn.WriteToUDPAddrPort(r.answer(b[:n], from.Addr()), from)
		r.mu.Unlock()
	}
}

func (r *router) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// grant maps, or unmaps, and returns the number outside.
func (r *router) grant(protocol, internal, external uint16, seconds uint32) uint16 {
	key := [2]uint16{protocol, internal}
	if seconds == 0 {
		delete(r.mappings, key)
		return 0
	}
	r.grants++
	if external == r.taken {
		external++
	}
	r.mappings[key] = external
	return external
}

func (r *router) answer(q []byte, from netip.Addr) []byte {
	switch {
	case len(q) == pcpLen && q[0] == 2 && !r.old:
		if client := netip.AddrFrom16([16]byte(q[8:24])).Unmap(); client != from.Unmap() {
			return []byte{2, 0x81, 0, 12} // ADDRESS_MISMATCH
		}
		seconds := binary.BigEndian.Uint32(q[4:])
		port := r.grant(uint16(q[36]), binary.BigEndian.Uint16(q[40:]), binary.BigEndian.Uint16(q[42:]), seconds)
		a := []byte{2, 0x81, 0, 0}
		a = binary.BigEndian.AppendUint32(a, seconds)
		a = append(a, make([]byte, 16)...)
		a = append(a, q[24:42]...)
		a = binary.BigEndian.AppendUint16(a, port)
		return appendAddr16(a, outside)
	case len(q) > 0 && q[0] != 0:
		return []byte{0, 0x81, 0, 1, 0, 0, 0, 0} // unsupported version
	case len(q) == 2:
		return append([]byte{0, 0x80, 0, 0, 0, 0, 0, 0}, outside.AsSlice()...)
	case len(q) == 12:
		protocol := map[byte]uint16{1: udp, 2: tcp}[q[1]]
		seconds := binary.BigEndian.Uint32(q[8:])
		port := r.grant(protocol, binary.BigEndian.Uint16(q[4:]), binary.BigEndian.Uint16(q[6:]), seconds)
		a := append([]byte{0, q[1] | 0x80, 0, 0, 0, 0, 0, 0}, q[4:6]...)
		a = binary.BigEndian.AppendUint16(a, port)
		return binary.BigEndian.AppendUint32(a, seconds)
	}
	return nil
}

func (r *router) mapped(protocol, internal uint16) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mappings[[2]uint16{protocol, internal}]
}

// A port is mapped for both protocols, under the number that the router gives, and given back.
func TestPortIsMappedAndGivenBack(t *testing.T) {
	for _, c := range []struct {
		name       string
		old, noise bool
		taken      uint16
		want       string
	}{
		{"PCP", false, false, 0, "203.0.113.9:7070"},
		{"PCP, another number", false, false, 7070, "203.0.113.9:7071"},
		{"PCP, with noise", false, true, 0, "203.0.113.9:7070"},
		{"NAT-PMP", true, false, 0, "203.0.113.9:7070"},
		{"NAT-PMP, another number", true, false, 7070, "203.0.113.9:7071"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t)
			r.mu.Lock()
			r.old, r.noise, r.taken = c.old, c.noise, c.taken
			r.mu.Unlock()
			ctx, cancel := context.WithCancel(t.Context())
			mapped, done := make(chan netip.AddrPort, 10), make(chan struct{})
			go func() {
				defer close(done)
				Run(ctx, Config{Port: 7070, Mapped: func(a netip.AddrPort) { mapped <- a }, server: r.addr(), noUPnP: true, retries: []time.Duration{time.Second}})
			}()
			select {
			case got := <-mapped:
				if got.String() != c.want {
					t.Errorf("mapped to %v, want %s", got, c.want)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("nothing is mapped")
			}
			if a, b := r.mapped(tcp, 7070), r.mapped(udp, 7070); a == 0 || a != b {
				t.Errorf("TCP is mapped to %d, UDP to %d", a, b)
			}
			cancel()
			<-done
			if a, b := r.mapped(tcp, 7070), r.mapped(udp, 7070); a != 0 || b != 0 {
				t.Errorf("after the end TCP is mapped to %d, UDP to %d", a, b)
			}
		})
	}
}

// Where no router is at first, one that comes later is found.
func TestRouterThatComesLater(t *testing.T) {
	r := newRouter(t)
	at := r.addr()
	r.conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mapped, done := make(chan netip.AddrPort, 10), make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Config{Port: 7070, Mapped: func(a netip.AddrPort) { mapped <- a }, server: at, noUPnP: true, retries: []time.Duration{time.Millisecond}})
	}()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Skipf("somebody else took the port: %v", err)
	}
	defer c.Close()
	late := &router{conn: c, mappings: make(map[[2]uint16]uint16)}
	go late.serve()
	select {
	case <-mapped:
	case <-time.After(20 * time.Second):
		t.Error("the router that came later was not found")
	}
	cancel()
	<-done
}

// FuzzAnswers: only answers to what was asked are taken, with a lifetime that makes sense.
func FuzzAnswers(f *testing.F) {
	r := &router{mappings: make(map[[2]uint16]uint16)}
	q := request{Protocol: tcp, Internal: 7070, External: 7070, Client: netip.MustParseAddr("127.0.0.1"), Nonce: [12]byte{1, 2}, Lifetime: time.Hour}
	f.Add(r.answer(appendPCP(nil, q), q.Client))
	f.Add(r.answer(appendNATPMP(nil, q), q.Client))
	f.Add(r.answer(natAddress[:], q.Client))
	f.Add([]byte{0, 0x81, 0, 1, 0, 0, 0, 0})
	f.Add([]byte{2, 0x81, 0, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parsePCP(b, q); err == nil && (len(b) < pcpLen || !bytes.Contains(b, q.Nonce[:]) || a.Lifetime < time.Minute || a.Lifetime > 24*time.Hour) {
			t.Fatalf("% x was read as %+v", b, a)
		}
		if a, err := parseNATPMP(b, q); err == nil && (len(b) < 16 || b[1] != 0x82 || a.Lifetime < time.Minute || a.Lifetime > 24*time.Hour) {
			t.Fatalf("% x was read as %+v", b, a)
		}
		if a, err := parseNATAddress(b); err == nil && !a.Is4() {
			t.Fatalf("% x was read as %v", b, a)
		}
	})
}
