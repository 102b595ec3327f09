package updater

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/disk"
)

// mine puts things of the user's into a version, damages that, and has some of them lie where the release has something else. They are known by their contents.
func (m *machine) mine(version string) {
	m.t.Helper()
	at := func(name string) string { return filepath.Join(m.cfg.To, "versions", version, name) }
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	must(os.MkdirAll(at("etc/empty"), 0o750))
	must(os.WriteFile(at("local.conf"), []byte("mine: local.conf"), 0o600))
	must(os.WriteFile(at("etc/x.conf"), []byte("mine: etc/x.conf"), 0o640))
	must(os.Symlink("etc/x.conf", at("link")))
	must(os.Symlink("nowhere", at("bin/dangling")))
	must(os.WriteFile(at("bin/app"), []byte("#!/bin/sh\necho X\n"), 0o755)) // damage
	must(os.Remove(at("empty")))
	must(os.MkdirAll(at("empty"), 0o755))
	must(os.WriteFile(at("empty/in-the-way"), []byte("mine: in the way"), 0o644))
	must(os.WriteFile(at("empty.kept"), []byte("mine: a name that is taken"), 0o644))
	must(os.Rename(at("data"), at("elsewhere")))
	must(os.Symlink("elsewhere", at("data")))
}

// kept is what of the user's lies below a directory: paths by contents, or by where a link leads.
func kept(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(path, filepath.Join(dir, "opt", ".shoal")) {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		switch {
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			found["-> "+to] = rel
			return err
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if strings.HasPrefix(string(b), "mine: ") {
				found[string(b)] = rel
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (m *machine) repair(version string) (notices []string) {
	m.t.Helper()
	c := m.cfg
	c.Notice = func(text string) { notices = append(notices, text) }
	u, err := New(c)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := u.Repair(m.t.Context(), version); err != nil {
		m.t.Fatal(err)
	}
	return notices
}

// What somebody has put beside the files of a version stays when that is repaired, and what he has put in their place is kept beside them.
func TestRepairKeepsWhatIsNotTheReleases(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.mine("1")
	dir := filepath.Join(m.cfg.To, "versions", "1")
	var before fs.FileInfo
	before, err := os.Stat(filepath.Join(dir, "local.conf"))
	if err != nil {
		t.Fatal(err)
	}
	notices := m.repair("1")
	m.has("1")
	want := map[string]string{"mine: local.conf": "local.conf", "mine: etc/x.conf": "etc/x.conf", "-> etc/x.conf": "link", "-> nowhere": "bin/dangling",
		"mine: in the way": "empty.kept2/in-the-way", "mine: a name that is taken": "empty.kept", "-> elsewhere": "data.kept"}
	if got := kept(t, dir); !maps.Equal(got, want) {
		t.Errorf("kept: %v, want %v", got, want)
	}
	if after, err := os.Stat(filepath.Join(dir, "local.conf")); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
		t.Errorf("local.conf is another file now, or has another mode: %v (%v)", after.Mode(), err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "etc", "empty")); err != nil || fi.Mode().Perm() != 0o750 {
		t.Errorf("an empty directory: %v (%v)", fi, err)
	}
	if len(notices) != 2 || !strings.Contains(strings.Join(notices, "\n"), filepath.Join(dir, "empty")+" was in the way of app@1, and lies at "+filepath.Join(dir, "empty.kept2")+" now") {
		t.Errorf("notices %q, want one for each that was in the way", notices)
	}
	if notices = m.repair("1"); len(notices) > 0 || !maps.Equal(kept(t, dir), want) {
		t.Errorf("again: %q, %v, want nothing changed", notices, kept(t, dir))
	}
}

// A disk with more room may hold the versions, behind a symlink; it has to be the one that they are fetched to.
func TestVersionsBehindASymlink(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	versions, other := filepath.Join(m.cfg.To, "versions"), filepath.Join(filepath.Dir(m.cfg.To), "disk", "versions")
	if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(versions, other); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, versions); err != nil {
		t.Fatal(err)
	}
	m.install("2")
	m.mine("1")
	m.install("1")
	m.has("1")
	if got := kept(t, filepath.Join(other, "1")); len(got) != 7 {
		t.Errorf("kept: %v", got)
	}
	far := t.TempDir()
	if disk.SameDevice(far, other) { // where there is no /dev/shm
		t.Skip("all lies on one file system")
	}
	if err := errors.Join(os.Remove(versions), os.Symlink(far, versions)); err != nil {
		t.Fatal(err)
	}
	u, err := New(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Once(t.Context()); !errors.Is(err, ErrLayout) {
		t.Errorf("versions on another file system: %v, want ErrLayout", err)
	}
}

// The same where the channel goes back to a version that is kept.
func TestGoingBackKeepsWhatIsNotTheReleases(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.install("2")
	m.mine("1")
	m.install("1")
	if got := kept(t, filepath.Join(m.cfg.To, "versions", "1")); len(got) != 7 {
		t.Errorf("kept: %v", got)
	}
}

// And beside the one file of a version that is replaced in place.
func TestRepairInPlaceKeepsWhatIsNotTheReleases(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	m.install("1")
	m.install("2")
	dir := mustLayout(t, m).version("1")
	for _, name := range []string{"note", filepath.Base(m.cfg.To)} { // one is called as the file is in place
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine: "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	u, err := New(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Rollback(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	m.has("1")
	if err := os.WriteFile(m.cfg.To, []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.repair("1")
	m.has("1")
	if got := kept(t, mustLayout(t, m).version("1")); len(got) != 2 {
		t.Errorf("kept: %v", got)
	}
}

// A repair that is stopped at any moment has lost nothing of the user's, and the next one ends it.
func TestRepairStoppedAtEachStep(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		m := newMachine(t, false)
		m.install("1")
		m.mine("1")
		dir := filepath.Join(m.cfg.To, "versions", "1")
		all := kept(t, dir)
		at := m.stopRepairAt(n)
		for what := range all {
			if kept(t, dir)[what] == "" {
				t.Fatalf("stopped before %v: %q is gone", at, what)
			}
		}
		if at == "" {
			if n < 10 {
				t.Fatalf("only %d steps", n)
			}
			m.has("1")
			t.Logf("%d steps", n)
			return
		}
		if err := m.once(); err != nil { // it may go on as an update first
			t.Fatalf("stopped before %v: %v", at, err)
		}
		m.repair("1")
		m.has("1")
		for what := range all {
			if kept(t, dir)[what] == "" {
				t.Fatalf("stopped before %v, and repaired: %q is gone", at, what)
			}
		}
	}
}

// stopRepairAt repairs version 1, and stops before the nth change of the disk, as a kill does. It says where; "": there were fewer.
func (m *machine) stopRepairAt(n int) (at string) {
	m.t.Helper()
	defer func() {
		if s := recover(); s != nil {
			x, ok := s.(stopped)
			if !ok {
				panic(s)
			}
			at = fmt.Sprint(x.at)
		}
	}()
	u, err := newUpdater(m.cfg, func(o op) {
		if n--; n < 0 {
			panic(stopped{o})
		}
	})
	if err == nil {
		_, err = u.Repair(m.t.Context(), "1")
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return ""
}
