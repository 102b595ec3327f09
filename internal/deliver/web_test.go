package deliver

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/release"
	"shoal/piece"
)

func webOf(t *testing.T, h http.HandlerFunc) *web {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	w := newWeb(u, "Shoal/test")
	t.Cleanup(w.Close)
	return w
}

// What a server can answer for a file, and what becomes of it.
func TestWeb(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"absent":    {http.NotFound, release.ErrAbsent},
		"gone":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, release.ErrAbsent},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, release.ErrAbsent},
		"broken":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, ErrNoSource},
		"unchanged": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, release.ErrUnchanged},
		"too long by its own word": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			w.Write(make([]byte, 1_000_000))
		}, release.ErrRefused},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, release.ErrRefused},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			w.Write(make([]byte, 100))
		}, ErrNoSource},
		"good": {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := webOf(t, tt.answer).Get(t.Context(), "metadata/timestamp.json", 1000, `"tag"`)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %d bytes, %v, want %v", len(b), err, tt.want)
			}
			if tt.want == nil && string(b) != "/metadata/timestamp.json" {
				t.Errorf("got %q", b)
			}
		})
	}
}

// A file that comes byte by byte is given up.
func TestSlowRetrieval(t *testing.T) {
	w := webOf(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
		}
	})
	w.time = 50 * time.Millisecond
	if b, _, err := w.Get(t.Context(), "metadata/timestamp.json", 1<<40, ""); !errors.Is(err, ErrNoSource) {
		t.Errorf("got %d bytes, %v, want ErrNoSource", len(b), err)
	}
}

// A release names its content by hash. Metainfo of another content is refused, be its name and length the same.
func TestMetainfoOfOthers(t *testing.T) {
	dir := t.TempDir()
	describe := func(name, text string) *piece.Torrent {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		x, _, err := piece.Build(t.Context(), path, piece.BuildConfig{Name: "release.bin"})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	good, evil := describe("a", "good"), describe("b", "evil")
	a := &release.Artefact{Kind: "T", Name: good.Name, V2: hex.EncodeToString(good.V2[:]), Bytes: good.Length}
	if good.HasV1 {
		a.V1 = hex.EncodeToString(good.V1[:])
	}
	unpack := func(x *piece.Torrent) error {
		t.Helper()
		packed, err := PackMetainfo(x)
		if err != nil {
			t.Fatal(err)
		}
		_, err = UnpackMetainfo(packed, a)
		return err
	}
	if err := unpack(good); err != nil {
		t.Fatal(err)
	}
	var r *release.Refusal
	if err := unpack(evil); !errors.As(err, &r) || r.Rule != release.RuleMismatch {
		t.Errorf("metainfo of another content under the same name: %v, want a refusal by the rule mismatch", err)
	}
	if _, err := UnpackMetainfo([]byte("no zstd"), a); !errors.As(err, &r) || r.Rule != release.RuleMalformed {
		t.Errorf("no zstd: %v, want a refusal by the rule malformed", err)
	}
}

// Whatever is packed, what is unpacked is what the release names.
func FuzzUnpackMetainfo(f *testing.F) {
	path := filepath.Join(f.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		f.Fatal(err)
	}
	x, _, err := piece.Build(f.Context(), path, piece.BuildConfig{})
	if err != nil {
		f.Fatal(err)
	}
	packed, err := PackMetainfo(x)
	if err != nil {
		f.Fatal(err)
	}
	a := &release.Artefact{Kind: "T", Name: x.Name, V2: hex.EncodeToString(x.V2[:]), Bytes: x.Length}
	if x.HasV1 {
		a.V1 = hex.EncodeToString(x.V1[:])
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := UnpackMetainfo(b, a)
		if err == nil && !bytes.Equal(got.Bytes, x.Bytes) {
			t.Fatal("another torrent was taken")
		}
		if err != nil && !errors.Is(err, release.ErrRefused) {
			t.Fatalf("%v, want a refusal", err)
		}
	})
}

// memoryOpener has one file.
type memoryOpener string

