package blocks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"shoal/piece"
	"shoal/piece/delta"
)

// tree writes files to a directory and describes them.
func tree(t testing.TB, files map[string][]byte) delta.Tree {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	x, _, err := piece.Build(t.Context(), dir, piece.BuildConfig{Format: piece.V2, PieceLength: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return delta.Dir(x.Info, dir)
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func indexOf(t testing.TB, x delta.Tree) *Index {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, x, nil); err != nil {
		t.Fatal(err)
	}
	if got := Size(x.Info); int64(b.Len()) != got {
		t.Fatalf("an index of %d bytes, and Size says %d", b.Len(), got)
	}
	index, err := Parse(b.Bytes(), x.Info)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// A single file may be most of a release: how far it is read is told as it goes.
func TestWriteTellsProgress(t *testing.T) {
	x := tree(t, map[string][]byte{"large": random(1, 3*readSize), "small": random(2, piece.BlockSize)})
	var told []int64
	if err := Write(t.Context(), io.Discard, x, func(done, total int64) { told = append(told, done, total) }); err != nil {
		t.Fatal(err)
	}
	const all = 3 * readSize
	if want := []int64{0, all, readSize, all, 2 * readSize, all, all, all}; !slices.Equal(told, want) {
		t.Errorf("done and total: %v, want %v", told, want)
	}
}

// all are the files of a tree.
func all(x delta.Tree) (list []int) {
	for i := range x.Info.Files {
		list = append(list, i)
	}
	return list
}

// check compares what was found with what the new tree has, and counts it.
func check(t interface{ Fatalf(string, ...any) }, found *Found, new, old delta.Tree) (n int64) {
	for i := range new.Info.Files {
		f := &new.Info.Files[i]
		for b := range blocksOf(f.Length) {
			p, ok := found.At(i, b)
			if !ok {
				continue
			}
			at := int64(b) * piece.BlockSize
			want := make([]byte, min(piece.BlockSize, f.Length-at))
			got := bytes.Clone(want)
			if !readAt(new, i, want, at) || !readAt(old, p.File, got, p.Offset) || !bytes.Equal(got, want) {
				t.Fatalf("block %d of file %d is said to be at %v, where other bytes are", b, i, p)
			}
		}
		n += found.Bytes(i)
	}
	return n
}

func TestSearch(t *testing.T) {
	base := random(1, 100_000)
	insert := func(at int, b ...byte) []byte { return append(bytes.Clone(base[:at]), append(b, base[at:]...)...) }
	for _, c := range []struct {
		name     string
		old, new map[string][]byte
		least    int64 // bytes to be found
	}{
		{"the same", map[string][]byte{"a": base}, map[string][]byte{"a": base}, 100_000},
		{"another name", map[string][]byte{"a": base}, map[string][]byte{"b/c": base}, 98_304},
		{"a byte at the front", map[string][]byte{"a": base}, map[string][]byte{"a": insert(0, 1)}, 100_001 - 16_384},
		{"a byte within", map[string][]byte{"a": base}, map[string][]byte{"a": insert(50_000, 1)}, 100_001 - 16_384},
		{"bytes lost", map[string][]byte{"a": base}, map[string][]byte{"a": base[333:]}, 99_667},
		{"two files made one", map[string][]byte{"a": base[:60_000], "b": base[60_000:]}, map[string][]byte{"c": base}, 65_536},
		{"noughts", map[string][]byte{"a": make([]byte, 200_000)}, map[string][]byte{"b": make([]byte, 300_000)}, 294_912},
		{"nothing", map[string][]byte{"a": random(2, 100_000)}, map[string][]byte{"a": base}, 0},
		{"empty and short", map[string][]byte{"a": nil, "b": []byte("b")}, map[string][]byte{"a": []byte("a"), "b": base}, 0},
		{"more than is read at once", map[string][]byte{"a": append(random(3, 1<<20-9000), base...)}, map[string][]byte{"a": base}, 100_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, new := tree(t, c.old), tree(t, c.new)
			var mu sync.Mutex
			var done, of, whole int64
			for _, f := range c.old {
				if len(f) >= piece.BlockSize {
					whole += int64(len(f))
				}
			}
			found, err := Search(t.Context(), indexOf(t, new), all(new), []Old{{old, all(old)}}, func(n, total int64) {
				mu.Lock()
				defer mu.Unlock()
				done, of = max(done, n), total
			})
			if done != whole || of != whole {
				t.Errorf("told of %d of %d bytes in the end, want all %d", done, of, whole)
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := check(t, found, new, old); n < c.least {
				t.Errorf("%d bytes were found, want %d at least", n, c.least)
			}
		})
	}
}

// Whatever was cut, moved and repeated, what is found is what is there.
func TestSearchFindsNothingElse(t *testing.T) {
	stock := append(random(4, 120_000), make([]byte, 40_000)...)
	rapid.Check(t, func(r *rapid.T) {
		content := func(name string) []byte {
			var b []byte
			for range rapid.IntRange(0, 4).Draw(r, name) {
				from := rapid.IntRange(0, len(stock)-1).Draw(r, "from")
				b = append(b, stock[from:min(len(stock), from+rapid.IntRange(1, 80_000).Draw(r, "length"))]...)
			}
			return b
		}
		old := tree(t, map[string][]byte{"a": content("a"), "b": content("b"), "x": []byte("y")})
		new := tree(t, map[string][]byte{"a": content("a"), "c": content("c"), "x": []byte("x")})
		found, err := Search(t.Context(), indexOf(t, new), all(new), []Old{{old, all(old)}}, nil)
		if err != nil {
			r.Fatal(err)
		}
		check(r, found, new, old)
	})
}

func TestRoll(t *testing.T) {
	b := random(5, piece.BlockSize+100)
	h := hash(b[:piece.BlockSize])
	for i := range 100 {
		h = roll(h, b[i], b[i+piece.BlockSize])
		if want := hash(b[i+1:][:piece.BlockSize]); h != want {
			t.Fatalf("after %d bytes %x, want %x", i+1, h, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	x := tree(f, map[string][]byte{"a": random(6, 50_000), "b": random(6, 50_000), "c": random(7, 70_000), "d": nil})
	var b bytes.Buffer
	if err := Write(f.Context(), &b, x, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		index, err := Parse(b, x.Info)
		if err != nil {
			return
		}
		for i := range x.Info.Files { // whatever its weak hashes are, its leaves are right
			for n, leaf := range index.Leaves(i) {
				at := int64(n) * piece.BlockSize
				block := make([]byte, min(piece.BlockSize, x.Info.Files[i].Length-at))
				if !readAt(x, i, block, at) || piece.AppendLeaves(nil, block)[0] != leaf {
					t.Fatalf("leaf %d of file %d is not that of its block", n, i)
				}
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	content := random(8, 8<<20)
	old, new := tree(b, map[string][]byte{"a": content}), tree(b, map[string][]byte{"a": append([]byte(fmt.Sprint(1)), random(9, 8<<20)...)})
	index := indexOf(b, new)
	b.SetBytes(8 << 20)
	for b.Loop() {
		if _, err := Search(b.Context(), index, all(new), []Old{{old, all(old)}}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
