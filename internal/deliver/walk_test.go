package deliver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWalk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 10 {
		path := filepath.Join(dir, fmt.Sprint(i%2), fmt.Sprint(i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, make([]byte, i), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		path  string
		most  int // entries
		bytes int64
		files int
		over  bool
	}{
		{"all", "", 12, 45, 10, false},
		{"too many entries", "", 11, 45, 9, true},
		{"too many bytes", "", 12, 0, 2, true}, // at most: the first may be empty
		{"one directory", "1", 5, 25, 5, false},
		{"a file", "1/9", 0, 9, 1, false},
		{"a file that is too large", "1/9", 0, 8, 1, true},
	} {
		var names []string
		var total int64
		over, err := walk(filepath.Join(dir, filepath.FromSlash(c.path)), c.most, func(name string, size int64) bool {
			names = append(names, name)
			total += size
			return total <= c.bytes
		})
		slices.Sort(names)
		if err != nil || over != c.over || len(names) > c.files || !over && len(names) < c.files {
			t.Errorf("%s: %s, over %v, %v, want %d files, over %v", c.name, strings.Join(names, " "), over, err, c.files, c.over)
		}
	}
	if _, err := walk(filepath.Join(dir, "none"), 1, nil); err == nil {
		t.Error("what is not there has no error")
	}
}
