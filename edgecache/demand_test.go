package edgecache

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/schedule"
)

// What another edge fetches ahead is nobody's demand here: it is not counted, and does not have fetched outside the windows what is not here. If somebody waits
// for it there, the other edge says so.
func TestAnotherEdgesPrefillIsNoDemand(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, 300_000)
	rates, err := schedule.ParseRates("02:00-04:00=10M")
	if err != nil {
		t.Fatal(err)
	}
	clock := newClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	e, _ := runEdge(t, o, Config{Fill: &rates, Now: clock.now})
	ask := func() int {
		w, r := httptest.NewRecorder(), o.request(0)
		r.Header.Set("User-Agent", "Shoal/1.0"+deliver.EdgeServer)
		e.ServeHTTP(w, r)
		return w.Code
	}
	settled(t, e)
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("an edge that asks outside the window: %d, want 503", code)
	}
	if e.Holds(o.keys[0], nil); o.requests.Load() > 0 {
		t.Errorf("the origin was asked %d times", o.requests.Load())
	}
	e.Holds(o.keys[0], url.Values{wantedQuery: {""}})
	until(t, "what somebody waits for at the other edge comes", func() bool { return e.Status().Kept == 1 })
	if code := ask(); code != http.StatusOK {
		t.Errorf("an edge that asks for what is here: %d", code)
	}
	if st := e.Status(); st.Contents[0].Heat != 0 || st.Requests.All != 0 || st.Requests.HitBytes != 0 || st.Requests.EdgeBytes != 300_000 {
		t.Errorf("demand of %v, %+v: want none, and 300000 bytes to edges", st.Contents[0].Heat, st.Requests)
	}
	if o.ask(t, e, 0); e.Status().Contents[0].Heat == 0 {
		t.Error("a user's request is no demand")
	}
}
