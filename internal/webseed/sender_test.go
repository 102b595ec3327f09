package webseed

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type countingLimit struct {
	mu    sync.Mutex
	asked []int
}

func (l *countingLimit) Rate() int64 { return 1 << 30 }

func (l *countingLimit) WaitN(_ context.Context, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, n)
	return nil
}

func TestLimitIsAskedForEachSlice(t *testing.T) {
	const size = 1<<20 + 5
	limit := &countingLimit{}
	_, base, _, _ := serveTree(t, size, func(h *Handler, _ *Content) { h.Limit = func(*http.Request) Limiter { return limit } })
	if _, got, err := get(t, "GET", base+"/file.bin"); err != nil || !bytes.Equal(got, random(size)) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	sum := 0
	for _, n := range limit.asked {
		if sum += n; n > 64<<10 {
			t.Errorf("the limit was asked for %d bytes at once", n)
		}
	}
	if sum != size {
		t.Errorf("the limit was asked for %d bytes, want %d", sum, size)
	}
}

func TestAReaderThatTakesNothingIsLetGo(t *testing.T) {
	const size = 64 << 20
	h, _, _, _ := serveTree(t, size, func(h *Handler, _ *Content) { h.sendTime = 50 * time.Millisecond })
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(64 << 10)
	io.WriteString(c, "GET /file.bin HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
		if n := h.Sent(keyFile); n >= size || n == 0 {
			t.Errorf("%d bytes were sent to a reader that reads nothing", n)
		}
	case <-time.After(5 * time.Second):
		t.Error("the request goes on with a reader that reads nothing")
	}
}

// A reader that is slow, but takes something, gets all of it, however long a slice takes, and whether the kernel says what it takes or not.
func TestASlowReaderGetsAll(t *testing.T) {
	const size = 9 << 20
	for name, prepare := range map[string]func(context.Context, net.Conn) context.Context{
		"told by the kernel": ConnContext,
		"told by what can be written": func(ctx context.Context, c net.Conn) context.Context {
			c.(*net.TCPConn).SetWriteBuffer(32 << 10) // so that progress is seen when it is made
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS != "linux" && name == "told by the kernel" {
				t.Skip("the kernel does not say")
			}
			t.Parallel()
			h, _, _, _ := serveTree(t, size, func(h *Handler, _ *Content) { h.sendTime = 3 * time.Second })
			s := httptest.NewUnstartedServer(h)
			s.Config.ConnContext = prepare
			s.Start()
			defer s.Close()
			c, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.(*net.TCPConn).SetReadBuffer(32 << 10)
			io.WriteString(c, "GET /file.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			var got bytes.Buffer
			for begin := time.Now(); err == nil; {
				if time.Since(begin) < 7*time.Second { // a slice takes longer than sendTime
					time.Sleep(80 * time.Millisecond)
				}
				_, err = io.CopyN(&got, c, 64<<10)
			}
			if !bytes.HasSuffix(got.Bytes(), random(size)) || h.Sent(keyFile) != size {
				t.Errorf("%d bytes came, %d were sent, want %d", got.Len(), h.Sent(keyFile), size)
			}
		})
	}
}

func TestResponsesAreBounded(t *testing.T) {
	const size = 64 << 20
	h, base, _, _ := serveTree(t, size, func(h *Handler, _ *Content) { h.Responses = 2 })
	ask := func() *http.Response {
		resp, err := http.Get(base + "/file.bin")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	first, second := ask(), ask()
	if first.StatusCode != 200 || second.StatusCode != 200 {
		t.Fatalf("got %s, %s", first.Status, second.Status)
	}
	if r := ask(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("the third of two: %s, Retry-After %q", r.Status, r.Header.Get("Retry-After"))
	}
	first.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); h.sending.now() > 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a response whose client is gone still counts")
		}
	}
	if r := ask(); r.StatusCode != 200 {
		t.Errorf("after one has ended: %s", r.Status)
	}
}

// countingConn sees what net/http gives to the connection: an *os.File, or bytes.
type countingConn struct {
	*net.TCPConn
	fromFile, written *atomic.Int64
}

func (c countingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if l, ok := r.(*io.LimitedReader); ok {
		if _, ok := l.R.(*os.File); ok {
			c.fromFile.Add(n)
		}
	}
	return n, err
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

type countingListener struct {
	net.Listener
	fromFile, written atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c.(*net.TCPConn), &l.fromFile, &l.written}, nil
}

// net.TCPConn uses sendfile for an *os.File or an io.LimitedReader of one, and for nothing else: it must arrive there, limit or not.
func TestFilesReachTheConnectionAsFiles(t *testing.T) {
	const size = 5 << 20
	for _, limit := range []Limiter{nil, &countingLimit{}} {
		h, _, _, _ := serveTree(t, size, func(h *Handler, _ *Content) { h.Limit = func(*http.Request) Limiter { return limit } })
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		counting := &countingListener{Listener: l}
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		s.Listener = counting
		s.Start()
		_, got, err := get(t, "GET", s.URL+"/file.bin", "Range", "bytes=1-")
		s.Close()
		if err != nil || !bytes.Equal(got, random(size)[1:]) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if file, written := counting.fromFile.Load(), counting.written.Load(); file < size-1024 || written > 2048 {
			t.Errorf("limit %v: %d bytes came as a file and %d as bytes, want nearly all of %d as a file", limit, file, written, size)
		}
	}
}

func BenchmarkServe(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		b.Fatal(err)
	}
	var h Handler
	if err := h.Add(Content{Key: keyFile, Name: "f", Path: path, Plain: true, Files: []File{{Length: size}}}); err != nil {
		b.Fatal(err)
	}
	for _, way := range []struct {
		name    string
		handler http.Handler
	}{
		{"webseed", &h},
		{"http.ServeFile", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })},
	} {
		b.Run(way.name, func(b *testing.B) {
			s := httptest.NewServer(way.handler)
			defer s.Close()
			b.SetBytes(size)
			buf := make([]byte, 256<<10)
			for b.Loop() {
				resp, err := http.Get(s.URL + "/f")
				if err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := resp.Body.Read(buf); err != nil {
						break
					}
				}
				resp.Body.Close()
			}
		})
	}
}
