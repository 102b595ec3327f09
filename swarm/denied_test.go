package swarm

import (
	"net/http"
	"testing"
	"time"

	"shoal/piece"
)

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
