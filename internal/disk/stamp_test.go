package disk

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestStampSeesEachKindOfChange(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no ctime and inode there")
	}
	for _, c := range []struct {
		name   string
		change func(path string) error
		equal  bool
	}{
		{"nothing", func(string) error { return nil }, true},
		{"read", func(p string) error { _, err := os.ReadFile(p); return err }, true},
		{"longer", func(p string) error { return os.Truncate(p, 8) }, false},
		{"other bytes, mtime set back", func(p string) error {
			fi, err := os.Stat(p)
			if err != nil {
				return err
			}
			if err := os.WriteFile(p, []byte("evil"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(p, time.Time{}, fi.ModTime())
		}, false},
		{"replaced by an equal copy", func(p string) error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			return WriteFile(p, b, 0o644)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte("good"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := stamp(t, path)
			time.Sleep(20 * time.Millisecond) // file systems count time in ticks of up to 10 ms
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			if after := stamp(t, path); before.Equal(after) != c.equal {
				t.Errorf("equal = %v, want %v\nbefore %+v\nafter  %+v", !c.equal, c.equal, before, after)
			}
		})
	}
	if (Stamp{}).Equal(Stamp{}) {
		t.Error("a stamp that was never taken equals itself")
	}
}

func stamp(t *testing.T, path string) Stamp {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := StampOf(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBootID(t *testing.T) {
	id := BootID()
	if runtime.GOOS == "linux" && len(id) != 36 {
		t.Errorf("BootID() = %q, want a UUID", id)
	}
	if id != BootID() {
		t.Errorf("BootID changed from %q to %q without a boot", id, BootID())
	}
	if SameBoot("") || SameBoot("another") {
		t.Error("an unknown or another boot was taken for this one")
	}
	if id != "" && !SameBoot(id) {
		t.Error("this boot was not recognised")
	}
}
