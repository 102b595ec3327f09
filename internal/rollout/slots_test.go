package rollout

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openBolt(t *testing.T, path string) Store {
	t.Helper()
	s, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSlots(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "state.db")
	config := SlotsConfig{PerGroup: 2, Now: func() time.Time { return now }}
	store := openBolt(t, path)
	s := NewSlots(store, config)
	token := func(group, id string, want uint64) {
		t.Helper()
		h, err := s.Acquire(t.Context(), group, id, nil)
		if want == 0 {
			if !errors.Is(err, ErrTaken) {
				t.Fatalf("%s of %s: %+v, %v; want all taken", id, group, h, err)
			}
			return
		}
		if err != nil || h.Token != want {
			t.Fatalf("%s of %s: %+v, %v; want token %d", id, group, h, err, want)
		}
	}
	token("a", "one", 1)
	token("a", "two", 2)
	token("a", "one", 1)
	token("a", "three", 0)
	token("b", "three", 3) // another group has slots of its own
	if err := s.Release(t.Context(), "a", "nobody"); err != nil {
		t.Fatal(err)
	}
	token("a", "three", 0)
	// The file outlives the process.
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s = NewSlots(openBolt(t, path), config)
	token("a", "three", 0)
	if err := s.Release(t.Context(), "a", "one"); err != nil {
		t.Fatal(err)
	}
	token("a", "three", 4)
	// A lease that is renewed goes on; one that is not ends.
	now = now.Add(50 * time.Minute)
	token("a", "three", 4)
	now = now.Add(20 * time.Minute)
	token("a", "four", 5)
	token("a", "two", 0)
}

func TestHandler(t *testing.T) {
	s := NewSlots(openBolt(t, filepath.Join(t.TempDir(), "state.db")), SlotsConfig{PerGroup: 1})
	h := &Handler{s, slog.New(slog.DiscardHandler)}
	ask := func(method, path, header, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if header != "" {
			r.Header.Set("fleet-lock-protocol", header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	params := func(id, group string) string { return fmt.Sprintf(`{"client_params":{"id":%q,"group":%q}}`, id, group) }
	for _, tt := range []struct {
		what, method, path, header, body string
		status                           int
		token                            string
	}{
		{"a slot", "POST", AcquirePath, "true", params("a", "default"), 200, "1"},
		{"the same again", "POST", AcquirePath, "true", params("a", "default"), 200, "1"},
		{"another machine", "POST", AcquirePath, "true", params("b", "default"), 409, ""},
		{"given back", "POST", ReleasePath, "true", params("a", "default"), 200, ""},
		{"given back twice", "POST", ReleasePath, "true", params("a", "default"), 200, ""},
		{"then it is free", "POST", AcquirePath, "true", params("b", "default"), 200, "2"},
		{"without the header", "POST", AcquirePath, "", params("c", "default"), 400, ""},
		{"by a link", "GET", AcquirePath, "true", "", 405, ""},
		{"no JSON", "POST", AcquirePath, "true", "x", 400, ""},
		{"no id", "POST", AcquirePath, "true", params("", "default"), 400, ""},
		{"a strange group", "POST", AcquirePath, "true", params("c", "../x"), 400, ""},
		{"too much", "POST", AcquirePath, "true", params(strings.Repeat("c", 5000), "default"), 400, ""},
	} {
		w := ask(tt.method, tt.path, tt.header, tt.body)
		if w.Code != tt.status || w.Header().Get(TokenHeader) != tt.token {
			t.Errorf("%s: %d, token %q; want %d, %q", tt.what, w.Code, w.Header().Get(TokenHeader), tt.status, tt.token)
		}
		if w.Code != http.StatusOK && !bytes.Contains(w.Body.Bytes(), []byte(`"kind":`)) {
			t.Errorf("%s: %s", tt.what, w.Body)
		}
	}
}
