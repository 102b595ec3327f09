package deliver

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shoal/piece"
)

// describedFile makes a file of some text, and the torrent of it, in small pieces.
func describedFile(t *testing.T, text string) (path string, torrent *piece.Torrent) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	torrent, _, err := piece.Build(t.Context(), path, piece.BuildConfig{PieceLength: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return path, torrent
}

// TestAsking holds what get makes of a server's answers.
func TestAsking(t *testing.T) {
	_, torrent := describedFile(t, "content")
	var b bytes.Buffer
	if err := torrent.Write(&b); err != nil {
		t.Fatal(err)
	}
	later := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	good := func(w http.ResponseWriter) { w.Write(b.Bytes()) }
	reset := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	gone := func(w http.ResponseWriter) { w.WriteHeader(http.StatusGone) }
	broken := func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	for _, c := range []struct {
		name    string
		answers []func(http.ResponseWriter) // the last one from then on
		want    error
		hint    string
		notices int32
	}{
		{"there", []func(http.ResponseWriter){good}, nil, "", 0},
		{"described while we wait", []func(http.ResponseWriter){later, later, good}, nil, "", 1},
		{"never described", []func(http.ResponseWriter){later}, ErrStalled, "still hashing", 1},
		{"started anew", []func(http.ResponseWriter){reset, good}, nil, "", 0},
		{"reset for ever", []func(http.ResponseWriter){reset}, ErrNoSource, "does the server run", 0},
		{"changed", []func(http.ResponseWriter){gone}, ErrNoSource, "has changed there", 0},
		{"out of order", []func(http.ResponseWriter){broken}, ErrNoSource, "is the name right", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked, notices atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c.answers[min(int(asked.Add(1)), len(c.answers))-1](w)
			}))
			defer server.Close()
			src, err := Classify(server.URL + "/file.torrent")
			if err != nil {
				t.Fatal(err)
			}
			found, err := Resolve(t.Context(), src, Asking{Patience: 2 * time.Second, Notice: func(string) { notices.Add(1) }})
			var e *Error
			switch {
			case !errors.Is(err, c.want) || err == nil && found.Torrent.Name != "file":
				t.Errorf("got %v, %v, want %v", found, err, c.want)
			case errors.As(err, &e) && !strings.Contains(e.Hint, c.hint):
				t.Errorf("hint %q, want one with %q", e.Hint, c.hint)
			case notices.Load() != c.notices:
				t.Errorf("%d notices, want %d", notices.Load(), c.notices)
			}
		})
	}
}

// TestAskingEnds holds that a wait ends with its context.
func TestAskingEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	src, err := Classify(server.URL + "/file.torrent")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(ctx, src, Asking{Notice: func(string) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}
