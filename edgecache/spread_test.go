package edgecache

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// runCluster runs edges of one cluster that find each other, each with its web server. but changes what the configuration of one of them is.
func runCluster(t *testing.T, o *origin, n int, cfg Config, but ...func(i int, cfg *Config)) (edges []*Edge) {
	t.Helper()
	var gossip []string
	for range n {
		gossip = append(gossip, fmt.Sprintf("127.0.0.1:%d", swarmtest.FreePort(t)))
	}
	for i := range n {
		cfg := cfg
		mux := http.NewServeMux()
		srv := httptest.NewServer(mux)
		t.Cleanup(srv.Close)
		cfg.Cluster = Cluster{Name: fmt.Sprint("edge-", i), Port: srv.Listener.Addr().(*net.TCPAddr).Port, Gossip: gossip[i], Join: gossip, Key: "a key of a test", Replicas: 1}
		for _, change := range but {
			change(i, &cfg)
		}
		e, _ := startEdge(t, o, cfg) // all at once: one that is alone for a while takes everything for its own
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			dir, file, _, ok := e.Public(r)
			switch {
			case e.ServeFile(w, r):
			case ok && strings.HasPrefix(file, "targets/"):
				http.ServeFile(w, r, filepath.Join(dir, filepath.FromSlash(file)))
			default:
				e.ServeHTTP(w, r)
			}
		})
		mux.HandleFunc(HoldsPath, func(w http.ResponseWriter, r *http.Request) {
			json.NewEncoder(w).Encode(map[string]string{"holds": e.Holds(strings.TrimPrefix(r.URL.Path, HoldsPath), r.URL.Query())})
		})
		edges = append(edges, e)
	}
	for _, e := range edges {
		hasBegun(t, e)
	}
	return edges
}

// What becomes hot where it is not to be kept is kept there as well, got from its owner and not from the origin; days later it has to go there for what is hot then, and
// stays with its owner.
func TestHotContentSpreadsAndFallsBack(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	o := newOrigin(t, size, size)
	clock := newClock(noon)
	edges := runCluster(t, o, 3, Config{Quota: MinQuota, Now: clock.now}) // room for one
	here := func(e *Edge, i int) bool { h, _ := e.shelf.get(o.keys[i]); return h.whole }
	var owner [2]*Edge
	until(t, "each is with one edge", func() bool {
		owner = [2]*Edge{}
		copies := 0
		for _, e := range edges {
			for i := range owner {
				if here(e, i) {
					owner[i] = e
					copies++
				}
			}
		}
		return copies == 2 && owner[0] != nil && owner[1] != nil
	})
	var third *Edge
	for _, e := range edges {
		if e != owner[0] && e != owner[1] {
			third = e
		}
	}
	if third == nil || o.sent.Load() != 2*size {
		t.Fatalf("two of three edges are to have one of two contents each; the origin has sent %d bytes, want %d", o.sent.Load(), 2*size)
	}
	for day, hot := range []int{0, 1} {
		clock.set(noon.Add(time.Duration(day) * 3 * halfLife))
		for k := range spreadHeat {
			until(t, "the owner answers, however busy this computer is", func() bool { // and has just answered when it is asked about next
				_, ok, _ := third.ring.keeper(t.Context(), o.keys[hot])
				return ok
			})
			w := httptest.NewRecorder()
			third.ServeHTTP(w, o.request(hot))
			if lead := k < spreadHeat-1; lead != (w.Code == http.StatusTemporaryRedirect) {
				t.Errorf("request %d for content %d: status %d", k+1, hot, w.Code)
			}
		}
		until(t, "what is hot is here beside its owner, and nothing else", func() bool { return here(third, hot) && !here(third, 1-hot) })
	}
	if !here(owner[0], 0) || !here(owner[1], 1) {
		t.Error("an owner has lost what it is to keep")
	}
	if d := third.Status().Dropped["room"]; d.Contents != 1 || o.sent.Load() != 2*size {
		t.Errorf("%d contents had to go for others, want 1; the origin has sent %d bytes, want %d", d.Contents, o.sent.Load(), 2*size)
	}
}
