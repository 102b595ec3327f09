package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

func TestWriteFileReplacesTheWholeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	for _, content := range []string{"a long first version of the file", "short", ""} {
		if err := WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("after WriteFile(%q) the file holds %q, %v", content, got, err)
		}
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && fi.Mode() != 0o600 {
		t.Errorf("mode = %v, want -rw-------", fi.Mode())
	}
	noLeftovers(t, filepath.Dir(path), "node.key")
}

func TestWriteFileThatFailsLeavesTheOldFileAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := os.MkdirAll(filepath.Join(path, "child"), 0o755); err != nil { // a rename over a directory with content must fail
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new"), 0o644); err == nil {
		t.Error("WriteFile over a directory reported success")
	}
	noLeftovers(t, dir, "x")
	if err := WriteFile(filepath.Join(dir, "missing", "x"), nil, 0o644); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("WriteFile into a missing directory = %v, want not exist", err)
	}
}

// A reader must see one writer's bytes in full at any time.
func TestWriteFileIsAtomicForReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 10_000+i) }
	if err := WriteFile(path, content(0), 0o644); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := range 30 {
				if err := WriteFile(path, content(w*30+i), 0o644); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < 10_000 || !bytes.Equal(got, content(len(got)-10_000)) {
			t.Fatalf("a reader saw %d bytes that no writer wrote", len(got))
		}
		select {
		case <-done:
			noLeftovers(t, filepath.Dir(path), "state")
			return
		default:
		}
	}
}

func noLeftovers(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("directory holds %v, want %v", got, want)
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}
