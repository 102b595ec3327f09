package seeder

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who has read what a repository has signed may ask for its content before it is on offer: he is told to come again, and nobody is told so for good.
func TestContentThatIsNotOnOfferYetIsAwaited(t *testing.T) {
	r := initRepository(t)
	var s *Seeder
	answer := func(key, name string) (status int, again string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/content/"+key+"/"+name, nil))
		return w.Code, w.Header().Get("Retry-After")
	}
	expect := func(when, key, name string, want int) {
		t.Helper()
		if got, again := answer(key, name); got != want || (again == "1") != (want == http.StatusServiceUnavailable) {
			t.Errorf("%s: status %d, Retry-After %q; want %d", when, got, again, want)
		}
	}
	add := func(version, name string) (key string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), name)
		write(t, file, strings.Repeat(name, 50_000))
		p, err := Publish(t.Context(), r, file, PublishConfig{App: "app", Version: version, Platform: "any"})
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(p.Torrent.V2[:])
	}
	sync := func() {
		t.Helper()
		if _, err := s.SyncRepository(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	const unknown = "00000000000000000000000000000000000000000000000000000000000000ff"
	verified := map[string]bool{}
	first, second := add("1", "first"), add("2", "second")
	h := newHost(t, 0)
	s = New(Config{StateDir: t.TempDir(), Node: h.Node, Progress: func(name string) func(done, total int64) {
		if len(verified) == 0 { // the other one's turn has not come
			expect("one being verified", first, "first", http.StatusServiceUnavailable)
			expect("one that waits for that", second, "second", http.StatusServiceUnavailable)
			expect("one that there is not, meanwhile", unknown, "first", http.StatusNotFound)
		}
		verified[name] = true
		return nil
	}})
	expect("without a repository", first, "first", http.StatusNotFound)
	s.ExpectRepository(r)
	expect("before the first look", first, "first", http.StatusServiceUnavailable)
	sync()
	expect("on offer", first, "first", http.StatusOK)
	expect("on offer", second, "second", http.StatusOK)
	expect("one that there is not", unknown, "first", http.StatusNotFound)
	if len(verified) < 2 {
		t.Errorf("verified were %v, want both", verified)
	}

	third := add("3", "third")
	expect("published since", third, "third", http.StatusServiceUnavailable)
	expect("on offer before", first, "first", http.StatusOK)
	path := filepath.Join(r.ContentDir(third), "third")
	if err := os.WriteFile(path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	sync()
	expect("not what was signed", third, "third", http.StatusNotFound)
	if again := add("3", "third"); again != third {
		t.Fatalf("the same is %s, want %s", again, third)
	}
	expect("restored", third, "third", http.StatusServiceUnavailable)
	sync()
	expect("restored and offered", third, "third", http.StatusOK)
}
