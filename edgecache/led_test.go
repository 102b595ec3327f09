package edgecache

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// addrOf is where an edge of runCluster is; empty: it does not know yet.
func addrOf(e *Edge) string {
	for _, m := range e.members() {
		if m.Name == e.self() {
			return m.Addr
		}
	}
	return ""
}

// Of what no edge of a cluster keeps each leads to the origin, and not to another one that would lead back; what is in it they all can tell.
func TestNobodyIsLedInCircles(t *testing.T) {
	t.Parallel()
	const size = 100_000
	base, key, _, _ := newRepositoryOrigin(t, "app", size)
	edges := runCluster(t, &origin{urls: []*url.URL{base}}, 3, Config{FirstUse: true, Apps: []string{"none"}}, func(_ int, cfg *Config) { cfg.Cluster.Replicas = 2 })
	together(t, edges)
	for _, e := range edges {
		for _, path := range []string{"/app@1.0/app.bin", "/content/" + key + "/app.bin"} {
			resp, body := follow(t, "http://"+addrOf(e)+path)
			if resp.Request.URL.Host != base.Host || len(body) != size {
				t.Errorf("%s: %s of %d bytes from %s, want all of it from the origin", path, resp.Status, len(body), resp.Request.URL)
			}
		}
		if resp, body := follow(t, "http://"+addrOf(e)+"/app@1.0"); resp.StatusCode != http.StatusOK || body != "app.bin\n" {
			t.Errorf("the list of files: %s, %q", resp.Status, body)
		}
	}
}

// An edge that fetches what it is asked for has that for all of its cluster, from the first request on.
func TestTheEdgeThatPullsThroughIsTheOneToAsk(t *testing.T) {
	t.Parallel()
	const size = 100_000
	base, key, _, _ := newRepositoryOrigin(t, "app", size)
	edges := runCluster(t, &origin{urls: []*url.URL{base}}, 3, Config{FirstUse: true, Apps: []string{"none"}}, func(i int, cfg *Config) { cfg.PullThrough = i == 2 })
	together(t, edges)
	puller := edges[2]
	for _, e := range edges {
		resp, body := follow(t, "http://"+addrOf(e)+"/app@1.0/app.bin")
		if resp.Request.URL.Host != addrOf(puller) || len(body) != size {
			t.Errorf("%s: %s of %d bytes from %s, want all of it from the edge that pulls through", e.self(), resp.Status, len(body), resp.Request.URL)
		}
	}
	if own := edges[0].ring.of(key); len(own) != 1 || own[0].Name != puller.self() {
		t.Errorf("owners %v, want the edge that pulls through alone", own)
	}
}

// What none of a cluster follows or pulls through has no owner: an edge where it is pinned need not wait for one, and asks the origin itself.
func TestWhatIsPinnedAloneHasNoOwner(t *testing.T) {
	r, err := newRing(Cluster{Name: "a", Gossip: "127.0.0.1:0", Key: "a key of a test"}, nil, func(key string) bool { return key == "followed" }, false, func() {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.members = []Member{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	if own := r.of("pinned"); len(own) != 0 {
		t.Errorf("owners %v of what nobody is to keep", own)
	}
	if own := r.of("followed"); len(own) != 2 {
		t.Errorf("owners %v of what is followed, want two", own)
	}
	e := &Edge{ring: r}
	if !e.leads("pinned") {
		t.Error("the edge where it is pinned does not ask the origin")
	}
}

// An edge that follows other apps, or none, owns nothing of what the others follow: they would wait for it in vain.
func TestThoseThatFollowTheSameShareItOut(t *testing.T) {
	t.Parallel()
	base, key, _, _ := newRepositoryOrigin(t, "app", 100_000)
	edges := runCluster(t, &origin{urls: []*url.URL{base}}, 3, Config{FirstUse: true}, func(i int, cfg *Config) {
		cfg.Cluster.Replicas, cfg.PullThrough = 3, i == 2
	})
	together(t, edges)
	for _, e := range edges[:2] {
		until(t, "those that follow it have it", func() bool { h, _ := e.shelf.get(key); return h.whole })
		if own := e.ring.of(key); len(own) != 2 || own[0].PullThrough || own[1].PullThrough {
			t.Errorf("owners %v, want those two that follow it", own)
		}
	}
	if h, _ := edges[2].shelf.get(key); h.whole {
		t.Error("it is also where nobody has asked for it")
	}
}

// Who reads what comes does not notice that an edge changes whom it gets it from.
func TestAReaderOutlivesAChangeOfSources(t *testing.T) {
	t.Parallel()
	const size = 100_000
	base, key, hang, hung := newRepositoryOrigin(t, "app", size)
	e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Interval: time.Hour, Apps: []string{"none"}, PullThrough: true, Cluster: Cluster{Name: "edge", Gossip: "127.0.0.1:0", Key: "a key of a test"}})
	_, content := follow(t, base.JoinPath("content", key, "app.bin").String())
	mux := http.NewServeMux()
	mux.HandleFunc(HoldsPath, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"holds":"whole"}`) })
	mux.HandleFunc("/content/"+key+"/app.bin", func(w http.ResponseWriter, r *http.Request) { serveText(w, r, content) })
	other := httptest.NewServer(mux)
	defer other.Close()
	k, _, _ := e.find(key)
	if _, err := k.from.find(t.Context(), k); err != nil { // while the origin still answers
		t.Fatal(err)
	}
	hang.Store(true)
	w, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/app@1.0/app.bin", nil))
	}()
	until(t, "it waits for the origin", func() bool { return hung.Load() > 0 })
	leaveTo(e, Member{Name: "other", Addr: other.Listener.Addr().String(), PullThrough: true})
	if <-done; w.Code != http.StatusOK || w.Body.String() != content {
		t.Errorf("status %d, %d bytes: %.100s", w.Code, w.Body.Len(), w.Body)
	}
}

// together waits until edges have found each other.
func together(t *testing.T, edges []*Edge) {
	t.Helper()
	for _, e := range edges {
		until(t, "all have found each other", func() bool { return len(e.members()) == len(edges) && addrOf(e) != "" })
	}
}

// follow reads a URL to its end, wherever that leads.
func follow(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func serveText(w http.ResponseWriter, r *http.Request, text string) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}
