package disk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestClone(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, 300<<10)
	rnd := rand.NewChaCha8([32]byte{1})
	rnd.Read(content)
	src := file(t, filepath.Join(dir, "src"), content)
	for _, c := range []struct {
		name              string
		dstOff, srcOff, n int64
		dstLen            int
		want              error
	}{
		{"whole file", 0, 0, 300 << 10, 0, nil},
		{"aligned range", 16 << 10, 64 << 10, 128 << 10, 1 << 20, nil},
		{"unaligned range", 3, 12345, 77777, 200 << 10, nil},
		{"nothing", 5, 5, 0, 10, nil},
		{"the last byte", 0, 300<<10 - 1, 1, 0, nil},
		{"past the end", 0, 1, 300 << 10, 0, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := bytes.Repeat([]byte{0xee}, c.dstLen)
			dst := file(t, filepath.Join(t.TempDir(), "dst"), old)
			_, err := Clone(t.Context(), dst, src, c.dstOff, c.srcOff, c.n)
			if !errors.Is(err, c.want) {
				t.Fatalf("err = %v, want %v", err, c.want)
			}
			if c.want != nil {
				return
			}
			want := make([]byte, max(int64(c.dstLen), c.dstOff+c.n))
			copy(want, old)
			copy(want[c.dstOff:], content[c.srcOff:c.srcOff+c.n])
			if c.n == 0 {
				want = old
			}
			got, err := os.ReadFile(dst.Name())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the copy differs (%d bytes, want %d), %v", len(got), len(want), err)
			}
		})
	}
}

// A source without copy_file_range (here: another file system's pseudo file) goes the plain way; so does everything outside Linux.
func TestCloneCopiesWhereTheKernelWillNot(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	src := file(t, filepath.Join(t.TempDir(), "src"), content)
	// A destination opened for appending is refused by copy_file_range (EBADF) and by pwrite alike: the error must surface, not hang.
	path := filepath.Join(t.TempDir(), "append")
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if _, err := Clone(t.Context(), dst, src, 0, 0, int64(len(content))); err == nil {
		t.Error("Clone into a file opened for appending succeeded")
	}
	if shm, err := os.MkdirTemp("/dev/shm", "shoal-test-"); err == nil { // usually another file system than TempDir
		defer os.RemoveAll(shm)
		dst := file(t, filepath.Join(shm, "dst"), nil)
		if _, err := Clone(t.Context(), dst, src, 10, 0, int64(len(content))); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(dst.Name())
		if err != nil || !bytes.Equal(got, append(make([]byte, 10), content...)) {
			t.Errorf("the copy differs, %v", err)
		}
	}
}

func TestCloneStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	src := file(t, filepath.Join(dir, "src"), make([]byte, 5000))
	dst := file(t, filepath.Join(dir, "dst"), nil)
	shared, err := Clone(ctx, dst, src, 0, 0, 5000)
	if !shared && !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want canceled", err)
	}
}

func file(t *testing.T, path string, content []byte) *os.File {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
