package seeder

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

// counted counts what a server sends and how often it is asked.
type counted struct {
	net.Listener
	sent     atomic.Int64
	requests atomic.Int64
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{conn, c}, nil
}

type countedConn struct {
	net.Conn
	of *counted
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.of.sent.Add(int64(len(b))) // before: the client may be done when Write returns
	return c.Conn.Write(b)
}

func serveCounted(t testing.TB, public string) (*counted, *url.URL) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{Listener: ln}
	h := ServeRepository(public)
	s := &httptest.Server{Listener: c, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		w.Header().Set("Server", "Shoal/1.0.0")
		h.ServeHTTP(w, r)
	})}}
	s.Start()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return c, u
}

func newRepository(t testing.TB, apps, releases int) *release.Repository {
	t.Helper()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Update(t.Context(), func(tx *release.Tx) error {
		for a := range apps {
			app := fmt.Sprintf("app%d", a)
			for v := range releases {
				rel := release.Release{App: app, Version: fmt.Sprint(v), Platform: "any", Artefacts: []release.Artefact{{Kind: "T", Name: app, V2: fmt.Sprintf("%064x", a<<32+v), Bytes: 1}}}
				if _, err := tx.Add(rel, fmt.Append(nil, a, v)); err != nil {
					return err
				}
			}
			if _, err := tx.Promote(app, fmt.Sprint(releases-1), "stable"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An update check with nothing new is two requests and 500 bytes of answers, whatever the repository has.
func TestCheckWithNothingNew(t *testing.T) {
	for _, releases := range []int{1, 400} {
		t.Run(fmt.Sprint(releases), func(t *testing.T) {
			r := newRepository(t, 1, releases)
			c, base := serveCounted(t, r.Public())
			source := deliver.Source{Kind: deliver.KindRelease, Release: deliver.Release{Repository: base, App: "app0", Channel: "stable"}}
			config := deliver.ReleaseConfig{StateDir: t.TempDir(), Root: filepath.Join(r.Dir(), "root.json"), UserAgent: "Shoal/1.0.0"}
			check := func() *deliver.Trusted {
				t.Helper()
				found, err := deliver.CheckRelease(t.Context(), source, config)
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprint(releases - 1); found.Version != want {
					t.Fatalf("version %s, want %s", found.Version, want)
				}
				return found
			}
			if check().Trust.Unchanged() {
				t.Error("the first check has found nothing new")
			}
			t.Logf("first check: %d requests, %d bytes", c.requests.Load(), c.sent.Load())
			config.Root = ""
			for range 3 {
				requests, sent := c.requests.Load(), c.sent.Load()
				if !check().Trust.Unchanged() {
					t.Error("the check has found something new")
				}
				requests, sent = c.requests.Load()-requests, c.sent.Load()-sent
				if requests > 2 || sent > 500 {
					t.Errorf("%d requests, %d bytes of answers; want at most 2, and 500", requests, sent)
				}
				t.Logf("nothing new: %d requests, %d bytes", requests, sent)
			}
			if _, err := r.Update(t.Context(), func(tx *release.Tx) error { _, err := tx.Promote("app0", fmt.Sprint(releases-1), "beta"); return err }); err != nil {
				t.Fatal(err)
			}
			if check().Trust.Unchanged() {
				t.Error("a check after a publish has found nothing new")
			}
		})
	}
}

// BenchmarkCheck is an update check with nothing new, over loopback.
func BenchmarkCheck(b *testing.B) {
	for _, releases := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprintf("releases=%d", releases), func(b *testing.B) {
			r := newRepository(b, 1, releases)
			c, base := serveCounted(b, r.Public())
			source := deliver.Source{Kind: deliver.KindRelease, Release: deliver.Release{Repository: base, App: "app0", Channel: "stable"}}
			config := deliver.ReleaseConfig{StateDir: b.TempDir(), Root: filepath.Join(r.Dir(), "root.json")}
			check := func() {
				if _, err := deliver.CheckRelease(context.Background(), source, config); err != nil {
					b.Fatal(err)
				}
			}
			check()
			requests, sent := c.requests.Load(), c.sent.Load()
			for b.Loop() {
				check()
			}
			b.ReportMetric(float64(c.requests.Load()-requests)/float64(b.N), "requests/op")
			b.ReportMetric(float64(c.sent.Load()-sent)/float64(b.N), "answer-bytes/op")
		})
	}
}
