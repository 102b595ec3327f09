package updater

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A journal that is gone or damaged is made anew, and nothing that it knew is lost.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	for _, inPlace := range []bool{false, true} {
		for name, damage := range map[string]func(path string) error{
			"emptied": func(path string) error { return os.Truncate(path, 0) },
			"cut off": func(path string) error { return os.Truncate(path, 100) },
			"zeroes":  func(path string) error { return os.WriteFile(path, make([]byte, 100), 0o644) },
			"null":    func(path string) error { return os.WriteFile(path, []byte("null"), 0o644) },
			"gone":    os.Remove,
		} {
			m := newMachine(t, inPlace)
			m.install("1")
			m.install("2")
			u, err := New(m.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Pin(""); err != nil {
				t.Fatal(err)
			}
			l := mustLayout(t, m)
			if err := damage(l.journal()); err != nil {
				t.Fatal(err)
			}
			m.shelf.offer.Version = "3"
			if c, err := Check(t.Context(), m.cfg); err != nil || c.Running != "2" || c.Pinned != "2" {
				t.Errorf("%s: a check says %+v, %v", name, c, err)
			}
			if err := m.once(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			m.has("2")
			if err := os.Remove(l.copy()); err != nil {
				t.Fatal(err)
			}
			if j := m.journal(); j.Pinned != "2" || len(j.History) != 2 || len(j.Placed) != 2 {
				t.Errorf("%s: made anew it says %+v", name, j)
			}
			if err := m.once(); err != nil || !l.known() {
				t.Errorf("%s: %v", name, err)
			}

			for _, path := range []string{l.journal(), l.copy()} { // an older shoal made no copy, and so here
				if err := os.Truncate(path, 10); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			var layout *LayoutError
			if err := m.once(); !errors.As(err, &layout) || !strings.Contains(err.Error(), "is damaged (unexpected end of JSON input)") || !strings.Contains(layout.Do, "away and name the SOURCE again") {
				t.Errorf("%s: with a damaged copy: %v", name, err)
			}
			m.has("2")
			for _, v := range []string{"1", "2"} {
				if !l.has(v) {
					t.Errorf("%s: version %s is lost", name, v)
				}
			}
		}
	}
}

func TestNewerJournal(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	if err := os.WriteFile(mustLayout(t, m).journal(), []byte(`{"format":2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	m.shelf.offer.Version = "2"
	if err := m.once(); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), "newer shoal") {
		t.Errorf("%v, want the journal of a newer shoal left alone", err)
	}
	m.has("1")
}
