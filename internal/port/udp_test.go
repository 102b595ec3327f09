package port

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func tagged(tag string) UDPHandler {
	return func(dst, pkt []byte, from netip.AddrPort) []byte {
		return fmt.Appendf(dst, "%s %d %v", tag, len(pkt), from)
	}
}

// later is a handler that answers from a goroutine of its own.
func later(tag string) LaterHandler {
	return func(pkt []byte, from netip.AddrPort, reply func([]byte)) {
		answer := tagged(tag)(nil, pkt, from)
		go reply(answer)
	}
}

// connectRequest is BEP 15's: protocol id, action 0, a transaction id.
var connectRequest = []byte{0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4}

// synPacket is what libutp sends: ST_SYN, version 1, a selective-ack-less header.
var synPacket = []byte{0x41, 0, 0xbe, 0xef, 1, 2, 3, 4, 0, 0, 0, 0, 0, 16, 0, 0, 0x12, 0x34, 0, 0}

func TestDatagramsGoWhereTheyBelong(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{Tracker: tagged("tracker"), DHT: later("dht")}, nil)
	c, err := net.Dial("udp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	me := c.LocalAddr().String()
	for _, d := range []struct {
		name string
		send []byte
		want string // "" is silence
	}{
		{"tracker connect", connectRequest, "tracker 16 " + me},
		{"tracker announce", append([]byte{0, 9, 9, 9}, make([]byte, 94)...), "tracker 98 " + me},
		{"DHT query", []byte("d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:qe"), "dht 56 " + me},
		{"uTP data", append([]byte{0x01}, make([]byte, 19)...), ""},
		{"short SYN", synPacket[:19], ""},
		{"SYN of version 0", append([]byte{0x40}, make([]byte, 19)...), ""},
		{"QUIC", append([]byte{0xc3}, make([]byte, 1200)...), ""},
		{"empty", nil, ""},
		{"huge", make([]byte, 9000), "tracker 4096 " + me},
	} {
		if got, ok := ask(t, c, d.send, d.want != ""); string(got) != d.want || ok != (d.want != "") {
			t.Errorf("%s: got %q, want %q", d.name, got, d.want)
		}
	}
}

// Transmission and libtorrent try uTP first and wait for an answer: it must be one that libutp takes for its own.
func TestUTPSynIsReset(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{}, nil)
	c, err := net.Dial("udp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, _ := ask(t, c, append(synPacket, "extension"...), true)
	if len(r) != 20 || r[0] != 0x31 || r[1] != 0 {
		t.Fatalf("answer % x, want an ST_RESET of version 1 without extensions", r)
	}
	if id, ack := binary.BigEndian.Uint16(r[2:]), binary.BigEndian.Uint16(r[18:]); id != 0xbeef || ack != 0x1234 {
		t.Errorf("connection id %#x, ack_nr %#x; want 0xbeef, 0x1234", id, ack)
	}
	if _, ok := ask(t, c, r, false); ok {
		t.Error("a reset was answered: two ports could do that for ever")
	}
	if _, ok := ask(t, c, connectRequest, false); ok {
		t.Error("a tracker request was answered without a tracker")
	}
}

// A connected socket only hears the address it asked: on 127.0.0.2 the system alone would answer from 127.0.0.1.
func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	p := start(t, ":0", Handlers{Tracker: tagged("tracker"), DHT: later("dht")}, nil)
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"} {
		c, err := net.ListenPacket("udp", net.JoinHostPort(map[bool]string{true: "::1", false: "127.0.0.1"}[strings.Contains(host, ":")], "0"))
		if err != nil {
			t.Logf("%s: %v", host, err)
			continue
		}
		defer c.Close()
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), uint16(p.Number())))
		for _, ask := range []struct {
			send []byte
			want string
		}{{connectRequest, "tracker 16 "}, {[]byte("d1:y1:qe"), "dht 8 "}} {
			if _, err := c.WriteTo(ask.send, to); err != nil {
				t.Logf("%s: %v (not an address of this system?)", host, err)
				continue
			}
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			b := make([]byte, 100)
			n, from, err := c.ReadFrom(b)
			if err != nil || from.String() != to.String() {
				t.Errorf("asked %v, answered from %v, %v", to, from, err)
			}
			if want := ask.want + c.LocalAddr().String(); string(b[:n]) != want {
				t.Errorf("asked %v: the handler saw %q, want %q (never an IPv4 address mapped to IPv6)", to, b[:n], want)
			}
		}
	}
}

