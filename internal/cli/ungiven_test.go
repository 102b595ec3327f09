package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// The origin has gone, a web server has what is signed, and the one machine left has the tree and a patch: a machine that is new fetches the tree, long before it would give
// up. Of an origin that is only restarting it fetches the archive, as it was planned.
func TestArchiveThatNobodyGives(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := h.Path("one"), h.Path("two") // of hex digits, which compress to half
	for i, dir := range []string{one, two, two} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, fmt.Sprint(i/2)), hexDigits(byte(i/2), 1<<18), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	repo := repositoryOf(h, one, two)
	root, listen := filepath.Join(repo, "root.json"), "127.0.0.1:0"
	serve := func() (origin *swarmtest.Process, base string) {
		origin = h.Start("serve", repo, "--listen", listen, "--state-dir", h.Path("origin"))
		base = origin.Expect("releases").String("url")
		origin.Expect("ready")
		return origin, base
	}
	origin, base := serve()
	_, _, port := cutURL(base)
	listen = "127.0.0.1:" + port
	giver := swarmtest.Local(t)
	peer := fmt.Sprintf("127.0.0.1:%d", giver.FreePort())
	given := giver.Start("get", base+"app:stable", "--root", root, "--from", one, "-o", giver.Path("out"), "--listen", peer, "--seed-for", "1h").Expect("done")
	if given.String("way") != "patch" {
		t.Fatalf("%v, want a patch", given)
	}
	origin.Stop()
	mirror := signedOnly(t, repo, http.StatusNotFound)
	machine := func(peers ...string) (*swarmtest.Host, *swarmtest.Process) {
		m := swarmtest.Local(t)
		args := []string{"get", mirror + "/app:stable", "--root", root, "-o", m.Path("out"), "--stall-timeout", "10m", "--deadline", "1m30s"}
		for _, p := range peers {
			args = append(args, "--peer", p)
		}
		p := m.Start(args...)
		if plan := p.Expect("plan"); plan.String("way") != "archive" {
			t.Fatalf("%v, want the archive", plan)
		}
		return m, p
	}
	m, p := machine(peer, listen)
	if done := p.Expect("done"); done.String("way") != "tree" || done.Int("from.peers")+done.Int("from.lan") < done.Int("bytes") {
		t.Errorf("the origin has gone: %v, want the tree from a peer", done)
	}
	swarmtest.Same(t, two, m.Path("out", "app-2"))
	m, p = machine(peer, listen)
	serve()
	if done := p.Expect("done"); done.String("way") != "archive" || done.Int("from.origin") == 0 {
		t.Errorf("the origin restarts: %v, want the archive from it", done)
	}
	swarmtest.Same(t, two, m.Path("out", "app-2"))
}

// The origin has gone, a web server has what is signed and puts off who asks for the rest, and another one has the tree, as the publisher has said: a machine that is new fetches it
// from there, also where peers are off.
func TestArchiveThatNobodyGivesBesideAWebSeed(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	tree := h.Path("cdn", "app-1")
	if err := errors.Join(os.MkdirAll(tree, 0o755), os.WriteFile(filepath.Join(tree, "text"), hexDigits(1, 1<<20), 0o644)); err != nil {
		t.Fatal(err)
	}
	cdn := httptest.NewServer(http.FileServer(http.Dir(h.Path("cdn"))))
	t.Cleanup(cdn.Close)
	repo := h.Path("repo")
	h.Run("init", repo, "--plain-keys").Succeed()
	h.Run("publish", tree, "--as", "app@1", "--channel", "stable", "--repo", repo, "--web-seed", cdn.URL+"/").Succeed()
	mirror := signedOnly(t, repo, http.StatusServiceUnavailable)
	for _, peers := range []string{"site", "off"} {
		m := swarmtest.Local(t)
		p := m.Start("get", mirror+"/app:stable", "--root", filepath.Join(repo, "root.json"), "-o", m.Path("out"), "--peers", peers, "--stall-timeout", "10m", "--deadline", "1m30s")
		if plan := p.Expect("plan"); plan.String("way") != "archive" {
			t.Fatalf("%v, want the archive", plan)
		}
		if done := p.Expect("done"); done.String("way") != "tree" {
			t.Errorf("%s: %v, want the tree", peers, done)
		}
		swarmtest.Same(t, tree, m.Path("out", "app-1"))
	}
}

// signedOnly is a web server that has what is signed in a repository, and answers with a status to who asks it for content.
func signedOnly(t *testing.T, repo string, status int) (url string) {
	t.Helper()
	signed := http.FileServer(http.Dir(filepath.Join(repo, "public")))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/content/") {
			w.WriteHeader(status)
			return
		}
		signed.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
