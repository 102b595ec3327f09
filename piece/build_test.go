package piece

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// build builds or fails the test.
func build(t testing.TB, path string, c BuildConfig) (*Torrent, *BuildReport) {
	t.Helper()
	tor, report, err := Build(context.Background(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	return tor, report
}

// TestBuildEqualsLibtorrent builds what libtorrent built: same info dictionary, so same hash.
func TestBuildEqualsLibtorrent(t *testing.T) {
	tree := makeTree(t, "tree", true)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "one", "f"), pattern(40000, 5))
	put(t, filepath.Join(dir, "pair", "f"), pattern(40000, 5))
	put(t, filepath.Join(dir, "pair", "empty"), nil)
	for _, c := range []struct{ golden, path string }{
		{"tree", tree}, {"file", filepath.Join(tree, "z.bin")}, {"exec", filepath.Join(tree, "bin/run")}, {"small", filepath.Join(tree, "a.txt")},
		{"one", filepath.Join(dir, "one")}, {"pair", filepath.Join(dir, "pair")},
	} {
		for _, format := range []Format{V1, V2, Hybrid} {
			golden := goldens + "libtorrent-" + format.String() + "-" + c.golden + ".torrent"
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			for _, workers := range []int{1, 3} {
				tor, _ := build(t, c.path, BuildConfig{Format: format, PieceLength: 32768, Workers: workers})
				var got bytes.Buffer
				if err := tor.Write(&got); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%s, %d workers:\ngot  %q\nwant %q", golden, workers, got.Bytes(), want)
				}
			}
		}
	}
}

// TestBuildEqualsOthers compares the v1 hash of a single file with that of mktorrent.
func TestBuildEqualsOthers(t *testing.T) {
	want, err := ReadFile(goldens + "mktorrent-v1-file.torrent")
	if err != nil {
		t.Fatal(err)
	}
	tor, _ := build(t, filepath.Join(makeTree(t, "tree", false), "z.bin"), BuildConfig{Format: V1, PieceLength: 32768})
	if tor.V1 != want.V1 {
		t.Errorf("info hash %v, want %v", tor.V1, want.V1)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"empty", func(dir string) error { return nil }, "no content"},
		{"only empty files", func(dir string) error { return os.WriteFile(dir+"/f", nil, 0o644) }, "no content"},
		{"link out", func(dir string) error { return os.Symlink("../../etc/passwd", dir+"/l") }, "leaves the tree"},
		{"absolute link", func(dir string) error { return os.Symlink(dir+"/f", dir+"/l") }, "absolute"},
		{"link to a strange name", func(dir string) error { return os.Symlink("nul", dir+"/l") }, "device"},
		{"link up from a link", func(dir string) error {
			if err := os.Symlink(".", dir+"/here"); err != nil {
				return err
			}
			return os.Symlink("here/../f", dir+"/l")
		}, "no directory"},
		{"device name", func(dir string) error { return os.WriteFile(dir+"/aux.c", []byte("x"), 0o644) }, "device"},
		{"trailing dot", func(dir string) error { return os.WriteFile(dir+"/x.", []byte("x"), 0o644) }, "dot"},
		{"newline", func(dir string) error { return os.WriteFile(dir+"/x\ny", []byte("x"), 0o644) }, "control"},
		{"case", func(dir string) error {
			if err := os.WriteFile(dir+"/X", []byte("x"), 0o644); err != nil {
				return err
			}
			return os.WriteFile(dir+"/x", []byte("x"), 0o644)
		}, "only in case"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			_, _, err := Build(context.Background(), dir, BuildConfig{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q and the path", err, c.want)
			}
		})
	}
	if _, _, err := Build(context.Background(), filepath.Join(t.TempDir(), "gone"), BuildConfig{}); !os.IsNotExist(err) {
		t.Errorf("a missing path gives %v", err)
	}
	for _, n := range []int64{-1, 1, 8192, 40000, 512 << 20} {
		if _, _, err := Build(context.Background(), goldens, BuildConfig{PieceLength: n}); err == nil || !strings.Contains(err.Error(), "piece length") {
			t.Errorf("piece length %d gives %v", n, err)
		}
	}
}

