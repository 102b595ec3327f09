package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

// A server may leave the description to peers. When these do not have it, it is asked for all of it.
func TestReferredToNobody(t *testing.T) {
	file, torrent := describedFile(t, strings.Repeat("content ", 99_999))
	files := http.StripPrefix("/content/"+torrent.Key()+"/", http.FileServer(http.Dir(filepath.Dir(file))))
	var referred, whole atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/test")
		accept := r.Header.Get("Accept")
		switch {
		case strings.HasPrefix(r.URL.Path, "/content/"):
			files.ServeHTTP(w, r)
		case strings.Contains(accept, piece.MagnetType):
			referred.Add(1)
			http.Redirect(w, r, torrent.ShortMagnet(), http.StatusFound)
		case strings.Contains(accept, piece.MetainfoType):
			whole.Add(1)
			w.Header().Set("Content-Type", piece.MetainfoType)
			torrent.Write(w)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	src, err := Classify(server.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	without, err := Resolve(t.Context(), src, Asking{})
	if err != nil || without.Torrent == nil || referred.Load() != 0 {
		t.Fatalf("who cannot ask peers got %v, %v, and was referred %d times", without, err, referred.Load())
	}
	found, err := Resolve(t.Context(), src, Asking{Peers: true})
	if err != nil || found.Torrent != nil || found.Magnet == nil || !found.Magnet.names(torrent) {
		t.Fatalf("got %+v, %v, want a magnet link", found, err)
	}
	if want := "/content/" + torrent.Key() + "/"; len(found.Origin) != 1 || !strings.HasSuffix(found.Origin[0], want) || len(found.Peers) != 1 {
		t.Errorf("origin %v, peers %v, want the server", found.Origin, found.Peers)
	}
	if got, want := fmt.Sprint(found.Trackers), fmt.Sprintf("[[%s/announce]]", server.URL); got != want {
		t.Errorf("trackers %s, want %s: where none is named the server is one", got, want)
	}
	found.Trackers = nil // which are not there
	node := swarm.New(swarm.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); node.Run(ctx) }()
	defer func() { cancel(); <-done }()
	whole.Store(0)
	out := t.TempDir()
	tr, err := Fetch(t.Context(), node, Request{Found: *found, Dir: out, Deadline: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if n := whole.Load(); n != 1 {
		t.Errorf("the server was asked for the whole description %d times", n)
	}
	got, err := os.ReadFile(filepath.Join(out, "file"))
	want, _ := os.ReadFile(file)
	if err != nil || string(got) != string(want) {
		t.Errorf("%d bytes came, %v, want %d", len(got), err, len(want))
	}
}

// A magnet link that is none, and one from a server that is no peer, are answers like none.
func TestReferralsThatAreNone(t *testing.T) {
	_, torrent := describedFile(t, "content")
	for name, c := range map[string]struct{ server, link string }{
		"nothing":         {"Shoal/test", "magnet:?"},
		"not a hash":      {"Shoal/test", "magnet:?xt=urn:btih:content"},
		"a mutable item":  {"Shoal/test", "magnet:?xs=urn:btpk:" + strings.Repeat("ab", 32)},
		"another program": {"nginx", torrent.Magnet()},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Server", c.server)
				if strings.Contains(r.Header.Get("Accept"), piece.MagnetType) {
					http.Redirect(w, r, c.link, http.StatusFound)
					return
				}
				torrent.Write(w)
			}))
			defer server.Close()
			src, err := Classify(server.URL + "/file")
			if err != nil {
				t.Fatal(err)
			}
			if found, err := Resolve(t.Context(), src, Asking{Peers: true}); err != nil || found.Torrent == nil {
				t.Errorf("got %+v, %v, want the description", found, err)
			}
		})
	}
}

// A server that answers with a magnet link whatever is accepted is an error, and asked twice at most.
func TestReferralThatWasNotAskedFor(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "magnet:?xt=urn:btih:0123456789012345678901234567890123456789", http.StatusFound)
	}))
	defer server.Close()
	src, err := Classify(server.URL + "/file.torrent")
	if err != nil {
		t.Fatal(err)
	}
	for _, peers := range []bool{false, true} {
		asked.Store(0)
		if _, err := Resolve(t.Context(), src, Asking{Peers: peers}); !errors.Is(err, ErrNoSource) || asked.Load() > 2 {
			t.Errorf("may ask peers %v: %v after %d questions, want ErrNoSource after 2 at most", peers, err, asked.Load())
		}
	}
}
