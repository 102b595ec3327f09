package edgecache

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/internal/swarmtest"
	"shoal/piece"
	"shoal/swarm"
)

// newRepositoryOrigin is a web server with a repository that has one release, of which it returns the key. While hang is set it answers nothing; hung counts
// the requests that wait for that.
func newRepositoryOrigin(t *testing.T, app string, size int) (base *url.URL, key string, hang *atomic.Bool, hung *atomic.Int64) {
	t.Helper()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	file := swarmtest.File(t, filepath.Join(t.TempDir(), app+".bin"), size)
	tor, _, err := piece.Build(t.Context(), file, piece.BuildConfig{PieceLength: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := deliver.PackMetainfo(tor)
	if err != nil {
		t.Fatal(err)
	}
	key = tor.Info.Key()
	a := release.Artefact{Kind: "T", Name: tor.Name, V2: key, Bytes: tor.Length, Metainfo: int64(len(packed))}
	if tor.HasV1 {
		a.V1 = hex.EncodeToString(tor.V1[:])
	}
	_, err = r.Update(t.Context(), func(tx *release.Tx) error {
		if _, err := tx.Add(release.Release{App: app, Version: "1.0", Platform: "any", Artefacts: []release.Artefact{a}}, packed); err != nil {
			return err
		}
		_, err := tx.Promote(app, "1.0", "stable")
		return err
	})
	if err == nil {
		err = os.MkdirAll(r.ContentDir(key), 0o755)
	}
	if err == nil {
		err = os.Rename(file, filepath.Join(r.ContentDir(key), tor.Name))
	}
	if err != nil {
		t.Fatal(err)
	}
	hang, hung = new(atomic.Bool), new(atomic.Int64)
	files, end := http.FileServer(http.Dir(r.Public())), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if hang.Load() {
			hung.Add(1)
			select {
			case <-q.Context().Done():
			case <-end:
			}
			hung.Add(-1)
			return
		}
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(end) })
	base, err = url.Parse(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return base, key, hang, hung
}

// While an origin takes a request and does not answer, all that is here goes on: what needs its repository reads the mirror.
func TestOriginThatHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const size = 200_000
	base, key, hang, hung := newRepositoryOrigin(t, "app", size)
	e, _ := runEdge(t, &origin{urls: []*url.URL{base}}, Config{FirstUse: true, Interval: 50 * time.Millisecond})
	until(t, "it is here", func() bool { return e.Status().Kept == 1 })
	hang.Store(true)
	until(t, "its origin is being asked", func() bool { return hung.Load() == 1 })
	k, _, _ := e.find(key)
	if _, err := k.from.find(t.Context(), k); err != nil {
		t.Error(err)
	}
	e.feeds[0].repository.checkpoint()
	settled(t, e)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/app@1.0/app.bin", nil))
	if w.Code != http.StatusOK || w.Body.Len() != size {
		t.Errorf("status %d, %d bytes", w.Code, w.Body.Len())
	}
	if hung.Load() != 1 {
		t.Error("its origin has been given up meanwhile: this took too long, or shows nothing")
	}
}

// What a repository has is asked for side by side the first time: here the document of a release and that of its channel, each of which comes only once both were asked for.
func TestFirstReadAsksForFilesAtOnce(t *testing.T) {
	t.Parallel()
	base, _, _, _ := newRepositoryOrigin(t, "app", 1000)
	var both sync.WaitGroup
	both.Add(2)
	met := make(chan struct{})
	go func() { both.Wait(); close(met) }()
	behind := httputil.NewSingleHostReverseProxy(base)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/targets/releases/") || strings.Contains(r.URL.Path, "/targets/channels/") {
			both.Done()
			select {
			case <-met:
			case <-r.Context().Done():
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	defer srv.Close()
	u, err := url.Parse(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	runEdge(t, &origin{urls: []*url.URL{u}}, Config{FirstUse: true})
}

// An edge that may follow none of its origins, since nobody has said who may sign there, ends; while one does not answer, or is a content, it goes on.
func TestEdgeOfUnpinnedOriginsEnds(t *testing.T) {
	t.Parallel()
	base, _, hang, hung := newRepositoryOrigin(t, "app", 1000)
	run := func(urls ...*url.URL) (e *Edge, ended <-chan error, stop func()) {
		t.Helper()
		e, err := New(Config{Origins: urls, Quota: MinQuota, StateDir: t.TempDir(), Node: swarm.New(swarm.Config{Role: swarm.RoleEdge}), Interval: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := make(chan error, 1)
		go func() { c <- e.Run(ctx) }()
		return e, c, cancel
	}
	hang.Store(true)
	_, ended, stop := run(base)
	until(t, "its origin is being asked", func() bool { return hung.Load() == 1 })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("while its origin does not answer: %v", err)
	}
	hang.Store(false)
	content := newOrigin(t, 1000)
	e, ended, stop := run(base, content.urls[0])
	until(t, "the content is known, and the repository is found to be unpinned", func() bool {
		k, _, _ := e.find(content.keys[0])
		return k != nil && e.feeds[0].unpinned()
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("with a content beside: %v", err)
	}
	_, ended, stop = run(base)
	defer stop()
	var refusal *release.Refusal
	if err := <-ended; !errors.As(err, &refusal) || refusal.Rule != release.RuleUnpinned || refusal.Hint == "" {
		t.Errorf("with its origin alive: %v, want to be told that it is not pinned, and what to do", err)
	}
}
