package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"shoal/internal/swarmtest"
)

// An edge with a certificate speaks HTTP/2 on its one port, with all that plain clients ask: to Go's client, and to curl.
func TestEdgeSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	const size = 300_000
	o, _, origin, _ := newOrigin(t, size, "game")
	want, err := os.ReadFile(o.Path("in", "game-1.0", "game.bin"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, pool := swarmtest.Certificate(t)
	_, url := node(swarmtest.Local(t), origin, "--quota", "40M", "--tls-cert", cert, "--tls-key", key)
	_, _, port := cutURL(url)
	waitUntil(t, "it is there", func() bool { return edgeState(t, "http://127.0.0.1:"+port).Int("contents_kept") == 1 })
	url += "/game:stable/game.bin"
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	ask := func(method string, header ...string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	resp, body := ask(http.MethodGet)
	tag := resp.Header.Get("ETag")
	if resp.ProtoMajor != 2 || !bytes.Equal(body, want) || resp.Request.URL.Path != "/game@1.0/game.bin" {
		t.Errorf("%s of %s: %d bytes, want all over HTTP/2 at the version's URL", resp.Proto, resp.Request.URL, len(body))
	}
	if resp, body = ask(http.MethodGet, "Range", "bytes=1000-1999", "If-Range", tag); resp.StatusCode != http.StatusPartialContent || !bytes.Equal(body, want[1000:2000]) {
		t.Errorf("a range: %s, %d bytes", resp.Status, len(body))
	}
	if resp, body = ask(http.MethodGet, "Range", "bytes=1000-1999", "If-Range", `"another"`); resp.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("a range of another file: %s, %d bytes", resp.Status, len(body))
	}
	if resp, body = ask(http.MethodGet, "Range", "bytes=0-9,100-109"); resp.StatusCode != http.StatusPartialContent || !bytes.Contains(body, want[100:110]) {
		t.Errorf("two ranges: %s, %d bytes", resp.Status, len(body))
	}
	if resp, body = ask(http.MethodHead); resp.ContentLength != size || len(body) > 0 || resp.Header.Get("ETag") != tag {
		t.Errorf("HEAD: a length of %d, %q", resp.ContentLength, resp.Header.Get("ETag"))
	}

	curl, err := exec.LookPath("curl")
	if err != nil {
		swarmtest.Require(t, "interop", "curl")
	}
	out := swarmtest.Local(t).Path("out")
	c := exec.Command(curl, "-sSL", "--http2", "--noproxy", "*", "--cacert", cert, "-r", "5000-9999", "-o", out, "-w", "%{http_version} %{http_code}", url)
	var stderr strings.Builder
	c.Stderr = &stderr
	said, err := c.Output()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, stderr.String())
	}
	if got, _ := os.ReadFile(out); string(said) != "2 206" || !bytes.Equal(got, want[5000:10000]) {
		t.Errorf("curl: %s, %d bytes; want 206 over HTTP/2, and the range", said, len(got))
	}
}

// Edges of a cluster that speak TLS lead a client that does to each other over TLS, another one without; they get releases from each other all the same.
func TestClusterSpeaksTLS(t *testing.T) {
	t.Parallel()
	const size = 300_000
	o, dir, origin, _ := newOrigin(t, size, "game")
	want, err := os.ReadFile(o.Path("in", "game-1.0", "game.bin"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, pool := swarmtest.Certificate(t)
	c := newCluster(t, origin, filepath.Join(dir, "root.json"), 3, "--tls-cert", cert, "--tls-key", key)
	waitUntil(t, "it has two copies", c.replicated(1))
	if n := sentOfEach(t, origin)["game.bin"]; n > maxCopies {
		t.Errorf("the origin has sent %.2f copies: edges do not get it from each other", n)
	}
	other := ""
	waitUntil(t, "one edge has none", func() bool {
		for _, url := range c.urls {
			if edgeState(t, url).Int("contents_kept") == 0 {
				other = strings.TrimPrefix(url, "http://")
			}
		}
		return other != ""
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	for _, scheme := range []string{"https", "http"} { // and no third request, which would make it hot there
		resp, err := client.Get(scheme + "://" + other + "/game:stable/game.bin")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if at := resp.Request.URL; err != nil || !bytes.Equal(body, want) || at.Scheme != scheme || at.Host == other || strings.HasSuffix(origin, at.Host) {
			t.Errorf("by %s: %s, %d bytes from %s, %v; want all from another edge by the same", scheme, resp.Status, len(body), at, err)
		}
		resp, err = client.Get(scheme + "://" + other + "/metadata/timestamp.json")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if links := resp.Header["Link"]; len(links) != 3 || !strings.HasPrefix(links[0], "<"+scheme+"://127.0.0.1:") || !strings.HasPrefix(links[1], "<"+scheme+"://127.0.0.1:") {
			t.Errorf("by %s it is also at %q: want the two others by the same, and the origin", scheme, links)
		}
	}
	m := swarmtest.Local(t)
	m.Setenv("SSL_CERT_FILE", cert)
	if got := m.Run("get", "https://"+other+"/game:stable", "-o", m.Path("out"), "--trust-on-first-use").Succeed().Expect("done"); got.Int("bytes") != size {
		t.Errorf("a machine: %v", got)
	}
}

// A client with many connections gets no more of an edge's upload limit than one with a single connection.
func TestEdgeIsFairToItsClients(t *testing.T) {
	t.Parallel()
	const size, part = 2 << 20, 300_000
	_, _, origin, _ := newOrigin(t, size, "game")
	_, url := node(swarmtest.Local(t), origin, "--quota", "40M", "--limit-up", "700K")
	waitUntil(t, "it is there", func() bool { return edgeState(t, url).Int("contents_kept") == 1 })
	open := func(from string) io.Reader {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.SetReadBuffer(16 << 10) // what waits in the kernel was not given yet
			}
			return c, err
		}, DisableKeepAlives: true}}
		resp, err := client.Get(url + "/game@1.0/game.bin")
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Skip("this machine has no other address than 127.0.0.1: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp.Body
	}
	var greedy atomic.Int64
	var reading sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer func() { stop(); reading.Wait() }()
	for range 8 {
		body := untilDone{ctx, open("127.0.0.2")}
		reading.Go(func() {
			for {
				n, err := io.CopyN(io.Discard, body, 4<<10)
				greedy.Add(n)
				if err != nil {
					return
				}
			}
		})
	}
	modest := open("127.0.0.3")
	take := func(n int64) {
		t.Helper()
		if _, err := io.CopyN(io.Discard, modest, n); err != nil {
			t.Fatal(err)
		}
	}
	take(part) // what the others got before it came has passed
	before := greedy.Load()
	take(part)
	got := greedy.Load() - before
	if got < part/4 || got > 3*part {
		t.Errorf("while one connection got %d bytes, eight of another client got %d: want about as many", part, got)
	}
}

// untilDone is a reader that ends with a context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, io.EOF
	}
	return r.Reader.Read(b)
}
