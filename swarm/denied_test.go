package swarm

import (
	"net/http"
	"testing"
	"time"

	"shoal/piece"
)

// TestDenied has web seeds that do not have the content, or another one, and some that may have it later; and peers that may have it.
func TestDenied(t *testing.T) {
	x := tree{"a": random(1<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	status := func(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(code) }
	}
	bad, badPath := makeTree(t, tree{"a": random(1<<20, 2)}, piece.BuildConfig{PieceLength: 64 << 10})
	_, other := webServer(t, bad, badPath, nil)
	wrong := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		r.URL.Path = "/content/" + bad.Key() + "/" + bad.Name + "/a"
		other.ServeHTTP(w, r)
	}
	gone, busy, broken := status(http.StatusNotFound), status(http.StatusServiceUnavailable), status(http.StatusInternalServerError)
	type server = func(http.ResponseWriter, *http.Request, http.Handler)
	for _, c := range []struct {
		name     string
		servers  []server
		peers    []string
		web, all bool
	}{
		{"it is not there", []server{gone}, nil, true, true},
		{"it is another one", []server{wrong}, nil, true, true},
		{"both", []server{gone, wrong}, nil, true, true},
		{"one asks for patience", []server{gone, busy}, nil, false, false},
		{"one is ill", []server{gone, broken}, nil, false, false},
		{"a peer is away", []server{gone}, []string{"127.0.0.1:1"}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := Spec{Torrent: tor, Dir: t.TempDir(), Peers: c.peers}
			asked := make(chan struct{}, 1000)
			for _, s := range c.servers {
				url, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					s(w, r, next)
					asked <- struct{}{}
				})
				spec.WebSeeds = append(spec.WebSeeds, url)
			}
			tr := add(t, newMachine(t, Config{}), spec)
			defer tr.Close()
			if c.web {
				until(t, "denied by web seeds", func() bool { web, _ := tr.Denied(); return web })
			} else {
				until(t, "web seeds were asked", func() bool { return len(asked) >= len(c.servers) })
				time.Sleep(300 * time.Millisecond)
			}
			if c.all {
				until(t, "denied by all", func() bool { _, all := tr.Denied(); return all })
				return
			}
			if web, all := tr.Denied(); web != c.web || all != c.all {
				t.Errorf("denied by web seeds %v, by all %v; want %v and %v", web, all, c.web, c.all)
			}
		})
	}
}

// TestSpareOfOneThatDenies has a web seed with only the begin of the content, or another end of it: the rest comes from its spare.
func TestSpareOfOneThatDenies(t *testing.T) {
	x := tree{"a": random(4<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{PieceLength: 64 << 10})
	for name, deny := range map[string]func(w http.ResponseWriter, r *http.Request, next http.Handler){
		"it is gone":        func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusNotFound) },
		"it is another one": func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(&flipping{w}, r) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, given := make(chan struct{}, 1), make(chan struct{})
			first, _ := webServer(t, tor, path, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				select {
				case begun <- struct{}{}:
					next.ServeHTTP(w, r)
					close(given)
				default:
					<-given
					time.Sleep(100 * time.Millisecond) // it has arrived
					deny(w, r, next)
				}
			})
			spare, _ := webServer(t, tor, path, nil)
			if s := fetchWeb(t, Config{}, tor, x, Spec{WebSeeds: []string{first}, SpareSeeds: []string{spare}}); s.FromWebSeeds < tor.Length {
				t.Errorf("%d bytes of %d from web seeds", s.FromWebSeeds, tor.Length)
			}
		})
	}
}

// flipping gives what a server gives, but for a bit of each stretch.
type flipping struct{ http.ResponseWriter }

func (f *flipping) Write(b []byte) (int, error) {
	b = append([]byte(nil), b...)
	b[0] ^= 1
	return f.ResponseWriter.Write(b)
}
