package edgecache

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// Who asks for what only a dead edge was to keep is asked to come again until the cluster knows of its death, and led to the origin only if that takes too long.
func TestMachinesWaitUntilADeadEdgeIsFoundOut(t *testing.T) {
	r := &ring{orphans: map[string]time.Time{}}
	now := time.Now()
	if !r.orphaned("key", now) || !r.orphaned("key", now.Add(orphanTime-1)) {
		t.Error("led to the origin at once")
	}
	if r.orphaned("key", now.Add(orphanTime)) {
		t.Error("asked to come again for ever")
	}
	r.found("key")
	if !r.orphaned("key", now.Add(orphanTime)) {
		t.Error("led to the origin at once when it happens again")
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
	e.ring.mu.Lock()
	e.ring.members = []Member{{Name: "alive", Draining: true}, {Name: "owner", Addr: owner.Listener.Addr().String()}}
	e.ring.mu.Unlock()
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
