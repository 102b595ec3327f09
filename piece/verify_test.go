package piece

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// verify verifies or fails the test.
func verify(t testing.TB, in *Info, path string, c VerifyConfig) *Report {
	t.Helper()
	r, err := Verify(context.Background(), in, path, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bare is the same torrent without piece layers.
func bare(t testing.TB, in *Info) *Info {
	t.Helper()
	again, err := ParseInfo(in.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// states is "name:state[pieces]" for each bad file.
func states(in *Info, r *Report) string {
	var s []string
	for _, f := range r.Files {
		s = append(s, fmt.Sprintf("%s:%v%v", strings.Join(in.Files[f.File].Path, "/"), f.State, f.Pieces))
	}
	return strings.Join(s, " ")
}

// TestVerifyGoldens verifies the tree with the torrents that other programs made of it.
func TestVerifyGoldens(t *testing.T) {
	tree, plain := makeTree(t, "tree", true), makeTree(t, "plain", false)
	for golden, path := range map[string]string{
		"libtorrent-v1-tree": tree, "libtorrent-v2-tree": tree, "libtorrent-hybrid-tree": tree, "mktorrent-v1-tree": plain, "transmission-v1-tree": plain,
		"mktorrent-v1-file": filepath.Join(plain, "z.bin"), "libtorrent-hybrid-file": filepath.Join(plain, "z.bin"),
	} {
		tor, err := ReadFile(goldens + golden + ".torrent")
		if err != nil {
			t.Fatal(err)
		}
		r := verify(t, tor.Info, path, VerifyConfig{})
		// Neither mktorrent nor transmission-create writes executable bits: they are not missed.
		if states(tor.Info, r) != "" || len(r.BadPieces) > 0 || r.Good != tor.Length || r.Total != tor.Length {
			t.Errorf("%s: %v %s, want all good", golden, r, states(tor.Info, r))
		}
	}
}

func TestVerifyNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name      string
		do        func(root string) error
		v1, v2    string // states of the files
		bad1, bad int    // bad pieces in v1; in v2 and hybrid
	}{
		{"flip", func(root string) error { return flip(filepath.Join(root, "z.bin"), 40000) }, "z.bin:corrupt[6]", "z.bin:corrupt[13]", 1, 1},
		{"flip between files", func(root string) error { return flip(filepath.Join(root, "a.txt"), 0) }, ".hidden:corrupt[0] a/deep/f.txt:corrupt[0] a-b:corrupt[0] a.txt:corrupt[0] b/exact:corrupt[0]",
			"a.txt:corrupt[3]", 1, 1},
		{"missing", func(root string) error { return os.Remove(filepath.Join(root, "dup1")) }, "dup1:missing[3 4]", "dup1:missing[8 9]", 2, 2},
		{"directory missing", func(root string) error { return os.RemoveAll(filepath.Join(root, "b")) }, "b/empty:missing[] b/exact:missing[0 1]", "b/empty:missing[] b/exact:missing[4]", 2, 1},
		{"file for a directory", func(root string) error {
			if err := os.RemoveAll(filepath.Join(root, "b")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, "b"), nil, 0o644)
		}, "b/empty:missing[] b/exact:missing[0 1]", "b/empty:missing[] b/exact:missing[4]", 2, 1},
		{"short", func(root string) error { return os.Truncate(filepath.Join(root, "z.bin"), 40000) }, "z.bin:short[6 7 8]", "z.bin:short[13 14 15]", 3, 3},
		{"long", func(root string) error { return os.Truncate(filepath.Join(root, "z.bin"), 100002) }, "z.bin:long[]", "z.bin:long[]", 0, 0},
		{"one byte short", func(root string) error { return os.Truncate(filepath.Join(root, "z.bin"), 100000) }, "z.bin:short[8]", "z.bin:short[15]", 1, 1},
		{"not empty", func(root string) error { return os.WriteFile(filepath.Join(root, "b/empty"), []byte("x"), 0o644) }, "b/empty:long[]", "b/empty:long[]", 0, 0},
		{"mode", func(root string) error { return os.Chmod(filepath.Join(root, "bin/run"), 0o644) }, "bin/run:mode[]", "bin/run:mode[]", 0, 0},
		{"mode and content", func(root string) error {
			if err := os.Chmod(filepath.Join(root, "z.bin"), 0o755); err != nil {
				return err
			}
			return flip(filepath.Join(root, "z.bin"), 100000)
		}, "z.bin:corrupt[8] ünï ☃.txt:corrupt[8]", "z.bin:corrupt[15]", 1, 1},
		{"directory for a file", func(root string) error {
			if err := os.Remove(filepath.Join(root, "a.txt")); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(root, "a.txt"), 0o755)
		}, "a.txt:type[0]", "a.txt:type[3]", 1, 1},
		{"symlink for a file", func(root string) error {
			if err := os.Remove(filepath.Join(root, "a.txt")); err != nil {
				return err
			}
			return os.Symlink("a-b", filepath.Join(root, "a.txt"))
		}, "a.txt:type[0]", "a.txt:type[3]", 1, 1},
		{"file for a symlink", func(root string) error {
			if err := os.Remove(filepath.Join(root, "zlink")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, "zlink"), nil, 0o644)
		}, "zlink:type[]", "zlink:type[]", 0, 0},
		{"another target", func(root string) error {
			if err := os.Remove(filepath.Join(root, "zlink")); err != nil {
				return err
			}
			return os.Symlink("/etc/passwd", filepath.Join(root, "zlink"))
		}, "zlink:link[]", "zlink:link[]", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := makeTree(t, "tree", true)
			if err := c.do(root); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"v1", "v2", "hybrid"} {
				tor, err := ReadFile(goldens + "libtorrent-" + kind + "-tree.torrent")
				if err != nil {
					t.Fatal(err)
				}
				want, bad := c.v2, c.bad
				if kind == "v1" {
					want, bad = c.v1, c.bad1
				}
				r := verify(t, tor.Info, root, VerifyConfig{Workers: 2})
				got := states(tor.Info, r)
				if got != want || len(r.BadPieces) != bad || r.OK() {
					t.Errorf("%s: got %q, bad pieces %v, want %q, %d", kind, got, r.BadPieces, want, bad)
				}
				var good int64
				for p := range tor.NumPieces() {
					off, n := tor.PieceSpan(p)
					for s := range tor.Segments(off, n) {
						if !slices.Contains(r.BadPieces, p) {
							good += s.Length
						}
					}
				}
				if r.Good != good || r.Total != tor.Length {
					t.Errorf("%s: %d of %d bytes are good, want %d of %d", kind, r.Good, r.Total, good, tor.Length)
				}
			}
		})
	}
}

