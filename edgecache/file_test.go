package edgecache

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/internal/schedule"
	"shoal/internal/swarmtest"
	"shoal/piece"
)

// patchedOrigin is a web server with a repository of apps in several versions on channels of their own, each but the first with a small patch from the one before, and with an index.
type patchedOrigin struct {
	origin
	files map[string][]byte // what the patches and indices have, by their path in the repository

	mu   sync.Mutex
	sent map[string]int64 // bytes that were sent, by path
}

func newPatchedOrigin(t *testing.T, apps, versions, tree, patch, index int) *patchedOrigin {
	t.Helper()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	o := &patchedOrigin{files: map[string][]byte{}, sent: map[string]int64{}}
	// content puts a file of the repository's into place, and describes it.
	content := func(kind, name string, size int) (a release.Artefact, packed, body []byte) {
		file := swarmtest.File(t, filepath.Join(t.TempDir(), name), size)
		tor, _, err := piece.Build(t.Context(), file, piece.BuildConfig{PieceLength: 64 << 10, Format: piece.V2})
		if err != nil {
			t.Fatal(err)
		}
		if packed, err = deliver.PackMetainfo(tor); err != nil {
			t.Fatal(err)
		}
		if body, err = os.ReadFile(file); err == nil {
			err = os.MkdirAll(r.ContentDir(tor.Info.Key()), 0o755)
		}
		if err == nil {
			err = os.Rename(file, filepath.Join(r.ContentDir(tor.Info.Key()), name))
		}
		if err != nil {
			t.Fatal(err)
		}
		return release.Artefact{Kind: kind, Name: name, V2: tor.Info.Key(), Bytes: tor.Length, Metainfo: int64(len(packed))}, packed, body
	}
	for i := range apps {
		app, before := fmt.Sprint("app", i), release.Artefact{}
		for v := range versions {
			version := fmt.Sprint(v + 1)
			a, packed, _ := content("T", app+"-"+version+".bin", tree)
			list := []release.Patch{{Artefact: release.Artefact{Kind: "I", Name: a.Name + ".blocks", Bytes: int64(index)}, Data: bytes.Repeat([]byte(app+version), index)[:index]}}
			if v > 0 {
				p, packed, body := content("P", app+"-"+version+".patch", patch)
				p.From, p.Base = fmt.Sprint(v), before.V2
				list = append(list, release.Patch{Artefact: p, Data: body, Metainfo: packed})
			}
			before = a
			_, err := r.Update(t.Context(), func(tx *release.Tx) error {
				_, err := tx.Add(release.Release{App: app, Version: version, Platform: "any", Artefacts: []release.Artefact{a}}, packed)
				if err != nil {
					return err
				}
				if err := tx.AddPatches(app, version, "any", list); err != nil {
					return err
				}
				_, err = tx.Promote(app, version, fmt.Sprint("v", version))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	err = filepath.WalkDir(r.Public(), func(path string, d os.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, ".patch") || strings.HasSuffix(path, "+blocks")) && strings.Contains(path, "targets") {
			rel, _ := filepath.Rel(r.Public(), path)
			o.files[filepath.ToSlash(rel)], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(o.files) != apps*(2*versions-1) {
		t.Fatalf("%d small files, %v", len(o.files), err)
	}
	files := http.FileServer(http.Dir(r.Public()))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		out := &counted{ResponseWriter: w}
		files.ServeHTTP(out, q)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sent[q.URL.Path] += out.n
	}))
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	o.urls = []*url.URL{base}
	return o
}

// copies is how often the small files have crossed from the origin in the mean, whichever way.
func (o *patchedOrigin) copies() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent, all := int64(0), 0
	for path, n := range o.sent {
		if strings.HasSuffix(path, ".patch") || strings.HasSuffix(path, "+blocks") {
			sent += n
		}
	}
	for _, b := range o.files {
		all += len(b)
	}
	return float64(sent) / float64(all)
}

// askFile asks an edge for a file as its daemon does.
func askFile(e *Edge, file string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	if !e.ServeFile(w, httptest.NewRequest(http.MethodGet, "/"+file, nil)) {
		w.Code = http.StatusNotImplemented
	}
	return w
}

// Outside the windows no byte of a patch or an index is fetched that nobody asks for; who asks gets it, and of many at once the origin sees one.
func TestSmallFilesKeepToTheWindow(t *testing.T) {
	t.Parallel()
	o := newPatchedOrigin(t, 2, 3, 100_000, 30_000, 20_000)
	rates, err := schedule.ParseRates("02:00-04:00=50M")
	if err != nil {
		t.Fatal(err)
	}
	night := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := newClock(night)
	e, _ := runEdge(t, &o.origin, Config{FirstUse: true, Fill: &rates, Now: clock.now})
	settled(t, e)
	if n := o.copies(); n > 0 {
		t.Errorf("%.2f copies of patches and indices were fetched ahead before the window", n)
	}
	asked := 0
	for file, want := range o.files {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if w := askFile(e, file); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) {
					t.Errorf("%s: status %d, %d bytes, want %d", file, w.Code, w.Body.Len(), len(want))
				}
			})
		}
		all.Wait()
		if asked++; asked == 2 {
			break
		}
	}
	if n, most := o.copies(), 2*30_000.0/(4*30_000+6*20_000)*maxCopies; n == 0 || n > most {
		t.Errorf("for two of them that many asked for %.3f copies of all have come, want %.3f at most", n, most)
	}
	clock.set(night.Add(3 * time.Hour))
	until(t, "all are said to be here after the window", func() bool {
		e.nudge()
		return o.copies() >= 1 && e.Status().Fetched.FromOrigin >= 6*100_000+4*30_000+6*20_000
	})
	if n := o.copies(); n > maxCopies {
		t.Errorf("%.3f copies of them have come, want 1", n)
	}
}

