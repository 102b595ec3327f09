package deliver

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/internal/release"
)

// signer is a repository with made-up releases.
type signer struct {
	*release.Repository
	t *testing.T
}

func newSigner(t *testing.T) signer {
	t.Helper()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return signer{r, t}
}

// promote publishes a version, a digit, of app for any platform, in its channel stable.
func (s signer) promote(version string) {
	s.t.Helper()
	hash := strings.Repeat(version, 64)
	_, err := s.Update(s.t.Context(), func(tx *release.Tx) error {
		rel := release.Release{App: "app", Version: version, Platform: release.AnyPlatform, Artefacts: []release.Artefact{{Kind: "T", Name: "app", V2: hash, V1: hash[:40], Bytes: 1}}}
		if _, err := tx.Add(rel, []byte("metainfo")); err != nil {
			return err
		}
		_, err := tx.Promote("app", version, "stable")
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// edgeOf serves what is public in a directory, and says where else it is.
func edgeOf(t *testing.T, dir string, also ...string) *httptest.Server {
	t.Helper()
	files := http.FileServer(http.Dir(dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Server", "Shoal/test"+EdgeServer)
		for _, base := range also {
			AddDuplicate(w.Header(), base+q.URL.Path)
		}
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(s.Close)
	return s
}

// A machine whose edge is dead asks where that edge has said that the repository is as well, also when it has been started anew meanwhile, and whoever lies there is held
// against the same root.
func TestDeadEdgeIsNotTheEnd(t *testing.T) {
	t.Parallel()
	r, evil := newSigner(t), newSigner(t)
	r.promote("1")
	evil.promote("9")
	third := edgeOf(t, r.Public())
	second := edgeOf(t, r.Public(), third.URL)
	first := edgeOf(t, r.Public(), edgeOf(t, evil.Public()).URL, "http://127.0.0.1:1", second.URL)
	c := ReleaseConfig{StateDir: t.TempDir(), Root: filepath.Join(r.Dir(), "root.json")}
	check := func(what string) (*Trusted, error) {
		t.Helper()
		src, err := Classify(first.URL + "/app" + what)
		if err != nil {
			t.Fatal(err)
		}
		return CheckRelease(t.Context(), src, c)
	}
	finds := func(version, asked string) {
		t.Helper()
		found, err := check(":stable")
		if err != nil || found.Version != version || found.Asked != asked {
			t.Fatalf("found %+v, %v; want version %s from %q", found, err, version, asked)
		}
	}
	finds("1", "")
	c.Root = "" // it is pinned
	first.Close()
	finds("1", second.URL+"/")
	r.promote("2")
	finds("2", second.URL+"/")
	if _, err := check("@3"); !errors.Is(err, release.ErrRefused) {
		t.Errorf("a version that there is not: %v; want what the other edge says of it", err)
	}
	second.Close() // which has told of the third
	r.promote("3")
	finds("3", third.URL+"/")
	third.Close()
	if _, err := check(":stable"); !errors.Is(err, release.ErrRefused) {
		t.Errorf("with none left but another repository: %v, want a refusal", err)
	}
	c = ReleaseConfig{StateDir: t.TempDir(), Root: filepath.Join(r.Dir(), "root.json")}
	if _, err := check(":stable"); !errors.Is(err, ErrNoSource) {
		t.Errorf("a machine that never asked there: %v, want no source", err)
	}
}

// Of another repository where a dead edge's one is to be nothing is taken, and the user hears of it.
func TestDuplicateOfAnotherRepository(t *testing.T) {
	t.Parallel()
	r, evil := newSigner(t), newSigner(t)
	r.promote("1")
	evil.promote("9")
	first := edgeOf(t, r.Public(), edgeOf(t, evil.Public()).URL)
	c := ReleaseConfig{StateDir: t.TempDir(), Root: filepath.Join(r.Dir(), "root.json")}
	src, err := Classify(first.URL + "/app:stable")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckRelease(t.Context(), src, c); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if found, err := CheckRelease(t.Context(), src, c); !errors.Is(err, release.ErrRefused) {
		t.Errorf("found %+v, %v; want a refusal", found, err)
	}
}

// What is remembered of duplicates is bounded, and none of it is taken that could not be said today.
func TestRememberedDuplicates(t *testing.T) {
	t.Parallel()
	c := ReleaseConfig{StateDir: t.TempDir()}
	r := newSigner(t)
	r.promote("1")
	c.Root = filepath.Join(r.Dir(), "root.json")
	trusted, done, err := OpenRepository(t.Context(), r.Dir(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	server := func(i int, also ...string) *repository {
		web := newWeb(&url.URL{Scheme: "http", Host: fmt.Sprintf("10.0.0.%d", i), Path: "/"}, "")
		h := http.Header{}
		for _, base := range also {
			AddDuplicate(h, base+"x")
		}
		web.hearDuplicates(h, "x")
		return &repository{name: web.base.String(), web: web}
	}
	remember := func(s *repository) {
		t.Helper()
		if err := c.remember(trusted.ID(), s); err != nil {
			t.Fatal(err)
		}
	}
	bases := func(i int) (list []string) {
		for _, u := range c.remembered(server(i)) {
			list = append(list, u.String())
		}
		return list
	}
	for i := range maxAsked + 1 {
		remember(server(i, "http://10.0.0.1/ID/", "http://a/", "ftp://b/", "http://user@c/", "http://d/?q=", "http://e", "http://"+strings.Repeat("f", maxBase)+"/", "https://g/h/"))
	}
	if got, want := bases(2), []string{"http://10.0.0.1/ID/", "http://a/", "https://g/h/"}; !slices.Equal(got, want) {
		t.Errorf("remembered %q, want %q", got, want)
	}
	if got, want := bases(1), []string{"http://a/", "https://g/h/"}; !slices.Equal(got, want) {
		t.Errorf("remembered %q, want %q: not the server that is dead itself", got, want)
	}
	if got := bases(0); got != nil {
		t.Errorf("of the server that was asked first %q is remembered, want only the last %d servers", got, maxAsked)
	}
	other := server(20, "http://k/", "http://10.0.0.2/ID/")
	other.name, other.asked = "http://10.0.0.2/", other.name
	remember(other)
	if got, want := bases(2), []string{"http://10.0.0.20/", "http://k/", "http://10.0.0.1/ID/", "http://a/", "https://g/h/"}; !slices.Equal(got, want) {
		t.Errorf("once another one was asked for it %q are remembered, want %q", got, want)
	}
	remember(server(2)) // it was begun anew, and knows nobody
	if got := bases(2); len(got) != 5 {
		t.Errorf("a server that names nobody has it forgotten: %q", got)
	}
}
