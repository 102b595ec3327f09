package swarm

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"shoal/piece"
	"shoal/swarm/webfetch"
)

// Content counts as from whom an edge has led to, not as from the edge: that is the origin, unless it says that it is another edge.
func TestWhoIsLedToIsCounted(t *testing.T) {
	t.Parallel()
	x := tree{"a": random(8<<20, 1), "b": random(1<<20, 2)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	for _, c := range []struct {
		what, server string
		want         Class
	}{
		{"an origin", "Shoal/1.0", Origin},
		{"another edge", "Shoal/1.0" + webfetch.EdgeServer, Edges},
		{"a plain web server", "", Origin},
	} {
		t.Run(strings.ReplaceAll(c.what, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var led, probed atomic.Int64
			to, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				w.Header().Set("Server", c.server)
				next.ServeHTTP(w, r)
			})
			u, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			asked := make(chan struct{})
			edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Server", "Shoal/1.0"+webfetch.EdgeServer)
				if r.URL.Path == "/healthz" {
					io.WriteString(w, `{"shoal":{"role":"edge"}}`)
					if probed.Add(1) == 1 {
						close(asked)
					}
					return
				}
				<-asked
				led.Add(1)
				http.Redirect(w, r, "http://"+u.Host+r.URL.Path, http.StatusTemporaryRedirect)
			}))
			defer edge.Close()
			s := fetchWeb(t, Config{LimitDown: 12 << 20}, tor, x, Spec{WebSeeds: []string{edge.URL + u.Path}})
			if s.From[c.want] != tor.Length || led.Load() == 0 {
				t.Errorf("led %d times: %d bytes of the origin, %d of edges; want all %d from %v", led.Load(), s.From[Origin], s.From[Edges], tor.Length, c.want)
			}
		})
	}
}
