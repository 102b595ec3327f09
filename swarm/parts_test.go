package swarm

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/disk"
	"shoal/piece"
)

// partsTree is a tree with files of several pieces, of one, and of none, as hybrid and as v2.
func partsTree(t *testing.T, format piece.Format) (*piece.Torrent, map[string][]byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	files := map[string][]byte{"a/long": nil, "a/short": []byte("short"), "b/exact": nil, "c/empty": {}}
	for i := range 150_000 {
		files["a/long"] = append(files["a/long"], byte(i*i>>7))
	}
	files["b/exact"] = bytes.Repeat([]byte("0123456789abcdef"), 4<<10) // 64 KiB: whole pieces
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	x, _, err := piece.Build(t.Context(), dir, piece.BuildConfig{Format: format, PieceLength: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return x, files
}

// bare is the same content as its info dictionary alone describes it: without piece layers.
func bare(t *testing.T, x *piece.Torrent) *piece.Info {
	t.Helper()
	in, err := piece.ParseInfo(x.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func indexOf(t *testing.T, in *piece.Info, name string) int {
	t.Helper()
	for i := range in.Files {
		if in.Files[i].Name(in) == "tree/"+name {
			return i
		}
	}
	t.Fatalf("no file %s", name)
	return -1
}

func put(t *testing.T, p *Parts, i int, b []byte) {
	t.Helper()
	w, err := p.Create(i)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(b[:len(b)/3]), bytes.NewReader(b[len(b)/3:]))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was put together is what a transfer finds; what is wrong in it is all that the transfer lacks.
func TestPartsBecomeATransfer(t *testing.T) {
	for _, format := range []piece.Format{piece.Hybrid, piece.V2} {
		t.Run(format.String(), func(t *testing.T) {
			x, files := partsTree(t, format)
			in := bare(t, x)
			dir := t.TempDir()
			n := newMachine(t, Config{})
			p, err := n.Parts(dir, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.Parts(dir, in); !errors.Is(err, disk.ErrHeld) {
				t.Errorf("a second owner of the place: %v, want that it is held", err)
			}
			if p.Missing() != x.Length || !p.Has(indexOf(t, in, "c/empty")) {
				t.Errorf("%d bytes missing of an empty place, want %d; an empty file is always here", p.Missing(), x.Length)
			}
			long := indexOf(t, in, "a/long")
			put(t, p, long, files["a/long"])
			if !p.Has(long) || in.Layer(long) == nil {
				t.Error("a right file is not here, or its layer is not known")
			}
			bad := bytes.Clone(files["b/exact"])
			bad[40_000] ^= 1
			put(t, p, indexOf(t, in, "b/exact"), bad)
			put(t, p, indexOf(t, in, "a/short"), []byte("shore"))
			if p.Has(indexOf(t, in, "b/exact")) || p.Has(indexOf(t, in, "a/short")) {
				t.Error("wrong files count as here")
			}
			w, err := p.Create(long)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, len(files["a/long"])+1)); !errors.Is(err, piece.ErrCorrupt) {
				t.Errorf("more bytes than the file has: %v", err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			put(t, p, long, files["a/long"])
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}

			if p, err = n.Parts(dir, bare(t, x)); err != nil { // as after a restart
				t.Fatal(err)
			}
			if !p.Has(long) || p.Missing() != x.Length-int64(len(files["a/long"])) {
				t.Errorf("found again: %v, %d missing", p.Has(long), p.Missing())
			}
			p.Close()
			if got := Staged(dir, x.V2); got < x.Length {
				t.Errorf("%d bytes staged, want at least %d", got, x.Length)
			}

			tr, err := n.Add(Spec{Torrent: x, Dir: dir, Peers: []string{"127.0.0.1:1"}})
			if err != nil {
				t.Fatal(err)
			}
			until(t, "what is here is known", func() bool { return tr.Stats().Prepared })
			if s := tr.Stats(); s.Wanted-s.Have != 32<<10+5 { // one piece of two, and the short file
				t.Errorf("%d bytes to fetch, want the bad piece and the bad file: %d", s.Wanted-s.Have, 32<<10+5)
			}
			tr.Close()
			if err := DropParts(dir, x.V2); err != nil || Staged(dir, x.V2) != 0 {
				t.Errorf("%d bytes staged after all was dropped, %v", Staged(dir, x.V2), err)
			}
		})
	}
}

// A torrent whose SHA-1 half says something else is refused while it is put together.
func TestPartsOfAHybridThatDisagrees(t *testing.T) {
	x, files := partsTree(t, piece.Hybrid)
	first := bytes.Index(x.Bytes, []byte("6:pieces"))
	forged := bytes.Clone(x.Bytes)
	forged[bytes.IndexByte(forged[first+8:], ':')+first+8+1] ^= 1 // the first piece's SHA-1
	in, err := piece.ParseInfo(forged)
	if err != nil {
		t.Fatal(err)
	}
	n := newMachine(t, Config{})
	p, err := n.Parts(t.TempDir(), in)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w, err := p.Create(indexOf(t, in, "a/long"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(files["a/long"])
	if err := w.Close(); !errors.Is(err, ErrInconsistent) {
		t.Errorf("got %v, want ErrInconsistent", err)
	}
}

// What is copied counts as far as it is right, whether blocks are shared or not, and sources that are too short, too long or wrong do no harm.
func TestPartsCopy(t *testing.T) {
	x, files := partsTree(t, piece.Hybrid)
	p, err := newMachine(t, Config{}).Parts(t.TempDir(), x.Info)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	long, exact := files["a/long"], files["b/exact"]
	damaged := bytes.Clone(long)
	damaged[100_000] ^= 1
	for _, c := range []struct {
		name, file string
		content    []byte
		missing    int64 // of the file, afterwards
	}{
		{"the beginning", "a/long", long[:70_000], 150_000 - 65_536},
		{"damaged", "a/long", damaged, 32_768},
		{"more than it has", "a/long", append(bytes.Clone(long), "more"...), 0},
		{"nothing", "b/exact", nil, 65_536},
		{"all", "b/exact", exact, 0},
		{"a small one", "a/short", files["a/short"], 0},
	} {
		before := p.Missing()
		i := indexOf(t, x.Info, c.file)
		first, end := x.FilePieces(i)
		for k := first; k < end; k++ {
			if p.have.has(k) {
				before += x.PieceLen(k)
			}
		}
		path := filepath.Join(t.TempDir(), "source")
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Copy(t.Context(), i, src)
		src.Close()
		if got := p.Missing() - (before - x.Files[i].Length); err != nil || got != c.missing {
			t.Errorf("%s: %d bytes of %s are missing, %v, want %d", c.name, got, c.file, err, c.missing)
		}
	}
	if p.Missing() != 0 {
		t.Errorf("%d bytes are missing, want none", p.Missing())
	}
}

// What a fetch that was stopped had verified of a file stays when an older version of the file is copied, also where it has to be hashed first.
func TestPartsCopyKeepsWhatIsHere(t *testing.T) {
	x, files := partsTree(t, piece.Hybrid)
	dir, long := t.TempDir(), indexOf(t, x.Info, "a/long")
	copyInto := func(boot string, content []byte) (missing int64) {
		t.Helper()
		p, err := newMachine(t, Config{boot: boot}).Parts(dir, x.Info)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		path := filepath.Join(t.TempDir(), "source")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if err := p.Copy(t.Context(), long, src); err != nil {
			t.Fatal(err)
		}
		return p.Missing() - (x.Length - int64(len(files["a/long"])))
	}
	left := func() int64 { return LeftIn(dir, x.Info).Bytes() }
	without := func(from, to int) []byte {
		b := bytes.Clone(files["a/long"])
		clear(b[from:to])
		return b
	}
	if missing := copyInto("one", without(0, 40_000)); missing != 64<<10 {
		t.Fatalf("%d bytes are missing of a file of which two pieces are wrong, want %d", missing, 64<<10)
	}
	if missing := copyInto("one", without(40_000, 70_000)); missing != 32<<10 {
		t.Errorf("%d bytes are missing after a second source that has the first piece, want %d", missing, 32<<10)
	}
	if missing := copyInto("another", without(0, 140_000)); missing != 32<<10 {
		t.Errorf("%d bytes are missing after another boot, and a source that has next to nothing, want %d as before", missing, 32<<10)
	}
	if missing := copyInto("another", files["a/long"]); missing != 0 {
		t.Errorf("%d bytes are missing after a source that has all", missing)
	}
	if n := left(); n != int64(len(files["a/long"])) {
		t.Errorf("%d bytes are left of another boot, to be hashed once more, want %d", n, len(files["a/long"]))
	}
	if copyInto("", files["a/long"]); left() != int64(len(files["a/long"])) || !LeftIn(dir, x.Info).Begun(long) {
		t.Errorf("%d bytes are left of a stopped fetch, want %d", left(), len(files["a/long"]))
	}
	if err := os.Truncate(filepath.Join(dir, workDir(x.Info), "parts", partName(long)), 70_000); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 64<<10 {
		t.Errorf("%d bytes are left of a part that was cut off, want %d", n, 64<<10)
	}
}
