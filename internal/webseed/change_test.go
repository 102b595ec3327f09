package webseed

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What was verified must still be there, or nothing is served; the owner hears of it once.
func TestChangedOrVanishedContentIsGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(path string) error
	}{
		{"vanished", os.Remove},
		{"shorter", func(p string) error { return os.Truncate(p, 3) }},
		{"longer", func(p string) error { return os.Truncate(p, 30) }},
		{"other bytes", func(p string) error { return os.WriteFile(p, []byte("content of b.txt"), 0o644) }},
		{"a directory", func(p string) error { os.Remove(p); return os.Mkdir(p, 0o755) }},
		{"a link out of the tree", func(p string) error { os.Remove(p); return os.Symlink("/etc/hostname", p) }},
		{"a named pipe", func(p string) error { os.Remove(p); return mkfifo(p) }},
		{"the whole tree away", func(p string) error { return os.RemoveAll(filepath.Dir(p)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int32
			var which atomic.Int32
			_, base, tree, _ := serveTree(t, 1, func(_ *Handler, c *Content) {
				c.Gone = func(i int, why error) {
					calls.Add(1)
					which.Store(int32(i))
					if why == nil {
						t.Error("Gone without a reason")
					}
				}
				if len(c.Files) < 2 {
					return
				}
				before, err := os.Stat(filepath.Join(c.Path, "a.txt"))
				if err != nil {
					t.Fatal(err)
				}
				c.Unchanged = func(i int, fi fs.FileInfo) error {
					if i == 0 && (!os.SameFile(fi, before) || fi.ModTime() != before.ModTime()) {
						return errors.New("another stamp")
					}
					return nil
				}
			})
			if resp, _, err := get(t, "GET", base+"/my%20tree/a.txt"); err != nil || resp.StatusCode != 200 {
				t.Fatalf("before: %v, %v", resp.Status, err)
			}
			time.Sleep(20 * time.Millisecond) // a tick of the file system's clock
			if err := c.change(filepath.Join(tree.Path, "a.txt")); err != nil {
				t.Skip(err)
			}
			for range 3 {
				resp, body, err := get(t, "GET", base+"/my%20tree/a.txt", "Range", "bytes=0-4")
				if err != nil || resp.StatusCode != 410 || bytes.Contains(body, []byte("cont")) && !bytes.Contains(body, []byte("not here")) {
					t.Fatalf("%s %q, %v; want 410", resp.Status, body, err)
				}
				if strings.Contains(string(body), tree.Path) {
					t.Errorf("the answer names a path of this machine: %q", body)
				}
			}
			if calls.Load() != 1 || tree.Files[which.Load()].Path != "a.txt" {
				t.Errorf("Gone was called %d times, last for file %d", calls.Load(), which.Load())
			}
			if c.name == "the whole tree away" {
				return
			}
			if resp, _, err := get(t, "GET", base+"/my%20tree/with%20space.txt"); err != nil || resp.StatusCode != 200 {
				t.Errorf("the tree's other files: %s, %v; want 200", resp.Status, err)
			}
		})
	}
}

// A change in the middle of a transfer must reach the client as a broken one.
func TestChangeOnTheWayBreaksTheTransfer(t *testing.T) {
	const size = 32 << 20
	for _, c := range []struct {
		name   string
		change func(h *Handler, path string) error
		gone   int32
	}{
		{"truncated", func(_ *Handler, p string) error { return os.Truncate(p, size/2) }, 1},
		{"written to", func(_ *Handler, p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 0)) }, 1},
		{"removed from the handler", func(h *Handler, _ string) error { h.Remove(keyFile); return nil }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var gone atomic.Int32
			h, base, _, file := serveTree(t, size, func(_ *Handler, c *Content) {
				c.Gone = func(int, error) { gone.Add(1) }
				if fi, err := os.Stat(c.Path); err == nil && !c.Dir {
					c.Unchanged = func(_ int, now fs.FileInfo) error {
						if now.ModTime() != fi.ModTime() {
							return errors.New("another stamp")
						}
						return nil
					}
				}
			})
			resp, err := http.Get(base + "/file.bin")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
				t.Fatal(err)
			}
			if err := c.change(h, file.Path); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("the transfer ended well after %d of %d bytes, want a broken connection", n+1000, size)
			}
			if gone.Load() != c.gone {
				t.Errorf("Gone was called %d times, want %d", gone.Load(), c.gone)
			}
			if resp, _, err := get(t, "GET", base+"/my%20tree/a.txt"); err != nil || resp.StatusCode != 200 {
				t.Errorf("another content afterwards: %v, %v", resp, err)
			}
		})
	}
}
