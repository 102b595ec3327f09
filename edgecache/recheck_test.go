package edgecache

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/internal/swarmtest"
	"shoal/piece"
)

// fullEdge runs an edge whose quota has no room for a second copy of what it keeps, until all is here; change then changes its state directory while it is stopped.
func fullEdge(t *testing.T, o *origin, change func(dir string)) (cfg Config) {
	t.Helper()
	cfg = Config{StateDir: t.TempDir(), Quota: MinQuota, Interval: 100 * time.Millisecond}
	e, stop := runEdge(t, o, cfg)
	until(t, "all is here", func() bool { return e.Status().Kept == len(o.keys) })
	stop()
	change(cfg.StateDir)
	return cfg
}

// contentFiles are the files of all contents in a state directory.
func contentFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "content"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) != ".json" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Files that only look another way are read and are what they were: nothing of them is fetched or goes, also while there is no origin and no room for a copy.
func TestWhatOnlyLooksOtherwiseStays(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, dir string){
		"times": func(t *testing.T, dir string) {
			for _, f := range contentFiles(t, dir) {
				if err := os.Chtimes(f, noon, noon); err != nil {
					t.Fatal(err)
				}
			}
		},
		"modes": func(t *testing.T, dir string) {
			for _, f := range contentFiles(t, dir) {
				if err := os.Chmod(f, 0o775); err != nil {
					t.Fatal(err)
				}
			}
		},
		"another disk": func(t *testing.T, dir string) {
			to := dir + "-copy"
			if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(to, dir); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, 5<<20, 1<<20)
			cfg := fullEdge(t, o, func(dir string) { change(t, dir) })
			sent := o.sent.Load()
			o.down.Store(true)
			e, stop := startEdge(t, o, cfg)
			until(t, "all was read", func() bool { return e.begun.Load() && e.Status().Kept == 2 })
			if st := e.Status(); st.Fetched.Mended > 0 || len(st.Dropped) > 0 {
				t.Errorf("mended %d, dropped %v: want nothing", st.Fetched.Mended, st.Dropped)
			}
			stop()
			o.down.Store(false)
			e, _ = runEdge(t, o, cfg) // and it is remembered
			if n := e.Status().Kept; n != 2 {
				t.Errorf("%d contents are here after another start, want 2", n)
			}
			o.ask(t, e, 0)
			o.ask(t, e, 1)
			if more := o.sent.Load() - sent; more > 0 {
				t.Errorf("%d bytes were fetched again", more)
			}
		})
	}
}

// Of a file that has changed, what is right stays, though there is no room for a copy and no origin; when that is back it is asked for the rest alone.
func TestWhatIsRightOfAChangedFileStays(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	o := newOrigin(t, size, 1<<20)
	var files []fs.FileInfo
	cfg := fullEdge(t, o, func(dir string) {
		for _, path := range contentFiles(t, dir) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("other"), 300_000)
				f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, fi)
		}
	})
	before := o.sent.Load()
	o.down.Store(true)
	e, _ := startEdge(t, o, cfg)
	until(t, "they were read", func() bool { return e.Status().Fetched.Mended == 2 })
	n := int64(0)
	for _, path := range contentFiles(t, cfg.StateDir) {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		n += fi.Size()
	}
	if n < size+1<<20 {
		t.Fatalf("%d bytes are left, want all", n)
	}
	o.down.Store(false)
	wait(t, e, o)
	until(t, "they are right again", func() bool { return e.Status().Kept == 2 })
	if more := o.sent.Load() - before; more == 0 || more > 2*3*64<<10 {
		t.Errorf("%d bytes were fetched again, want two pieces of %d", more, 64<<10)
	}
	if st := e.Status(); len(st.Dropped) > 0 {
		t.Errorf("dropped %v", st.Dropped)
	}
	for _, path := range contentFiles(t, cfg.StateDir) {
		if fi, err := os.Stat(path); err != nil || !slices.ContainsFunc(files, func(was fs.FileInfo) bool { return os.SameFile(was, fi) }) {
			t.Errorf("%s is a copy, for which there was no room: %v", path, err)
		}
	}
}

