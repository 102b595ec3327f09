package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"shoal/internal/swarmtest"
)

// The files go on lying where they always were, on a web server of others; the repository beside it has only what is signed. A machine fetches them from there, and
// verifies them.
func TestPublishedWebSeedDelivers(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	var sent atomic.Int64
	files := func(dir string) string {
		server := http.FileServer(http.Dir(dir))
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/myapp/") {
				sent.Add(1)
			}
			server.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL + "/"
	}
	cdn := files(h.Path("cdn"))
	tree := swarmtest.Tree(t, h.Path("cdn", "myapp", "app-1"), 1<<20)
	one := swarmtest.File(t, h.Path("cdn", "myapp", "tool.bin"), 300_000)
	repo := h.Path("repo")
	h.Run("init", repo, "--plain-keys").Succeed()
	h.Run("publish", tree, "--as", "app@1", "--channel", "stable", "--repo", repo, "--web-seed", cdn+"myapp/").Succeed()
	h.Run("publish", one, "--as", "tool@1", "--channel", "stable", "--repo", repo, "--web-seed", cdn+"myapp/tool.bin", "--in-place").Succeed()
	if err := os.RemoveAll(filepath.Join(repo, "public", "content")); err != nil {
		t.Fatal(err)
	}
	base := files(filepath.Join(repo, "public"))
	out := h.Path("out")
	for source, want := range map[string]string{"app:stable": "app-1", "tool:stable": "tool.bin"} {
		before := sent.Load()
		done := h.Run("get", base+source, "--root", filepath.Join(repo, "root.json"), "-o", out).Succeed().Expect("done")
		swarmtest.Same(t, h.Path("cdn", "myapp", want), filepath.Join(out, want))
		if sent.Load() == before || done.Int("bytes") == 0 {
			t.Errorf("%s: %d requests to the web seed: %v", source, sent.Load()-before, done)
		}
	}
	// What has changed there is not what was signed, for a machine that has nothing.
	if err := os.WriteFile(one, make([]byte, 300_000), 0o644); err != nil {
		t.Fatal(err)
	}
	failed := h.Run("get", base+"tool:stable", "--root", filepath.Join(repo, "root.json"), "--state-dir", h.Path("other"), "-o", h.Path("again"), "--stall-timeout", "2s")
	if hint := failed.Fail(exitStalled).Expect("error").String("hint"); hint != "" {
		t.Errorf("nothing is kept, and the hint is %q", hint)
	}
	if _, err := os.Stat(h.Path("again", "tool.bin")); err == nil {
		t.Error("changed content has come to its place")
	}
}

// Where there is one server and nobody else, and what it has is wrong, the content is what is wrong, and not that nothing comes.
func TestOnlyServerIsWrong(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	file := swarmtest.File(t, h.Path("web", "file"), 300_000)
	s := httptest.NewServer(http.FileServer(http.Dir(h.Path("web"))))
	defer s.Close()
	h.Run("create", file, "-o", h.Path("web", "file.torrent"), "--web-seed", s.URL+"/file").Succeed()
	if err := os.WriteFile(file, make([]byte, 300_000), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Run("get", s.URL+"/file.torrent", "-o", h.Path("out"), "--stall-timeout", "1s").Fail(exitCorrupt)
	if _, err := os.Stat(h.Path("out", "file")); err == nil {
		t.Error("changed content has come to its place")
	}
}
