package port

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// start runs a port on addr until the test ends, and checks that Run ends with it.
func start(t *testing.T, addr string, h Handlers, change func(*Port)) *Port {
	t.Helper()
	if sockets > 0 && h.Quick == nil {
		h.Quick = quick(new(atomic.Int64))
	}
	p, err := listenAs(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v, want nil after a stop that was asked for", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	})
	return p
}

func serveHTTP(t *testing.T, p *Port, h nethttp.HandlerFunc) {
	t.Helper()
	s := &nethttp.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- s.Serve(p.HTTP()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, nethttp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v", err)
		}
	})
}

// echo answers like a peer would that says back what it hears.
func echo(_ context.Context, c net.Conn) { io.Copy(c, c) }

func TestOnePortServesHTTPAndBitTorrent(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{BitTorrent: echo}, nil)
	serveHTTP(t, p, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d %v", r.Method, r.URL.Path, len(b), err)
	})
	client := &nethttp.Client{Transport: &nethttp.Transport{}}
	defer client.CloseIdleConnections()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} { // one kept-alive connection
		req, _ := nethttp.NewRequest(method, fmt.Sprintf("http://%s/some/path", p.Addr()), strings.NewReader(strings.Repeat("x", 100_000)))
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := method + " /some/path 100000 <nil>"; string(got) != want {
			t.Errorf("%s: got %q, want %q", method, got, want)
		}
	}

	const handshake = "\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"
	for _, step := range []int{len(handshake), 7, 1} { // segments may be short
		c := dial(t, p)
		go func() {
			for i := 0; i < len(handshake); i += step {
				io.WriteString(c, handshake[i:min(i+step, len(handshake))])
				if step < 20 {
					time.Sleep(time.Millisecond)
				}
			}
			io.WriteString(c, strings.Repeat("and more", 10_000))
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if want := handshake + strings.Repeat("and more", 10_000); err != nil || string(got) != want {
			t.Errorf("in steps of %d: %d bytes came back, want %d; %v", step, len(got), len(want), err)
		}
	}
}

// A read after another must continue where it stopped, whatever the sizes; this is Read, where the echo above is WriteTo.
func TestReplayedBytesAreReadInOrder(t *testing.T) {
	got := make(chan string, 1)
	p := start(t, "127.0.0.1:0", Handlers{BitTorrent: func(_ context.Context, c net.Conn) {
		var b []byte
		one := make([]byte, 3)
		for {
			n, err := c.Read(one)
			if b = append(b, one[:n]...); err != nil {
				got <- string(b)
				return
			}
		}
	}}, nil)
	c := dial(t, p)
	io.WriteString(c, "\x13BitTorrent protocol, and then some")
	c.CloseWrite()
	if s := <-got; s != "\x13BitTorrent protocol, and then some" {
		t.Errorf("read %q", s)
	}
}

func TestStrangersAreClosedAtOnce(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{}, nil) // its limit is 5 s
	for _, c := range []struct{ name, send string }{
		{"encrypted", "\x8f\x11\x02\xc0 random bytes of a key"},
		{"encrypted, begins like a handshake", "\x13\xaa\x01"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00"},
		{"BitTorrent, but nobody serves it", "\x13BitTorrent protocol"},
		{"SSH", "SSH-2.0-OpenSSH_9\r\n"},
	} {
		conn := dial(t, p)
		began := time.Now()
		io.WriteString(conn, c.send)
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 2*time.Second {
			t.Errorf("%s: %v after %v, want closed at once", c.name, err, time.Since(began))
		}
	}
}

func TestSilentStrangersAreClosedInTime(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{BitTorrent: echo}, func(p *Port) { p.decideTime = 50 * time.Millisecond })
	for _, send := range []string{"", "\x13BitTorr", "GE"} {
		c := dial(t, p)
		io.WriteString(c, send)
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: %v, want closed", send, err)
		}
	}
	// The limit is for deciding only.
	c := dial(t, p)
	io.WriteString(c, "\x13BitTorrent protocol")
	time.Sleep(100 * time.Millisecond)
	io.WriteString(c, "late")
	got := make([]byte, 24)
	if _, err := io.ReadFull(c, got); err != nil || string(got[20:]) != "late" {
		t.Errorf("a decided connection that was silent for a while: got %q, %v", got, err)
	}
}

