package piece

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lengths are around what changes the shape of a tree.
var lengths = rapid.OneOf(rapid.SampledFrom([]int{0, 0, 1, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 131072, 200000}), rapid.IntRange(0, 300000))

// drawTree draws a tree below a new directory and returns its path.
func drawTree(t *rapid.T, dir string) string {
	root, err := os.MkdirTemp(dir, "tree")
	if err != nil {
		t.Fatal(err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		t.Fatal(err)
	}
	names := rapid.SampledFrom([]string{"a", "b", "c", "d", ".e", "f.txt", "ü", "a b", "z-", "a-"})
	paths := rapid.SliceOfNDistinct(rapid.SliceOfN(names, 1, 3), 1, 12, func(p []string) string { return strings.Join(p, "/") }).Draw(t, "paths")
	content := false
	for i, p := range paths {
		full := filepath.Join(root, filepath.Join(p...))
		above := filepath.Dir(full)
		if os.MkdirAll(above, 0o755) != nil {
			continue // a file stands in the way
		}
		if real, err := filepath.EvalSymlinks(above); err != nil || real != above {
			continue // a link to a directory does: the name would be at another depth
		}
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		if rapid.IntRange(0, 5).Draw(t, "link") == 0 {
			target := rapid.SampledFrom([]string{"a", "b/c", ".", "../a", "./b"}).Draw(t, "target")
			if len(p) > 1 || !strings.HasPrefix(target, "..") {
				if err := os.Symlink(target, full); err != nil {
					t.Fatal(err)
				}
				continue
			}
		}
		n := lengths.Draw(t, "length")
		content = content || n > 0
		mode := rapid.SampledFrom([]os.FileMode{0o644, 0o755}).Draw(t, "mode")
		if err := os.WriteFile(full, pattern(n, uint32(i)), mode); err != nil {
			t.Fatal(err)
		}
	}
	if !content {
		if err := os.WriteFile(filepath.Join(root, "content"), []byte("c"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestBuiltTreesVerify: what was built verifies; it reads back as it was written; and a flipped byte is found in its piece.
func TestBuiltTreesVerify(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		root := drawTree(t, dir)
		defer os.RemoveAll(root)
		c := BuildConfig{
			Name: "tree", Format: rapid.SampledFrom([]Format{Auto, Hybrid, V1, V2}).Draw(t, "format"), PieceLength: rapid.SampledFrom([]int64{0, 16 << 10, 32 << 10, 128 << 10}).Draw(t, "piece length"),
			Workers: rapid.IntRange(1, 4).Draw(t, "workers"),
		}
		tor, report, err := Build(t.Context(), root, c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read(bytes.NewReader(tor.encode()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.encode(), tor.encode()) || !again.HasLayers() || len(report.Stats) != len(again.Files) {
			t.Fatal("it reads back as something else")
		}
		r, err := Verify(t.Context(), again.Info, root, VerifyConfig{Workers: c.Workers})
		if err != nil || !r.OK() || r.Good != tor.Length {
			t.Fatalf("verified: %v, %v", r, err)
		}
		flipSomewhere(t, again.Info, root)
	})
}

// flipSomewhere changes a bit, expects its piece and no other to be bad, and changes it back.
func flipSomewhere(t *rapid.T, in *Info, root string) {
	at := rapid.Int64Range(0, in.Length-1).Draw(t, "at")
	for s := range in.Segments(0, in.Space()) {
		if at -= s.Length; at >= 0 {
			continue
		}
		offset := s.Length + at
		path := filepath.Join(root, filepath.Join(in.Files[s.File].Path...))
		if err := flip(path, offset); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(t.Context(), in, root, VerifyConfig{})
		if err != nil {
			t.Fatal(err)
		}
		want := int((s.Offset + offset) / in.PieceLength)
		named := slices.ContainsFunc(r.Files, func(f FileReport) bool {
			return f.File == s.File && f.State == Corrupt && slices.Contains(f.Pieces, want)
		})
		if !slices.Equal(r.BadPieces, []int{want}) || !named {
			t.Fatalf("flipped %s at %d: %s, bad pieces %v, want %d", path, offset, states(in, r), r.BadPieces, want)
		}
		return
	}
}

// TestListsOfFilesHaveSoundGeometry: whatever list of files with pads a v1 torrent has.
func TestListsOfFilesHaveSoundGeometry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieceLength := rapid.SampledFrom([]int64{1, 7, 100, 16384}).Draw(t, "piece length")
		b := []byte("d5:filesl")
		var space, content int64
		for i := range rapid.IntRange(1, 20).Draw(t, "files") {
			n := rapid.Int64Range(0, 250).Draw(t, "length")
			pad := rapid.Bool().Draw(t, "pad")
			b = append(b, 'd')
			if pad {
				b = append(b, "4:attr1:p"...)
			} else {
				content += n
			}
			b = appendInt(append(b, "6:length"...), n)
			b = appendStrings(append(b, "4:path"...), []string{fmt.Sprint("f", i)})
			b = append(b, 'e')
			space += n
		}
		b = appendInt(append(b, "e4:name1:n12:piece length"...), pieceLength)
		b = appendString(append(b, "6:pieces"...), make([]byte, (space+pieceLength-1)/pieceLength*20))
		in, err := ParseInfo(append(b, 'e'))
		if content == 0 {
			if err == nil {
				t.Fatal("accepted without content")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if in.Length != content || in.Space() != space {
			t.Fatalf("%d bytes in %d, want %d in %d", in.Length, in.Space(), content, space)
		}
		checkGeometry(t, in)
	})
}