func (m memoryOpener) open(path string) (content, int64, error) {
	if path != "content/x/f" {
		return nil, 0, os.ErrNotExist
	}
	return sectionContent{io.NewSectionReader(strings.NewReader(string(m)), 0, int64(len(m)))}, int64(len(m)), nil
}

func TestLocalAnswersAsAServer(t *testing.T) {
	l := local{memoryOpener("0123456789")}
	for _, tt := range []struct {
		url, ranges string
		status      int
		body        string
	}{
		{"http://this-machine.invalid/content/x/f", "", 200, "0123456789"},
		{"http://this-machine.invalid/content/x/f", "bytes=2-4", 206, "234"},
		{"http://this-machine.invalid/content/x/f", "bytes=7-", 206, "789"},
		{"http://this-machine.invalid/content/x/f", "bytes=7-100", 206, "789"},
		{"http://this-machine.invalid/content/x/f", "bytes=10-", 416, ""},
		{"http://this-machine.invalid/content/x/f", "bytes=4-2", 416, ""},
		{"http://this-machine.invalid/content/x/f", "bytes=-3", 416, ""}, // nobody of ours asks so
		{"http://this-machine.invalid/content/x/g", "", 404, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", tt.ranges)
		resp, err := l.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || string(b) != tt.body || resp.ContentLength != int64(len(b)) {
			t.Errorf("%s %s: %d %q (%v), want %d %q", tt.url, tt.ranges, resp.StatusCode, b, err, tt.status, tt.body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://elsewhere.example/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := l.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Error("a request for elsewhere was answered")
	}
}

// A web server's ETag of size and second says nothing about a file that changed this second.
func TestValidator(t *testing.T) {
	const tag = `"5f-1"`
	for name, tt := range map[string]struct{ changed, now, want string }{
		"old":             {"Thu, 26 Nov 2026 12:00:00 GMT", "Thu, 26 Nov 2026 12:00:02 GMT", tag},
		"of this second":  {"Thu, 26 Nov 2026 12:00:02 GMT", "Thu, 26 Nov 2026 12:00:02 GMT", ""},
		"of the future":   {"Thu, 26 Nov 2026 13:00:02 GMT", "Thu, 26 Nov 2026 12:00:02 GMT", ""},
		"without a clock": {"Thu, 26 Nov 2026 12:00:00 GMT", "", ""},
		"by content":      {"", "Thu, 26 Nov 2026 12:00:02 GMT", tag},
	} {
		h := http.Header{"Etag": {tag}, "Last-Modified": {tt.changed}, "Date": {tt.now}}
		if got := validator(h); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// An edge leads to its origin for a file that it does not keep: it is no origin for that.
func TestServerIsNotWhereItLeadsTo(t *testing.T) {
	origin := webOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "Shoal/test")
		io.WriteString(w, "file")
	})
	edge := webOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/test"+EdgeServer)
		if r.URL.Path == "/file" {
			http.Redirect(w, r, origin.base.JoinPath("file").String(), http.StatusTemporaryRedirect)
		}
	})
	for _, path := range []string{"timestamp", "file"} {
		if _, _, err := edge.Get(t.Context(), path, 100, ""); err != nil {
			t.Fatal(err)
		}
	}
	if !edge.edge.Load() || edge.trackers() != nil {
		t.Error("an edge is taken for an origin")
	}
}

// An edge that could not ask its origin says so, and a file that only the origin has is then not told to be nowhere.
func TestEdgeWithoutItsOrigin(t *testing.T) {
	w := webOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/test"+EdgeServer)
		w.WriteHeader(http.StatusBadGateway)
	})
	_, _, err := w.Get(t.Context(), "targets/metainfo/x.torrent.zst", 100, "")
	if !errors.Is(err, ErrNoSource) || errors.Is(err, release.ErrAbsent) || !strings.Contains(err.Error(), "this edge has not got it, and its origin does not answer") {
		t.Errorf("%v; want no source, and why", err)
	}
}