// wait asks for all contents until they are served: who asks has it tried at once.
func wait(t *testing.T, e *Edge, o *origin) {
	t.Helper()
	for i := range o.keys {
		until(t, "it is served", func() bool {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, o.request(i))
			return w.Code == http.StatusOK
		})
		o.ask(t, e, i)
	}
}

// Who asks for a file that has changed, or only looks another way, waits until it is right again: 410 Gone would have him never come back.
func TestWhatIsMendedIsWaitedFor(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, 1<<20)
	e, _ := runEdge(t, o, Config{})
	until(t, "it is here", func() bool { return e.Status().Kept == 1 })
	o.ask(t, e, 0)
	path := contentFiles(t, e.cfg.StateDir)[0]
	ask := func() {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { o.ask(t, e, 0) })
		}
		all.Wait()
	}
	for range 5 {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("other"), 5)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		ask()
		until(t, "it is right again", func() bool { return e.Status().Kept == 1 })
	}
	o.down.Store(true)
	mended := e.Status().Fetched.Mended
	for range 5 {
		if err := os.Chtimes(path, noon, time.Now()); err != nil {
			t.Fatal(err)
		}
		ask()
	}
	if st := e.Status(); st.Fetched.Mended != mended || mended == 0 || st.Requests.Redirects > 0 {
		t.Errorf("%d contents were mended after %d, and %d requests were led elsewhere", st.Fetched.Mended, mended, st.Requests.Redirects)
	}
}

// What may not be read may still be right: it stays as it is, and is served when it may be read again.
func TestWhatMayNotBeReadStays(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("this user may read everything")
	}
	t.Parallel()
	o := newOrigin(t, 1<<20)
	var file string
	cfg := fullEdge(t, o, func(dir string) {
		file = contentFiles(t, dir)[0]
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
	})
	sent := o.sent.Load()
	e, _ := runEdge(t, o, cfg)
	until(t, "it was looked at", func() bool { return e.Status().Fetched.Failed > 0 })
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	wait(t, e, o)
	if more := o.sent.Load() - sent; more > 0 {
		t.Errorf("%d bytes were fetched again", more)
	}
}

// What stands in the place of a file or a directory of a content goes, and nothing beside.
func TestWhatIsInTheWayGoes(t *testing.T) {
	path := swarmtest.Tree(t, filepath.Join(t.TempDir(), "tree"), 100_000)
	s, key, tor := newShelfWith(t, path)
	e := &Edge{shelf: s}
	tree, outside := filepath.Join(s.contentDir(key), tor.Name), t.TempDir()
	for _, err := range []error{
		os.Remove(filepath.Join(tree, "bin", "tool")),
		os.MkdirAll(filepath.Join(tree, "bin", "tool", "below"), 0o755),
		os.WriteFile(filepath.Join(outside, "a file"), []byte("x"), 0o644),
		os.WriteFile(filepath.Join(tree, "beside"), []byte("x"), 0o644),
		e.clearWay(key),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(tree, "bin", "tool")); err == nil {
		t.Error("a directory in the place of a file stays")
	}
	if err := os.RemoveAll(filepath.Join(tree, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(tree, "bin")); err != nil {
		t.Skip(err)
	}
	if err := e.clearWay(key); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(tree, "bin")); err == nil {
		t.Error("a symlink in the place of a directory stays")
	}
	for _, f := range []string{filepath.Join(outside, "a file"), filepath.Join(tree, "beside")} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

// newShelfWith is a shelf that has the content at a path, whole.
func newShelfWith(t *testing.T, path string) (s *shelf, key string, tor *piece.Torrent) {
	t.Helper()
	tor, _, err := piece.Build(t.Context(), path, piece.BuildConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = openShelf(t.TempDir(), 10<<20, 0); err != nil {
		t.Fatal(err)
	}
	key = tor.Info.Key()
	if _, err := s.reserve(key, held{name: tor.Name, bytes: tor.Length, cost: costOf(tor)}, func(string) status { return status{} }, noon); err != nil {
		t.Fatal(err)
	}
	if err := s.describe(key, tor); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.contentDir(key), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(s.contentDir(key), tor.Name), os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	if err := s.keep(key, tor, noon); err != nil {
		t.Fatal(err)
	}
	return s, key, tor
}
