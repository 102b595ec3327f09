package edgecache

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"shoal/internal/release"
)

// While an origin is dead nothing that is here goes for what would have to come from it, however much that is asked for.
func TestNothingGoesForWhatCannotCome(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	base, key, _, _ := newRepositoryOrigin(t, "app", size)
	o := newOrigin(t, size)
	o.urls = append(o.urls, base)
	e, _ := runEdge(t, o, Config{FirstUse: true, Apps: []string{"none"}, PullThrough: true, Quota: MinQuota, Interval: time.Hour})
	here := func(key string) bool { h, _ := e.shelf.get(key); return h.whole }
	until(t, "the one is here", func() bool { return here(o.keys[0]) })
	e.shelf.touch(key, 100, time.Now())
	k, _, _ := e.find(key)
	e.feeds[1].set(nil, errors.New("connection refused"), time.Now())
	if err := e.makeRoom(t.Context(), k, size); !errors.Is(err, errNoSource) || !here(o.keys[0]) {
		t.Errorf("with its origin dead: %v; the other one is here: %v", err, here(o.keys[0]))
	}
	e.feeds[1].set(nil, &release.Refusal{}, time.Now()) // it answers, whatever
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/app@1.0/app.bin", nil))
	if w.Code != http.StatusOK || w.Body.Len() != size {
		t.Errorf("with its origin alive: status %d, %d bytes", w.Code, w.Body.Len())
	}
	until(t, "it is here in place of the other", func() bool { return here(key) && !here(o.keys[0]) })
}

// A fetch of which nothing comes and for which nobody waits is not in use: it goes when room is needed.
func TestIdleFetchIsNotInUse(t *testing.T) {
	c := newContent(&known{})
	if !c.busy() {
		t.Error("a fetch is not in use")
	}
	c.idle = true
	if c.busy() {
		t.Error("a fetch of which nothing comes is in use")
	}
	if c.use(1); !c.busy() {
		t.Error("somebody waits for it, and it is not in use")
	}
}