// maxCopies is how often anything may cross from the origin for a whole cluster.
const maxCopies = 1.05

// A cluster's edges get patches and indices from each other, and each leads to who keeps what it does not keep.
func TestSmallFilesCrossOnce(t *testing.T) {
	t.Parallel()
	o := newPatchedOrigin(t, 4, 2, 100_000, 60_000, 50_000)
	edges := runCluster(t, &o.origin, 3, Config{FirstUse: true}, func(_ int, cfg *Config) { cfg.Cluster.Replicas = 2 })
	until(t, "each has two copies", func() bool {
		for file := range o.files {
			n := 0
			for _, e := range edges {
				c, _ := e.feeds[0].state()
				if h, _ := e.shelf.get(c.files[strings.TrimPrefix(file, "/")].key); h.whole {
					n++
				}
			}
			if n != 2 {
				return false
			}
		}
		return true
	})
	for file, want := range o.files {
		led, lacks := 0, 0
		for _, e := range edges {
			h, _ := e.shelf.get(e.feeds[0].catalog.files[strings.TrimPrefix(file, "/")].key)
			here := h.whole
			w := askFile(e, file)
			if !here { // on a busy computer an edge may have been taken for dead a moment ago, and others have kept more
				lacks++
			}
			if w.Code == http.StatusTemporaryRedirect {
				led++
				resp, err := http.Get(w.Header().Get("Location"))
				if err != nil {
					t.Fatal(err)
				}
				w.Body.Reset()
				w.Body.ReadFrom(resp.Body)
				resp.Body.Close()
				w.Code = resp.StatusCode
			}
			if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) {
				t.Errorf("%s: status %d, %d bytes, want %d", file, w.Code, w.Body.Len(), len(want))
			}
		}
		if led != lacks || lacks > 1 {
			t.Errorf("%s: %d edges lead elsewhere, want %d that do not keep it, of which there should be one", file, led, lacks)
		}
	}
	if n := o.copies(); n < 1 || n > maxCopies {
		t.Errorf("the origin has sent %.3f copies to all edges, want %.2f at most", n, maxCopies)
	}
	fromEdges := int64(0)
	for _, e := range edges {
		fromEdges += e.Status().Fetched.FromEdges
	}
	if want := int64(8 * 50_000); fromEdges < want { // of what swarms bring, these edges do not tell who gives it
		t.Errorf("%d bytes are said to come from other edges, want %d of indices at least", fromEdges, want)
	}
}

// A file that is another on disk is not given, and comes again; what nobody keeps any more goes, and what is here is here after a restart.
func TestFileHasRoomLikeAContent(t *testing.T) {
	t.Parallel()
	o := newPatchedOrigin(t, 1, 1, 100_000, 0, 40_000)
	dir := t.TempDir()
	e, stop := runEdge(t, &o.origin, Config{FirstUse: true, StateDir: dir})
	var key string
	until(t, "the index is here", func() bool {
		for k, x := range e.feeds[0].catalog.byKey {
			if x.isFile() {
				key = k
			}
		}
		h, _ := e.shelf.get(key)
		return h.whole
	})
	if raw, err := hex.DecodeString(key); err != nil || len(raw) != 32 {
		t.Fatalf("key %q", key)
	}
	stop()
	e, _ = runEdge(t, &o.origin, Config{FirstUse: true, StateDir: dir})
	for file, want := range o.files {
		if w := askFile(e, file); !bytes.Equal(w.Body.Bytes(), want) || o.copies() != 1 {
			t.Errorf("after a restart: status %d, %.2f copies from the origin", w.Code, o.copies())
		}
		if err := os.WriteFile(e.shelf.filePath(key), make([]byte, len(want)), 0o644); err != nil {
			t.Fatal(err)
		}
		if w := askFile(e, file); w.Code == http.StatusOK {
			t.Error("what is wrong was given")
		}
		if w := askFile(e, file); !bytes.Equal(w.Body.Bytes(), want) || o.copies() != 2 {
			t.Errorf("after that: status %d, %.2f copies from the origin", w.Code, o.copies())
		}
	}
	if err := e.drop(t.Context(), key, "room"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "file")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
