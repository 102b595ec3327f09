package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// More directories than stay open are used side by side, and each name leads to its own file.
func TestDirs(t *testing.T) {
	dir := t.TempDir()
	d, err := OpenDirs(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const dirs = 2 * mostDirs
	name := func(i int) string { return filepath.Join("a", fmt.Sprint(i), "file") }
	for i := range dirs {
		if err := d.Root().MkdirAll(filepath.Dir(name(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < dirs; i += 4 {
				temporary := fmt.Sprint("temporary", i)
				f, err := d.OpenFile(temporary, os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = fmt.Fprint(f, i)
				if err := errors.Join(err, f.Close(), d.Rename(temporary, name(i)), d.Chmod(name(i), 0o640)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, name(i)))
		if err != nil || string(b) != fmt.Sprint(i) {
			t.Errorf("%s is %q, %v, want its number", name(i), b, err)
		}
		if st, err := d.Lstat(name(i)); err != nil || st.Size() != int64(len(b)) {
			t.Errorf("%s: %v, %v, want what was written", name(i), st, err)
		}
	}
	if n := len(d.open); n > mostDirs {
		t.Errorf("%d directories are open, want %d at most", n, mostDirs)
	}
}

// Nothing leads out of the directory.
func TestDirsStayInside(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "in"), 0o755), os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600),
		os.Symlink("..", filepath.Join(dir, "in", "up")), os.Symlink("../secret", filepath.Join(dir, "in", "link"))); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirs(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"../secret", "up/secret", "link", "..", "nothing/../../secret", filepath.Join(dir, "secret"), ""} {
		if f, err := d.Open(name); err == nil {
			f.Close()
			t.Errorf("%s was opened, want that it leads nowhere", name)
		}
		if _, err := d.Lstat(filepath.Join(name, "x")); err == nil {
			t.Errorf("something lies in %s, want that it leads nowhere", name)
		}
		if err := d.Rename(name, "stolen"); err == nil && name != "link" {
			t.Errorf("%s was moved, want that it stays", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "secret")); err != nil {
		t.Error(err)
	}
	if _, err := d.Lstat("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want that it does not exist", err)
	}
}
