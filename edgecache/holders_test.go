package edgecache

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// leaveTo has an edge believe that another one keeps everything. It drains, which it says of itself whenever it says something anew: else it would be among those who keep.
func leaveTo(e *Edge, other Member) {
	e.ring.drain()
	e.ring.mu.Lock()
	defer e.ring.mu.Unlock()
	other.Follows = e.ring.mine.Follows
	e.ring.members = []Member{{Name: e.self(), Draining: true}, other}
}

// Who asks for what only a dead edge was to keep is asked to come again until the cluster knows of its death, and led to the origin only if that takes too long.
func TestMachinesWaitUntilADeadEdgeIsFoundOut(t *testing.T) {
	t.Parallel()
	base, key, _, _ := newRepositoryOrigin(t, "app", 1000)
	now := newClock(time.Now())
	e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Now: now.now, Cluster: Cluster{Name: "alive", Gossip: "127.0.0.1:0", Key: "a key of a test"}})
	dead := httptest.NewServer(nil)
	dead.Close()
	leaveTo(e, Member{Name: "dead", Addr: dead.Listener.Addr().String()})
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/content/"+key+"/app.bin", nil))
		return w
	}
	if w := ask(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, want to be asked to come again", w.Code)
	}
	now.set(now.now().Add(orphanTime))
	if w := ask(); w.Code != http.StatusTemporaryRedirect {
		t.Errorf("status %d after a while, want to be led to the origin", w.Code)
	}
	e.ring.found(key)
	if w := ask(); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d when it happens again, want to be asked to come again", w.Code)
	}
}

// What is another edge's is kept here too as soon as it is asked for often, and not any more when it was not for days: then it goes when room is needed.
func TestHotContentIsKeptBesideItsOwners(t *testing.T) {
	t.Parallel()
	base, key, _, _ := newRepositoryOrigin(t, "app", 1000)
	now := newClock(time.Now())
	e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Now: now.now, Cluster: Cluster{Name: "alive", Gossip: "127.0.0.1:0", Key: "a key of a test"}})
	owner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"holds":"whole"}`)) }))
	defer owner.Close()
	leaveTo(e, Member{Name: "owner", Addr: owner.Listener.Addr().String()})
	for i := range spreadHeat - 1 {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/content/"+key+"/app.bin", nil))
		if w.Code != http.StatusTemporaryRedirect {
			t.Fatalf("request %d: status %d, want to be led to the owner", i, w.Code)
		}
	}
	k, _, _ := e.find(key)
	e.shelf.touch(key, spreadHeat, now.now())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	e.obtain(gone, k, true) // somebody asks, and does not wait
	e.mu.Lock()
	wanted := e.contents[key] != nil
	e.mu.Unlock()
	if !wanted {
		t.Error("what is asked for again and again is not fetched")
	}
	hot := e.shelf.heat(key)
	if !e.ring.keeps(key, hot.now(now.now())) || e.ring.keeps(key, hot.now(now.now().Add(72*time.Hour))) {
		t.Errorf("it is kept by its heat: %v now, %v in three days", hot.now(now.now()), hot.now(now.now().Add(72*time.Hour)))
	}
}
