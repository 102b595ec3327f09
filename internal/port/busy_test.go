package port

import (
	"bufio"
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sockets is how many of each kind the ports of the tests have. All tests run twice: on quiet ports, and on busy ones that also have a
// QuickHandler, which answers nothing that they ask.
var sockets int

func TestMain(m *testing.M) {
	if runAsChild() {
		return
	}
	code := m.Run()
	if sockets = 3; code == 0 {
		code = m.Run()
	}
	os.Exit(code)
}

// listenAs listens as this round of the tests does.
func listenAs(ctx context.Context, addr string) (*Port, error) { return listenOn(ctx, addr, sockets) }

// quick answers GET /quick, with a body that says how often it was asked, by whom, and how.
func quick(calls *atomic.Int64) QuickHandler {
	return func(dst, in []byte, from, to netip.AddrPort) ([]byte, int, bool) {
		end := bytes.Index(in, []byte("\r\n\r\n"))
		if !bytes.HasPrefix(in, []byte("GET /quick")) || end < 0 {
			return dst, 0, false
		}
		body := fmt.Sprintf("quick %d %v %v", calls.Add(1), from, to)
		if bytes.HasPrefix(in, []byte("GET /quick/large")) {
			body += strings.Repeat("x", 1<<20)
		}
		keep := !bytes.Contains(in[:end], []byte("close"))
		return fmt.Appendf(dst, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body), end + 4, keep
	}
}

// busy runs a busy port with a QuickHandler.
func busy(t *testing.T, addr string, h Handlers) (*Port, *atomic.Int64) {
	t.Helper()
	was := sockets
	sockets = 3
	defer func() { sockets = was }()
	calls := new(atomic.Int64)
	h.Quick = quick(calls)
	return start(t, addr, h, nil), calls
}

func TestQuickRequestsNeverReachTheServer(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", ":0"} {
		p, calls := busy(t, addr, Handlers{BitTorrent: echo})
		serveHTTP(t, p, func(w nethttp.ResponseWriter, r *nethttp.Request) { fmt.Fprint(w, "slow ", r.URL.Path) })
		at := fmt.Sprintf("127.0.0.1:%d", p.Number())
		for _, c := range []struct {
			name, send string
			pause      int // where the client pauses; 0: nowhere
			want       []string
		}{
			{"one, and close", "GET /quick HTTP/1.1\r\nConnection: close\r\n\r\n", 0, []string{"quick"}},
			{"three on one connection", strings.Repeat("GET /quick HTTP/1.1\r\n\r\n", 3), 0, []string{"quick", "quick", "quick"}},
			{"three with pauses", strings.Repeat("GET /quick HTTP/1.1\r\n\r\n", 3), 23, []string{"quick", "quick", "quick"}},
			{"then one for the server", "GET /quick HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 0, []string{"quick", "slow /x"}},
			{"one for the server", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 0, []string{"slow /x"}},
			{"in two pieces: the server's", "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n", 12, []string{"slow /quick"}},
			{"begun and then silence", "GE", 0, nil},
			{"a large answer", "GET /quick/large HTTP/1.1\r\nConnection: close\r\n\r\n", 0, []string{"quick"}},
			{"a large answer on a connection that is kept", "GET /quick/large HTTP/1.1\r\n\r\nGET /quick HTTP/1.1\r\n\r\n", 0, []string{"quick", "quick"}},
		} {
			t.Run(addr+" "+c.name, func(t *testing.T) {
				nc, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(10 * time.Second))
				var writing sync.WaitGroup
				defer writing.Wait()
				writing.Go(func() {
					rest := c.send
					for c.pause > 0 && len(rest) > c.pause {
						io.WriteString(nc, rest[:c.pause])
						rest = rest[c.pause:]
						time.Sleep(5 * time.Millisecond)
					}
					io.WriteString(nc, rest)
				})
				in := bufio.NewReader(nc)
				for i, want := range c.want {
					resp, err := nethttp.ReadResponse(in, nil)
					if err != nil {
						t.Fatalf("answer %d: %v", i, err)
					}
					body, err := io.ReadAll(resp.Body)
					if err != nil || !strings.HasPrefix(string(body), want) {
						t.Errorf("answer %d: %.80q, %v; want %q", i, body, err, want)
					}
					if want == "quick" && (!strings.Contains(string(body), nc.LocalAddr().String()) || !strings.Contains(string(body), at)) {
						t.Errorf("answer %d: %.80q, want it to name %v and %v", i, body, nc.LocalAddr(), at)
					}
				}
				if strings.Contains(c.send, "close") {
					if b, err := in.ReadByte(); err != io.EOF {
						t.Errorf("after the answer came %q, %v; want the end", b, err)
					}
				}
			})
		}
		if calls.Load() == 0 && runtime.GOOS != "windows" {
			t.Error("nothing was quick")
		}
	}
}

// Who keeps a connection and is silent must not keep Run from ending; start checks that.
func TestRunEndsWithQuickConnectionsOpen(t *testing.T) {
	p, _ := busy(t, "127.0.0.1:0", Handlers{})
	for range 5 {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET /quick HTTP/1.1\r\n\r\n")
		if resp, err := nethttp.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
	}
}

// All sockets of a busy port answer, and all datagrams of a burst are answered.
func TestBurstsOfDatagrams(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", ":0"} {
		p, _ := busy(t, addr, Handlers{Tracker: tagged("tracker")})
		if got := len(p.udp); runtime.GOOS == "linux" && got < 3 {
			t.Errorf("%s: %d sockets for UDP, want 3 of each family", addr, got)
		}
		for range 8 { // each from a port of its own, which decides to which socket the datagrams go
			c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", p.Number()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 20 {
				c.Write(connectRequest)
			}
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			buf := make([]byte, 100)
			for i := range 20 {
				n, err := c.Read(buf)
				if want := "tracker 16 " + c.LocalAddr().String(); err != nil || string(buf[:n]) != want {
					t.Fatalf("%s: answer %d: %q, %v; want %q", addr, i, buf[:n], err, want)
				}
			}
		}
	}
}

func TestTLS(t *testing.T) {
	p := start(t, "127.0.0.1:0", Handlers{TLS: true}, nil)
	s := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { fmt.Fprint(w, r.TLS != nil) }))
	s.StartTLS() // for its certificate
	defer s.Close()
	tlsServer := &nethttp.Server{Handler: s.Config.Handler}
	done := make(chan error, 1)
	go func() { done <- tlsServer.Serve(cryptotls.NewListener(p.TLS(), s.TLS)) }()
	defer func() { tlsServer.Close(); <-done }()
	serveHTTP(t, p, func(w nethttp.ResponseWriter, r *nethttp.Request) { fmt.Fprint(w, r.TLS != nil) })
	client := s.Client()
	defer client.CloseIdleConnections()
	for scheme, want := range map[string]string{"https": "true", "http": "false"} {
		resp, err := client.Get(fmt.Sprintf("%s://%s/", scheme, p.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %s", scheme, got, err, want)
		}
	}
}

// The port of a busy node is its own, although its sockets share it.
func TestBusyPortIsExclusive(t *testing.T) {
	p, err := listenOn(t.Context(), "127.0.0.1:0", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for name, n := range map[string]int{"busy": 3, "quiet": 0} {
		other, err := listenOn(t.Context(), p.Addr().String(), n)
		if err == nil {
			other.Close()
			t.Errorf("a %s port has the same number", name)
		} else if !inUse(err) {
			t.Errorf("a %s port: %v, want that it is in use", name, err)
		}
	}
}
