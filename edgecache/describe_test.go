package edgecache

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A description that no edge of a cluster has, and whose origin is dead, is not told to be nowhere; and edges that ask each other for it do not have each other ask on. One
// that has it gives it to the others.
func TestDescriptionWithoutItsOrigin(t *testing.T) {
	t.Parallel()
	base, key, _, _ := newRepositoryOrigin(t, "app", 1000)
	var dead atomic.Bool
	var asked atomic.Int64
	behind := httputil.NewSingleHostReverseProxy(base)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dead.Load() {
			if strings.Contains(r.URL.Path, "/metainfo/") {
				asked.Add(1)
			}
			panic(http.ErrAbortHandler)
		}
		behind.ServeHTTP(w, r)
	}))
	defer front.Close()
	u, err := url.Parse(front.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	edges := runCluster(t, &origin{urls: []*url.URL{u}}, 3, Config{FirstUse: true, Apps: []string{"none"}, Interval: time.Hour})
	together(t, edges)
	k, _, _ := edges[0].find(key)
	file, err := edges[0].feeds[0].repository.metainfoFile(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	dead.Store(true)
	resp, _ := follow(t, "http://"+addrOf(edges[0])+"/"+file)
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("with its origin dead: %s, want 502", resp.Status)
	}
	if n := asked.Load(); n == 0 || n > 4*int64(len(edges)) { // for each connection that was idle another one is tried
		t.Errorf("the dead origin was asked %d times, want a few times by each edge", n)
	}
	dead.Store(false)
	if resp, _ := follow(t, "http://"+addrOf(edges[1])+"/"+file); resp.StatusCode != http.StatusOK {
		t.Errorf("with its origin alive: %s, want it", resp.Status)
	}
	dead.Store(true)
	if resp, _ := follow(t, "http://"+addrOf(edges[0])+"/"+file); resp.StatusCode != http.StatusOK {
		t.Errorf("with another edge that has it: %s, want it", resp.Status)
	}
}
