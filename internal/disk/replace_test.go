package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, text := range []string{"one", "two", ""} {
		if err := ReplaceFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("read %q, %v, want %q", b, err, text)
		}
	}
	if err := ReplaceFile(filepath.Join(dir, "none", "file"), nil, 0o600); err == nil {
		t.Error("writing into a directory that is not there succeeded")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSyncFiles(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 2 * manyFiles {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := ReplaceFile(paths[i], nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 1, 2 * manyFiles} {
		if err := SyncFiles(paths[:n]); err != nil {
			t.Errorf("%d files: %v", n, err)
		}
	}
	if err := SyncFiles([]string{filepath.Join(dir, "none")}); err == nil {
		t.Error("syncing what is not there succeeded")
	}
}