func TestUndecidedConnectionsAreCapped(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{BitTorrent: echo}, func(p *Port) { p.waiting = newWaiting(3) })
	var silent []*net.TCPConn
	for range 3 {
		silent = append(silent, dial(t, p))
		for n := len(silent); ; time.Sleep(time.Millisecond) { // accepted in this order
			p.waiting.mu.Lock()
			got := p.waiting.many
			p.waiting.mu.Unlock()
			if got == n {
				break
			}
		}
	}
	c := dial(t, p)
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest undecided connection: %v, want closed", err)
	}
	io.WriteString(c, "\x13BitTorrent protocol")
	got := make([]byte, 20)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Errorf("the connection that decided: %v, want served", err)
	}
}

// Handlers that never look at their context must not keep Run from ending.
func TestRunEndsWithAllConnections(t *testing.T) {
	p, err := listenAs(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan struct{})
	run := make(chan error, 1)
	go func() {
		run <- p.Run(ctx, Handlers{BitTorrent: func(_ context.Context, c net.Conn) {
			close(begun)
			io.Copy(io.Discard, c)
			close(ended)
		}})
	}()
	c := dial(t, p)
	io.WriteString(c, "\x13BitTorrent protocol")
	<-begun
	dial(t, p)                                 // undecided
	io.WriteString(dial(t, p), "GET / HTTP/1") // nobody accepts it
	cancel()
	select {
	case err := <-run:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("Run does not end")
	}
	select {
	case <-ended:
	default:
		t.Error("Run ended before a connection's handler did")
	}
	if _, err := p.HTTP().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Run = %v, want net.ErrClosed", err)
	}
	again, err := listenAs(t.Context(), p.Addr().String())
	if err != nil {
		t.Errorf("the number is still taken after Run: %v", err)
	} else {
		again.Close()
	}
}

func TestListenTakesOneNumberForBoth(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0", "0.0.0.0:0", "[::]:0", "localhost:0"} {
		p, err := listenAs(t.Context(), addr)
		if err != nil {
			if strings.Contains(addr, "::") {
				t.Logf("%s: %v (no IPv6?)", addr, err)
				continue
			}
			t.Errorf("Listen(%q): %v", addr, err)
			continue
		}
		for _, s := range p.udp {
			if got := s.LocalAddr().(*net.UDPAddr).Port; got != p.Number() || got == 0 {
				t.Errorf("%s: UDP port %d, TCP port %d", addr, got, p.Number())
			}
		}
		p.Close()
	}
}

func TestPortInUseIsRecognised(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for what, addr := range map[string]string{
		"over TCP":                tcp.Addr().String(),
		"over UDP":                udp.LocalAddr().String(),
		"over UDP, all of IPv4":   fmt.Sprintf("0.0.0.0:%d", udp.LocalAddr().(*net.UDPAddr).Port),
		"over UDP, all addresses": fmt.Sprintf(":%d", udp.LocalAddr().(*net.UDPAddr).Port),
		"over TCP, all addresses": fmt.Sprintf(":%d", tcp.Addr().(*net.TCPAddr).Port),
	} {
		p, err := listenAs(t.Context(), addr)
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("taken %s: Listen = %v, want EADDRINUSE", what, err)
		}
		if p != nil {
			p.Close()
		}
	}
	for _, addr := range []string{"nonsense", "127.0.0.1:99999", "192.0.2.1:0"} {
		if p, err := listenAs(t.Context(), addr); err == nil || errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Listen(%q) = %v, %v; want another error", addr, p, err)
		}
	}
}

func dial(t *testing.T, p *Port) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

// Both ways of reading give the head once, mixed in any way.
func TestConnWriteToAfterRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	io.WriteString(out, " tail")
	out.Close()
	c := replaying(in.(*net.TCPConn), []byte("head"))
	c.Read(make([]byte, 1))
	var rest bytes.Buffer
	if n, err := bufio.NewReader(c).WriteTo(&rest); rest.String() != "ead tail" || n != 8 || err != nil {
		t.Errorf("WriteTo gave %q, %d, %v; want %q", rest.String(), n, err, "ead tail")
	}
}

// Without strace this must do: what net/http writes to is an io.ReaderFrom, and reading is all that we changed.
func TestHTTPWritesToAReaderFrom(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{}, nil)
	got := make(chan string, 1)
	serveHTTP(t, p, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		c, _, err := nethttp.NewResponseController(w).Hijack()
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		_, readerFrom := c.(io.ReaderFrom)
		_, raw := c.(syscall.Conn)
		got <- fmt.Sprintf("%T %v %v", c, readerFrom, raw)
	})
	io.WriteString(dial(t, p), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if s, want := <-got, "*port.conn true true"; s != want {
		t.Errorf("connection, io.ReaderFrom, syscall.Conn: %s, want %s", s, want)
	}
}
