package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// An edge is tried as its operator and its users meet it: processes on loopback.

// newOrigin publishes apps, each in one version of size bytes on the channel stable, and serves the repository.
func newOrigin(t *testing.T, size int, apps ...string) (h *swarmtest.Host, dir, url string, serve *swarmtest.Process) {
	t.Helper()
	h = swarmtest.Local(t)
	dir = h.Path("repo")
	h.Run("init", dir, "--plain-keys").Succeed()
	for _, app := range apps {
		publish(t, h, dir, app, "1.0", size)
	}
	serve = h.Start("serve", dir, "--listen", "127.0.0.1:0")
	serve.Expect("releases")
	port := serve.Expect("ready").Int("port")
	return h, dir, fmt.Sprintf("http://127.0.0.1:%d", port), serve
}

// publish publishes a file of an app, which it returns.
func publish(t *testing.T, h *swarmtest.Host, dir, app, version string, size int) string {
	t.Helper()
	file := swarmtest.File(t, h.Path("in", app+"-"+version, app+".bin"), size)
	h.Run("publish", file, "--as", app+"@"+version, "--channel", "stable", "--platform", "any", "--repo", dir).Succeed()
	return file
}

// node starts an edge.
func node(h *swarmtest.Host, origin string, args ...string) (p *swarmtest.Process, url string) {
	p = h.Start(append([]string{"edge", origin, "--listen", "127.0.0.1:0", "--keep-free", "1", "--trust-on-first-use"}, args...)...)
	return p, strings.TrimSuffix(p.Expect("ready").String("url"), "/")
}