// TestBuildWritesLeaves checks the flat file of leaves against the pieces.
func TestBuildWritesLeaves(t *testing.T) {
	for _, pieceLength := range []int64{16 << 10, 64 << 10} {
		f, err := os.Create(filepath.Join(t.TempDir(), "leaves"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tor, _ := build(t, makeTree(t, "tree", true), BuildConfig{Format: Hybrid, PieceLength: pieceLength, Leaves: f, Workers: 2})
		for p := range tor.NumPieces() {
			tree := fileTree{in: tor.Info, file: tor.FileOfPiece(p), from: f, cached: -1}
			if err := tree.load(p); err != nil {
				t.Errorf("piece %d of %d: %v", p, pieceLength, err)
			}
		}
		for i := range tor.Files {
			if layer := tor.Layer(i); layer != nil {
				if got, err := tor.LayerFrom(i, f); err != nil || !bytes.Equal(got, layer) {
					t.Errorf("the layer of file %d from its leaves differs: %v", i, err)
				}
			}
		}
	}
}

func TestBuildProgressAndCancel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, pattern(5<<20, 1))
	var last int64
	_, _ = build(t, path, BuildConfig{Workers: 1, Progress: func(done, total int64) {
		if done <= last || total != 5<<20 {
			t.Errorf("progress %d of %d behind %d", done, total, last)
		}
		last = done
	}})
	if last != 5<<20 {
		t.Errorf("progress ends at %d", last)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var after atomic.Int64
	_, _, err := Build(ctx, path, BuildConfig{Workers: 2, Progress: func(done, total int64) {
		cancel()
		after.Store(done)
	}})
	if !errors.Is(err, context.Canceled) || after.Load() > 1<<20 {
		t.Errorf("cancelled: error %v after %d bytes", err, after.Load())
	}
}

// TestBuildNoticesChanges changes a file while it is read.
func TestBuildNoticesChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for name, change := range map[string]func() error{
		"truncated": func() error { return os.Truncate(path, 100) },
		"longer":    func() error { return os.Truncate(path, 3<<20) },
		"replaced": func() error {
			if err := os.Rename(path, path+".old"); err != nil {
				return err
			}
			return os.WriteFile(path, pattern(2<<20, 2), 0o644)
		},
	} {
		put(t, path, pattern(2<<20, 1))
		s, err := scan(context.Background(), path, "")
		if err != nil {
			t.Fatal(err)
		}
		in, _, err := plan(s, BuildConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := hashAll(context.Background(), in, s, path, BuildConfig{}); err == nil || !strings.Contains(err.Error(), "changed while") {
			t.Errorf("%s: got %v, want an error that says so", name, err)
		}
	}
}

// TestBuildSkipsHoles compares a sparse file with the same bytes written out.
func TestBuildSkipsHoles(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, 3<<20+100)
	copy(data[1<<20:], pattern(1000, 1))
	for name, sparse := range map[string]bool{"sparse": true, "full": false} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !sparse {
			_, err = f.Write(data)
		} else if err = f.Truncate(int64(len(data))); err == nil {
			_, err = f.WriteAt(data[1<<20:1<<20+1000], 1<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for _, format := range []Format{V1, V2, Hybrid} {
		sparse, _ := build(t, filepath.Join(dir, "sparse"), BuildConfig{Name: "f", Format: format})
		full, _ := build(t, filepath.Join(dir, "full"), BuildConfig{Name: "f", Format: format})
		if sparse.V1 != full.V1 || sparse.V2 != full.V2 {
			t.Errorf("%v: a sparse file has another hash", format)
		}
	}
}

func TestChoose(t *testing.T) {
	many := func(n int, length int64) []File {
		files := make([]File, n)
		for i := range files {
			files[i].Length = length
		}
		return files
	}
	for _, c := range []struct {
		name   string
		c      BuildConfig
		dir    bool
		files  []File
		format Format
		length int64
	}{
		{"tiny file", BuildConfig{}, false, many(1, 5), Hybrid, 64 << 10},
		{"64 MiB", BuildConfig{}, false, many(1, 64<<20), Hybrid, 64 << 10},
		{"1 GiB", BuildConfig{}, false, many(1, 1<<30), Hybrid, 1 << 20},
		{"100 GiB", BuildConfig{}, false, many(1, 100<<30), Hybrid, 8 << 20},
		{"large files", BuildConfig{}, true, many(10, 100<<20), Hybrid, 512 << 10},
		{"middle files need smaller pieces", BuildConfig{}, true, many(2000, 300000), Hybrid, 16 << 10},
		{"small files", BuildConfig{}, true, many(50000, 1000), V2, 64 << 10},
		{"small files, hybrid wanted", BuildConfig{Format: Hybrid}, true, many(50000, 1000), Hybrid, 64 << 10},
		{"length wanted", BuildConfig{PieceLength: 1 << 20}, true, many(10, 100<<20+1), Hybrid, 1 << 20},
		{"length wanted that pads too much", BuildConfig{PieceLength: 1 << 20}, true, many(1000, 1<<20-300<<10), V2, 1 << 20},
		{"v1", BuildConfig{Format: V1}, true, many(50000, 1000), V1, 64 << 10},
	} {
		format, length, notice, err := choose(c.c, c.dir, c.files)
		if err != nil || format != c.format || length != c.length || (notice != "") != (c.c.Format == Auto && format == V2) {
			t.Errorf("%s: %v, %d, %q, %v, want %v, %d", c.name, format, length, notice, err, c.format, c.length)
		}
	}
}

// TestWrittenTargets has links whose text alone would be read as another target.
func TestWrittenTargets(t *testing.T) {
	root := filepath.Join(t.TempDir(), "t")
	for _, name := range []string{"x/f", "x/d/g", "d/g", "f"} {
		put(t, filepath.Join(root, name), []byte("content of "+name))
	}
	links := map[string]string{
		"x/near": "f", "x/up": "../f", "x/dir": "d", "x/deep": "d/g", "x/gone": "nowhere", "x/also": "d/nowhere", "x/here": ".", "x/top": "..", "x/d/way": "../../x/d/g", "round": "x/../f", "self": "self",
	}
	for name, text := range links {
		if err := os.Symlink(text, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"x/near": "x/f", "x/up": "f", "x/dir": "x/d", "x/deep": "x/d/g", "x/gone": "x/nowhere", "x/also": "x/d/nowhere", "x/here": "x", "x/top": ".", "x/d/way": "x/d/g",
		"round": "f", "self": "self"}
	for _, format := range []Format{V1, V2, Hybrid} {
		tor, _ := build(t, root, BuildConfig{Format: format})
		found := 0
		for i := range tor.Files {
			f := &tor.Files[i]
			if f.Symlink == nil {
				continue
			}
			found++
			name := strings.Join(f.Path, "/")
			if got := strings.Join(f.Symlink, "/"); got != want[name] {
				t.Errorf("%v: %s links to %s, want %s", format, name, got, want[name])
			}
		}
		if found != len(links) {
			t.Errorf("%v: %d links, want %d", format, found, len(links))
		}
	}
}

// What is left out is told of: empty directories, and bits of a mode that make a program another one. An ordinary mode is not.
func TestWhatIsLeftOutIsTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes here")
	}
	for _, c := range []struct {
		name string
		mode os.FileMode
		want bool
	}{
		{"setuid", 0o755 | os.ModeSetuid, true},
		{"setgid", 0o755 | os.ModeSetgid, true},
		{"sticky", 0o644 | os.ModeSticky, true},
		{"private", 0o600, false},
		{"for everyone", 0o777, false},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		file := filepath.Join(dir, "tool")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(file, []byte("tool"), 0o644), os.Chmod(file, c.mode)); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(file); err != nil || fi.Mode() != c.mode {
			t.Skipf("%s: not to be had here: %v, %v", c.name, fi.Mode(), err)
		}
		_, report, err := Build(t.Context(), dir, BuildConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(strings.Join(report.Notices, "\n"), file); told != c.want {
			t.Errorf("%s: notices %q, want the file among them: %v", c.name, report.Notices, c.want)
		}
	}
}