// flip changes one bit.
func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 4
	_, err = f.WriteAt(b, at)
	return err
}

// TestVerifyWithoutLayers has nothing but the info dictionary, as after a magnet link.
func TestVerifyWithoutLayers(t *testing.T) {
	root := makeTree(t, "tree", true)
	for _, format := range []Format{V2, Hybrid} {
		tor, _ := build(t, root, BuildConfig{Format: format, PieceLength: 32768})
		in := bare(t, tor.Info)
		if r := verify(t, in, root, VerifyConfig{}); !r.OK() || !in.HasLayers() {
			t.Errorf("%v: %v, has layers: %v", format, r, in.HasLayers())
		}
		in = bare(t, tor.Info)
		if err := flip(filepath.Join(root, "z.bin"), 40000); err != nil {
			t.Fatal(err)
		}
		want := map[Format]string{V2: "z.bin:corrupt[12 13 14 15]", Hybrid: "z.bin:corrupt[13]"}[format]
		if got := states(in, verify(t, in, root, VerifyConfig{})); got != want {
			t.Errorf("%v: %q, want %q", format, got, want)
		}
		if err := flip(filepath.Join(root, "z.bin"), 40000); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifySelected(t *testing.T) {
	root := makeTree(t, "tree", true)
	if err := os.Remove(filepath.Join(root, "dup2")); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"v1", "hybrid"} {
		tor, err := ReadFile(goldens + "libtorrent-" + kind + "-tree.torrent")
		if err != nil {
			t.Fatal(err)
		}
		var read int64
		r := verify(t, tor.Info, root, VerifyConfig{Workers: 1, Select: func(i int) bool { return tor.Files[i].Path[0] == "z.bin" },
			Progress: func(done, total int64) {
				if read = done; done > total {
					t.Errorf("%s: read %d of %d", kind, done, total)
				}
			}})
		// In v1 the first piece of z.bin holds the end of dup2, without which it cannot be told.
		if len(r.Files) > 0 || len(r.BadPieces) > 0 || r.Total != 100001 || (len(r.Unchecked) == 1) != (kind == "v1") || r.OK() == (kind == "v1") {
			t.Errorf("%s: %+v", kind, r)
		}
		if read == 0 || read > 100001+32768 {
			t.Errorf("%s: read %d bytes", kind, read)
		}
	}
}

func TestVerifyMissingAll(t *testing.T) {
	tor, err := ReadFile(goldens + "libtorrent-hybrid-tree.torrent")
	if err != nil {
		t.Fatal(err)
	}
	r := verify(t, tor.Info, filepath.Join(t.TempDir(), "gone"), VerifyConfig{})
	if len(r.Files) != len(tor.Files) || len(r.BadPieces) != tor.NumPieces() || r.Good != 0 || r.Files[0].State != Missing {
		t.Errorf("got %v", r)
	}
	if _, err := Verify(context.Background(), tor.Info, goldens+"README.md", VerifyConfig{}); err == nil {
		t.Error("a file was taken for a tree")
	}
}

// TestVerifyUnreadable has a file that may not be read, which root may.
func TestVerifyUnreadable(t *testing.T) {
	root := makeTree(t, "tree", true)
	tor, _ := build(t, root, BuildConfig{Format: Hybrid, PieceLength: 32768})
	v := verification{in: tor.Info, path: root, pieces: make([]pieceState, tor.NumPieces()), files: make([]FileReport, len(tor.Files)), stats: make([]FileStat, len(tor.Files)), selected: make([]bool, len(tor.Files))}
	v.src = newSource(tor.Info, v.pathOf)
	v.look()
	i := slices.IndexFunc(tor.Files, func(f File) bool { return f.Path[0] == "dup1" })
	v.unreadable(i, os.ErrPermission)
	r := v.report()
	if len(r.Files) != 1 || r.Files[0].State != Unreadable || !errors.Is(r.Files[0].Err, os.ErrPermission) || len(r.BadPieces) != 2 || !strings.Contains(r.String(), "1 unreadable") {
		t.Errorf("got %v: %s", r, states(tor.Info, r))
	}
}

// TestVerifyRefusesALyingHybrid has a torrent whose halves describe different bytes.
func TestVerifyRefusesALyingHybrid(t *testing.T) {
	root := makeTree(t, "tree", true)
	tor, _ := build(t, filepath.Join(root, "z.bin"), BuildConfig{PieceLength: 32768, Format: Hybrid})
	b := slices.Clone(tor.Bytes)
	b[len(b)-3] ^= 1 // in the last v1 hash
	for _, layers := range []bool{true, false} {
		in, err := ParseInfo(b)
		if err != nil {
			t.Fatal(err)
		}
		if layers {
			if err := in.SetLayer(0, tor.Layer(0)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Verify(context.Background(), in, filepath.Join(root, "z.bin"), VerifyConfig{})
		if !errors.Is(err, ErrBadTorrent) {
			t.Errorf("with layers %v: got %v, %v, want ErrBadTorrent", layers, r, err)
		}
	}
}

func TestVerifyCancel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, pattern(5<<20, 1))
	tor, _ := build(t, path, BuildConfig{})
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := Verify(ctx, tor.Info, path, VerifyConfig{Progress: func(done, total int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestVerifyShortOfZeros: what is missing at the end is not there, even if it would be zeros.
func TestVerifyShortOfZeros(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zeros")
	if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<20)); err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{V1, V2, Hybrid} {
		tor, _ := build(t, path, BuildConfig{Format: format, PieceLength: 16 << 10})
		if err := os.Truncate(path, 1<<20-100<<10); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, tor.Info, path, VerifyConfig{}); len(r.BadPieces) != 7 || r.Good != 57<<14 || len(r.Files) != 1 || r.Files[0].State != Short {
			t.Errorf("%v: %v, bad pieces %v, want the last seven", format, r, r.BadPieces)
		}
		if err := os.Truncate(path, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
}
