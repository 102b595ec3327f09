package release

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What a killed publish has left goes, what another is at and what is published stays.
func TestRemoveAbandoned(t *testing.T) {
	r := newRepo(t, InitConfig{})
	old := time.Now().Add(-25 * time.Hour)
	for name, times := range map[string][2]time.Time{".draft-1": {old, old}, ".copy-2": {old, time.Now()}, "aa": {old, old}} {
		dir := filepath.Join(r.Public(), "content", name)
		file := filepath.Join(dir, "file")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, 1000), 0o644); err != nil {
			t.Fatal(err)
		}
		for path, at := range map[string]time.Time{dir: times[0], file: times[1]} {
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	freed, err := r.RemoveAbandoned()
	if err != nil || freed != 1000 {
		t.Errorf("%d bytes were freed (%v), want 1000", freed, err)
	}
	entries, err := os.ReadDir(filepath.Join(r.Public(), "content"))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if !slices.Equal(left, []string{".copy-2", "aa"}) {
		t.Errorf("%q is left", left)
	}
}
