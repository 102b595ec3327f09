package deliver

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/release"
)

// An edge that is behind has nothing new for a machine that has heard more from the origin; a server that is none, and says the same, is refused.
func TestEdgeIsBehind(t *testing.T) {
	t.Parallel()
	r := newSigner(t)
	serve := func(dir, server string) string {
		t.Helper()
		files := http.FileServer(http.Dir(dir))
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Server", server)
			files.ServeHTTP(w, q)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	r.promote("1")
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(r.Public())); err != nil {
		t.Fatal(err)
	}
	r.promote("2")
	c := ReleaseConfig{StateDir: t.TempDir(), Root: filepath.Join(r.Dir(), "root.json")}
	check := func(url string) (*Trusted, error) {
		src, err := Classify(url + "/app:stable")
		if err != nil {
			t.Fatal(err)
		}
		return CheckRelease(t.Context(), src, c)
	}
	for _, url := range []string{serve(r.Public(), "Shoal/1"), serve(old, "Shoal/1"+EdgeServer)} {
		if f, err := check(url); err != nil || f.Version != "2" {
			t.Errorf("%s: %v (%v), want version 2", url, f, err)
		}
	}
	var refusal *release.Refusal
	if f, err := check(serve(old, "Shoal/1")); !errors.As(err, &refusal) || refusal.Rule != release.RuleRollback {
		t.Errorf("an origin that is behind itself: %v (%v), want a refusal", f, err)
	}
}