// edgeState asks an edge how it is doing.
func edgeState(t *testing.T, url string) swarmtest.Event {
	t.Helper()
	resp, err := http.Get(url + "/api/v1/status")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var st struct {
		Edge swarmtest.Event `json:"edge"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	return st.Edge
}

// waitUntil waits until something is so.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// fetchURL reads a URL to its end, and comes again while it is told to, for a minute at most.
func fetchURL(t *testing.T, url string, header ...string) (resp *http.Response, body []byte) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if resp, err = http.DefaultClient.Do(req); err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable || time.Since(begin) > time.Minute {
			return resp, body
		}
	}
}

// sentByOrigin is how much of its contents an origin has sent.
func sentByOrigin(t *testing.T, url string) (n int64) {
	t.Helper()
	st, err := askStatus(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Contents {
		n += c.SentPeer + c.SentHTTP
	}
	return n
}

func sum256(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

func TestEdgeFollowsServesAndOutlivesItsOrigin(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	const size = 3 << 20
	o, dir, origin, serve := newOrigin(t, size, "game", "tool")
	want, err := os.ReadFile(o.Path("in", "game-1.0", "game.bin"))
	if err != nil {
		t.Fatal(err)
	}
	h := swarmtest.Local(t)
	edge, url := node(h, origin, "--app", "game", "--pull-through", "--quota", "40M")
	waitUntil(t, "the followed app is there", func() bool { return edgeState(t, url).Int("contents_kept") == 1 })

	// The gateway: a channel leads to its version; ranges and validators.
	resp, body := fetchURL(t, url+"/game:stable/game.bin")
	if resp.Request.URL.Path != "/game@1.0/game.bin" || sum256(body) != sum256(want) {
		t.Errorf("%s: %d bytes, want the file at its version", resp.Request.URL, len(body))
	}
	tag := resp.Header.Get("ETag")
	resp, body = fetchURL(t, url+"/game@1.0/game.bin", "Range", "bytes=1000-1999", "If-Range", tag)
	if resp.StatusCode != http.StatusPartialContent || string(body) != string(want[1000:2000]) {
		t.Errorf("a range: %s, %d bytes", resp.Status, len(body))
	}
	if resp, _ = fetchURL(t, url+"/game@1.0/game.bin", "If-None-Match", tag); resp.StatusCode != http.StatusNotModified {
		t.Errorf("If-None-Match: %s", resp.Status)
	}
	for path, why := range map[string]string{"/http://example.com/x": "there is nothing here", "/game@9/game.bin": "no origin of this edge has game@9", "/game:beta": "no origin of this edge has game:beta",
		"/game@1.0/other.bin": "no such file", "/content/" + strings.Repeat("0", 64) + "/x": "no origin of this edge has a content of this hash"} {
		if resp, body := fetchURL(t, url+path); resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), why) {
			t.Errorf("%s: %s, %q; want 404, and %q", path, resp.Status, body, why)
		}
	}

	// Many ask at once for what is not here: one fetch.
	before := sentByOrigin(t, origin)
	tool, err := os.ReadFile(o.Path("in", "tool-1.0", "tool.bin"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			from := i * 30000
			resp, body := fetchURL(t, url+"/tool:stable/tool.bin", "Range", fmt.Sprintf("bytes=%d-%d", from, from+9999))
			if resp.StatusCode != http.StatusPartialContent || string(body) != string(tool[from:from+10000]) {
				t.Errorf("range %d: %s, %d bytes", i, resp.Status, len(body))
			}
		})
	}
	all.Wait()
	waitUntil(t, "both are whole", func() bool { return edgeState(t, url).Int("contents_kept") == 2 })
	if sent := sentByOrigin(t, origin) - before; sent > size*105/100 {
		t.Errorf("100 requests at once had the origin send %d of %d bytes", sent, size)
	}

	// The origin goes, and machines still get verified releases, from the edge alone.
	serve.Stop()
	m := swarmtest.Local(t)
	done := m.Run("get", url+"/game:stable", "-o", m.Path("out"), "--trust-on-first-use").Succeed().Expect("done")
	if done.Int("from.edges") != size {
		t.Errorf("done %v: want all of it from the edge", done)
	}

	// The edge dies without knowing it, and comes back with all it had, without fetching.
	edge.Kill()
	edge, url = node(h, origin, "--app", "game", "--pull-through", "--quota", "40M")
	waitUntil(t, "what was there is there", func() bool { return edgeState(t, url).Int("contents_kept") == 2 })
	if _, body = fetchURL(t, url+"/game:stable/game.bin"); sum256(body) != sum256(want) {
		t.Error("after kill -9 the file is another")
	}
	edge.Stop()

	// A withdrawn release goes, and does not come back.
	publish(t, o, dir, "game", "2.0", size)
	o.Run("withdraw", "game@1.0", "--repo", dir, "--reason", "broken").Succeed()
	_, _, port := cutURL(origin)
	o.Start("serve", dir, "--listen", "127.0.0.1:"+port).Expect("ready")
	_, url = node(h, origin, "--app", "game", "--pull-through", "--quota", "40M")
	waitUntil(t, "the new one is here, the withdrawn one not", func() bool {
		st := edgeState(t, url)
		list, _ := json.Marshal(st["contents"])
		return strings.Contains(string(list), "game@2.0") && !strings.Contains(string(list), "game@1.0") && st.Int("contents_kept") == 2
	})
	if resp, _ := fetchURL(t, url+"/game@1.0/game.bin"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a withdrawn release: %s", resp.Status)
	}
}

func cutURL(url string) (scheme, host, port string) {
	scheme, rest, _ := strings.Cut(url, "://")
	host, port, _ = strings.Cut(strings.TrimSuffix(rest, "/"), ":")
	return scheme, host, port
}

// What has changed on disk is noticed, and fetched again before it is served.
func TestEdgeMendsWhatHasChangedOnDisk(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	o, _, origin, _ := newOrigin(t, size, "game")
	want, err := os.ReadFile(o.Path("in", "game-1.0", "game.bin"))
	if err != nil {
		t.Fatal(err)
	}
	h := swarmtest.Local(t)
	edge, url := node(h, origin, "--quota", "40M")
	whole := func() bool { return edgeState(t, url).Int("contents_kept") == 1 }
	waitUntil(t, "it is there", whole)
	files, _ := filepath.Glob(h.Path("state", "content", "*", "game.bin"))
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	damage := func() { // and set back when it was written
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("not what was signed"), size/2)
			f.Close()
		}
		if err == nil && runtime.GOOS != "windows" { // which has no time of change beside
			err = os.Chtimes(files[0], info.ModTime(), info.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	right := func() bool {
		resp, body := fetchURL(t, url+"/game:stable/game.bin")
		if resp.StatusCode == http.StatusOK && len(body) == size && sum256(body) != sum256(want) {
			t.Fatal("wrong bytes were served")
		}
		return resp.StatusCode == http.StatusOK && whole() && edgeState(t, url).Int("fetched.mended") == 1
	}
	damage() // while it runs
	waitUntil(t, "it is right again", right)
	edge.Kill()
	if e := h.Run("edge", "ls").Fail(exitNoSource).Expect("error"); !strings.HasPrefix(e.String("message"), "no node runs with the state directory") {
		t.Errorf("asked when it was killed: %v", e)
	}
	damage() // while it does not
	_, url = node(h, origin, "--quota", "40M")
	waitUntil(t, "it is right again after a restart", right)
}

// A stop that is asked for lets responses end: of what is here, and of what is still coming.
func TestEdgeFinishesResponses(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	const size = 3 << 20
	finish := func(t *testing.T, edge *swarmtest.Process, url string) {
		t.Helper()
		resp, err := http.Get(url + "/game@1.0/game.bin")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
			t.Fatal(err)
		}
		edge.Signal(syscall.SIGTERM)
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size-1000 {
			t.Errorf("after SIGTERM %d bytes more came, %v; want %d", n, err, size-1000)
		}
		edge.Fail(0)
	}
	t.Run("hit", func(t *testing.T) {
		t.Parallel()
		_, _, origin, _ := newOrigin(t, size, "game")
		edge, url := node(swarmtest.Local(t), origin, "--limit-up", "3Mi", "--quota", "40M")
		waitUntil(t, "it is there", func() bool { return edgeState(t, url).Int("contents_kept") == 1 })
		finish(t, edge, url)
	})
	t.Run("miss", func(t *testing.T) {
		t.Parallel()
		o, _, origin, _ := newOrigin(t, size, "game")
		o.Run("limit", "--limit-up", "2Mi").Succeed()
		edge, url := node(swarmtest.Local(t), origin, "--app", "none", "--pull-through", "--quota", "40M")
		waitUntil(t, "the origin is known", func() bool {
			resp, _ := fetchURL(t, url+"/game@1.0")
			return resp.StatusCode == http.StatusOK
		})
		finish(t, edge, url)
	})
}

// What an edge says of itself is what has happened: with known traffic every count is known, in the status and in the metrics.
func TestEdgeCountsWhatHappens(t *testing.T) {
	t.Parallel()
	const size, part = 300_000, 1000
	_, _, origin, _ := newOrigin(t, size, "game")
	_, _, other, _ := newOrigin(t, 2*size, "tool")
	_, url := node(swarmtest.Local(t), origin, other, "--app", "game", "--pull-through", "--quota", "40M")
	waitUntil(t, "what is followed is here, and the other origin known", func() bool {
		resp, _ := fetchURL(t, url+"/tool@1.0")
		return resp.StatusCode == http.StatusOK && edgeState(t, url).Int("contents_kept") == 1
	})
	get := func(path string, want int, header ...string) {
		t.Helper()
		if _, body := fetchURL(t, url+path, header...); len(body) != want {
			t.Errorf("%s: %d bytes, want %d", path, len(body), want)
		}
	}
	get("/tool@1.0/tool.bin", 2*size)
	waitUntil(t, "both are here", func() bool { return edgeState(t, url).Int("contents_kept") == 2 })
	get("/game@1.0/game.bin", size)
	get("/game:stable/game.bin", size)
	get("/game@1.0/game.bin", part, "Range", fmt.Sprintf("bytes=5-%d", 5+part-1))
	get("/tool@1.0", len("tool.bin\n"))
	waitUntil(t, "all four are counted", func() bool { return edgeState(t, url).Int("requests.all") == 4 })
	const hit, miss, got = 2*size + part, 2 * size, 3 * size
	st := edgeState(t, url)
	for key, want := range map[string]int64{"requests.hits": 3, "requests.misses": 1, "requests.redirects": 0, "requests.hit_bytes": hit, "requests.miss_bytes": miss, "requests.peer_bytes": 0, "requests.edge_bytes": 0,
		"requests.saved_bytes": hit + miss - got, "fetched.contents": 2, "fetched.failed": 0, "fetched.from_origin_bytes": got, "fetched.from_edges_bytes": 0, "contents_fetching": 0} {
		if n := st.Int(key); n != want {
			t.Errorf("%s is %d, want %d", key, n, want)
		}
	}
	ratios := st["requests"].(map[string]any)
	if ratios["hit_ratio"] != 0.75 || ratios["byte_hit_ratio"] != 0.5 { // 601000 of 1201000, to three places
		t.Errorf("hit ratios %v of requests, %v of bytes; want 0.75 and 0.5", ratios["hit_ratio"], ratios["byte_hit_ratio"])
	}
	_, text := fetchURL(t, url+"/metrics")
	for line, want := range map[string]float64{`shoal_edge_requests_total{result="hit"}`: 3, `shoal_edge_requests_total{result="miss"}`: 1, `shoal_edge_requests_total{result="redirect"}`: 0,
		`shoal_edge_served_bytes_total{way="hit"}`: hit, `shoal_edge_served_bytes_total{way="miss"}`: miss, `shoal_edge_saved_bytes_total`: hit + miss - got,
		`shoal_edge_fetched_bytes_total{from="origin"}`: got, `shoal_edge_fills_total{result="whole"}`: 2, `shoal_edge_hit_ratio{of="requests"}`: 0.75, `shoal_edge_hit_ratio{of="bytes"}`: 0.5} {
		_, after, found := strings.Cut(string(text), "\n"+line+" ")
		value, _, _ := strings.Cut(after, "\n")
		if n, err := strconv.ParseFloat(value, 64); !found || err != nil || n != want {
			t.Errorf("%s is %q, want %v", line, value, want)
		}
	}
}
