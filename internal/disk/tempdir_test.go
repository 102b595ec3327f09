package disk

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// What is left of a process that was killed goes; what is in use, is not ours, or only looks like it, stays.
func TestTempDirRemovesWhatWasLeft(t *testing.T) {
	parent, elsewhere := t.TempDir(), t.TempDir()
	used, err := NewTempDir(parent, ".x-")
	if err != nil {
		t.Fatal(err)
	}
	write := func(parts ...string) {
		t.Helper()
		path := filepath.Join(parts...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(used.Path, "file")
	write(parent, ".x-killed", "lock")
	write(parent, ".x-killed", "content", "deep", "file")
	write(parent, ".x-foreign", "file") // without a lock
	write(parent, ".x-file")
	write(parent, ".y-other", "lock")
	write(elsewhere, "lock")
	write(elsewhere, "file")
	if err := errors.Join(os.Mkdir(filepath.Join(parent, ".x-empty"), 0o700), os.Symlink(elsewhere, filepath.Join(parent, ".x-link"))); err != nil {
		t.Skip(err)
	}
	next, err := NewTempDir(parent, ".x-")
	if err != nil {
		t.Fatal(err)
	}
	names := func() (names []string) {
		entries, err := os.ReadDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	stay := []string{".x-foreign", ".x-file", ".x-link", ".y-other"}
	want := append(slices.Clone(stay), filepath.Base(used.dir), filepath.Base(next.dir))
	slices.Sort(want)
	slices.Sort(stay)
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, path := range []string{filepath.Join(used.Path, "file"), filepath.Join(elsewhere, "file"), filepath.Join(elsewhere, "lock")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(used.Close(), next.Close()); err != nil {
		t.Error(err)
	}
	if got := names(); !slices.Equal(got, stay) {
		t.Errorf("when both are closed: got %q, want %q", got, stay)
	}
}

// Many begin and end at a time: none loses its directory to another.
func TestTempDirsSideBySide(t *testing.T) {
	parent := t.TempDir()
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 30 {
				d, err := NewTempDir(parent, ".x-")
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(d.Path, "file"), nil, 0o600); err != nil {
					t.Error(err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
