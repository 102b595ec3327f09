package edgecache

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// Who asks for what only a dead edge was to keep is asked to come again until the cluster knows of its death, and led to the origin only if that takes too long.
func TestMachinesWaitUntilADeadEdgeIsFoundOut(t *testing.T) {
	t.Parallel()
	base, key, _, _ := newRepositoryOrigin(t, "app", 1000)
	now := newClock(time.Now())
	e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Now: now.now, Cluster: Cluster{Name: "alive", Gossip: "127.0.0.1:0", Key: "a key of a test"}})
	dead := httptest.NewServer(nil)
	dead.Close()
	e.ring.mu.Lock()
	e.ring.members = []Member{{Name: "alive", Draining: true}, {Name: "dead", Addr: dead.Listener.Addr().String()}}
	e.ring.mu.Unlock()
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