// What the port sends by itself leaves from its number, over the family of the address.
func TestWriteTo(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{}, nil)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := p.WriteTo([]byte("hello"), to); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 100)
	if n, from, err := c.ReadFrom(b); err != nil || string(b[:n]) != "hello" || from.String() != p.Addr().String() {
		t.Errorf("%q from %v, %v; want it from %v", b[:n], from, err, p.Addr())
	}
	six := netip.MustParseAddrPort("[::1]:1")
	if err := p.WriteTo([]byte("hello"), six); err == nil || p.Reaches(six.Addr()) || !p.Reaches(to.Addr()) {
		t.Errorf("writing to IPv6 from a port of IPv4: %v", err)
	}
}

// FuzzAnswer: each datagram goes to one place at most, resets are only for SYNs, and no answer of ours is longer than its question.
func FuzzAnswer(f *testing.F) {
	f.Add(connectRequest)
	f.Add(synPacket)
	f.Add([]byte("d1:y1:qe"))
	f.Add([]byte{0x41})
	f.Fuzz(func(t *testing.T, pkt []byte) {
		var calls string
		mark := func(s string) UDPHandler {
			return func(dst, b []byte, _ netip.AddrPort) []byte {
				if calls += s; !bytes.Equal(b, pkt) {
					t.Fatal("the handler got another datagram")
				}
				return dst
			}
		}
		h := Handlers{Tracker: mark("t")}
		r := h.answer(nil, pkt, netip.AddrPort{})
		want := ""
		if len(pkt) > 0 {
			want = map[byte]string{0: "t"}[pkt[0]]
		}
		if calls != want {
			t.Fatalf("%q went to %q, want %q", pkt, calls, want)
		}
		isReset := len(r) == 20 && r[0] == 0x31
		if syn := len(pkt) >= 20 && pkt[0] == 0x41; syn != isReset || len(r) > len(pkt) || !syn && len(r) > 0 {
			t.Fatalf("%q answered with % x", pkt, r)
		}
		if s := (&Handlers{}).answer(nil, pkt, netip.AddrPort{}); !bytes.Equal(s, r) {
			t.Fatalf("without handlers %q is answered with % x", pkt, s)
		}
	})
}

// ask sends a datagram and waits for the answer; when none is expected it makes sure by a question behind it that has one.
func ask(t *testing.T, c net.Conn, b []byte, answered bool) (reply []byte, ok bool) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	marker := append([]byte{0x41, 0, 0xff, 0xff}, make([]byte, 16)...)
	if !answered {
		c.Write(marker)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	r := make([]byte, maxDatagram)
	n, err := c.Read(r)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no answer to % x", b)
		}
		return nil, false
	}
	if !answered && n == 20 && bytes.Equal(r[:4], []byte{0x31, 0, 0xff, 0xff}) {
		return nil, false
	}
	return r[:n], true
}

func BenchmarkUDP(b *testing.B) {
	p, err := Listen(b.Context(), ":0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() {
		done <- p.Run(ctx, Handlers{Tracker: func(dst, pkt []byte, _ netip.AddrPort) []byte { return append(dst, pkt...) }})
	}()
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", p.Number()))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(connectRequest)
		c.Read(buf)
	}
	c.Close()
	cancel()
	<-done
}
