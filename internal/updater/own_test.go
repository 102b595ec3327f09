package updater

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// foreign puts something into versions/ that is not the updater's.
func (m *machine) foreign(name string) (path string) {
	m.t.Helper()
	path = filepath.Join(m.cfg.To, "versions", name, "db")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *machine) stillThere(path string) {
	m.t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		m.t.Errorf("%s: %q (%v), want it left alone", path, b, err)
	}
}

// refused wants the next update refused before it fetches, with a line that names what is in the way.
func (m *machine) refused(what string) {
	m.t.Helper()
	m.states()
	var l *LayoutError
	if err := m.once(); !errors.Is(err, ErrLayout) || !errors.As(err, &l) || !strings.Contains(err.Error(), what) || !strings.Contains(l.Do, "move it away") {
		m.t.Errorf("%v, want %s to be in the way", err, what)
	}
	if got := m.states(); got != "error" {
		m.t.Errorf("%s, want nothing begun", got)
	}
	if _, err := Check(m.t.Context(), m.cfg); !errors.Is(err, ErrLayout) {
		m.t.Errorf("a check says %v, want what an update says", err)
	}
}

// What others have put into versions/ stays, whatever comes of updates.
func TestForeignIsLeftAlone(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	paths := []string{m.foreign("0.9"), m.foreign("1.backup-by-admin")}
	m.shelf.offer.Version, m.cfg.Pre = "1", "false"
	var hook *HookError
	if err := m.once(); !errors.As(err, &hook) {
		t.Fatal(err)
	}
	m.cfg.Pre = ""
	for _, v := range []string{"1", "1", "2", "3"} {
		m.install(v)
	}
	for _, path := range paths {
		m.stillThere(path)
	}
	if _, err := os.Stat(filepath.Join(m.cfg.To, "versions", "1")); err == nil {
		t.Error("version 1 is still there, which is ours and not to be kept")
	}
	m.stillThere(m.foreign("1")) // where ours was taken away
	m.install("3")
	m.stillThere(m.foreign("1"))
	m.shelf.offer.Version = "1"
	m.refused(filepath.Join("versions", "1"))
}

// A version is not installed over what somebody else has put there.
func TestForeignInTheWay(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	path := m.foreign("1")
	m.shelf.offer.Version = "1"
	m.refused(filepath.Join("versions", "1"))
	m.stillThere(path)
	m.install("2")
	m.stillThere(path)

	away := filepath.Join(filepath.Dir(m.cfg.To), "elsewhere")
	link := filepath.Join(m.cfg.To, "versions", "3")
	if err := os.Symlink(away, link); err != nil {
		t.Fatal(err)
	}
	m.shelf.offer.Version = "3"
	m.refused(filepath.Join("versions", "3"))
	if got, err := os.Readlink(link); err != nil || got != away {
		t.Errorf("%s leads to %s (%v), want it as it was", link, got, err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	m.install("3")
}

// What comes in the way while a version is fetched is not replaced either.
func TestForeignComesMeanwhile(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.shelf.offer.Version = "2"
	var path string
	m.cfg.Reporter = reporterFunc(func(r Report) {
		if r.State == StateStaged {
			path = m.foreign("2")
		}
	})
	if err := m.once(); !errors.Is(err, ErrLayout) {
		t.Errorf("%v, want it refused", err)
	}
	m.stillThere(path)
	m.has("1")
}

func TestForeignCurrent(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	path := m.foreign("0.9")
	if err := os.Symlink("versions/0.9", filepath.Join(m.cfg.To, "current")); err != nil {
		t.Fatal(err)
	}
	m.shelf.offer.Version = "1"
	m.refused("leads to versions/0.9")
	m.stillThere(path)
	if got, err := os.Readlink(filepath.Join(m.cfg.To, "current")); err != nil || got != "versions/0.9" {
		t.Errorf("current leads to %s (%v), want it as it was", got, err)
	}
}

// A link to a version of ours that is gone is not in the way, also after an update that came to nothing.
func TestOwnCurrentLeadsNowhere(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	if err := os.RemoveAll(filepath.Join(m.cfg.To, "versions", "1")); err != nil {
		t.Fatal(err)
	}
	m.cfg.Pre = "false"
	for range 2 {
		if err := m.once(); err == nil || errors.Is(err, ErrLayout) {
			t.Fatalf("%v, want the hook's error", err)
		}
	}
	m.cfg.Pre = ""
	m.install("1")
}

// A journal of an older shoal does not say what is placed. The versions that it names are ours, and no others.
func TestOlderJournal(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.install("2")
	name := mustLayout(t, m).journal()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if _, ok := all["placed"]; !ok {
		t.Fatal("the journal does not say what is placed: the test shows nothing")
	}
	delete(all, "placed")
	if b, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	path := m.foreign("0.9")
	m.install("3")
	m.stillThere(path)
	if _, err := os.Stat(filepath.Join(m.cfg.To, "versions", "1")); err == nil {
		t.Error("version 1 is still there")
	}
	u, err := New(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Rollback(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	m.has("2")
}
