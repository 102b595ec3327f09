package deliver

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"shoal/piece"
)

func archiveOf(t testing.TB) (*piece.Torrent, []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for name, text := range map[string]string{"a/text": strings.Repeat("text\n", 10_000), "b": "b", "empty": ""} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	x, _, err := piece.Build(t.Context(), dir, piece.BuildConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteArchive(t.Context(), &b, x, dir, nil); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	var told []int64
	if err := WriteArchive(t.Context(), &again, x, dir, func(done, _ int64) { told = append(told, done) }); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("made twice, an archive has two forms; %v", err)
	}
	if n := len(told); n < 3 || told[n-1] != x.Length {
		t.Errorf("progress %v of %d, want some of it within the larger file", told, x.Length)
	}
	return x, b.Bytes()
}

type memoryFile struct {
	bytes.Buffer
	closed bool
}

func (m *memoryFile) Close() error { m.closed = true; return nil }

// unpack unpacks all of an archive into memory.
func unpack(b []byte, v2 piece.Hash32) (map[string]*memoryFile, error) {
	a, err := openArchive(bytes.NewReader(b), v2)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	files := map[string]*memoryFile{}
	return files, a.files(func(i int) (io.WriteCloser, error) {
		f := &memoryFile{}
		files[a.info.Files[i].Name(a.info)] = f
		return f, nil
	})
}

func TestArchive(t *testing.T) {
	x, b := archiveOf(t)
	files, err := unpack(b, x.V2)
	if err != nil || len(files) != 2 || files["tree/b"].String() != "b" || files["tree/a/text"].Len() != 50_000 || !files["tree/b"].closed {
		t.Errorf("unpacked %v, %v", files, err)
	}
	if _, err := unpack(b, piece.Hash32{1}); !errors.Is(err, ErrBadArchive) {
		t.Errorf("an archive of another release: %v, want ErrBadArchive", err)
	}
	for n := range len(b) { // a stranger's, or half of one
		if files, err := unpack(b[:n], x.V2); err != nil && !errors.Is(err, ErrBadArchive) || err == nil && len(files) < 2 {
			t.Fatalf("the first %d of %d bytes: %v, want ErrBadArchive", n, len(b), err)
		}
	}
	gone := errors.New("nobody has it")
	if _, err := openArchive(io.MultiReader(bytes.NewReader(b[:20]), failing{gone}), x.V2); !errors.Is(err, gone) || errors.Is(err, ErrBadArchive) {
		t.Errorf("bytes that do not come: %v, want what kept them", err)
	}
}

// An archive that has more than its release may is not unpacked to its end: here each header of a next member is followed by another one.
func TestArchiveWithoutEnd(t *testing.T) {
	x, b := archiveOf(t)
	whole := tarOf(t, b)
	var header bytes.Buffer
	random := make([]byte, 400_000)
	rand.NewChaCha8([32]byte{9}).Read(random)
	w := tar.NewWriter(&header)
	if err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": hex.EncodeToString(random)}}), w.Flush()); err != nil {
		t.Fatal(err)
	}
	local := header.Bytes()
	local[156] = tar.TypeXHeader // the sum in octal digits, of which no other changes: g is 103, x is 120
	sum, err := strconv.ParseInt(strings.Trim(string(local[148:156]), " \x00"), 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	copy(local[148:], fmt.Sprintf("%06o\x00 ", sum+tar.TypeXHeader-tar.TypeXGlobalHeader))
	evil := append(whole[:512+(len(x.Bytes)+511)/512*512], bytes.Repeat(local, 20)...)
	all := packed(t, evil)
	source := &io.LimitedReader{R: bytes.NewReader(all), N: int64(len(all))}
	a, err := openArchive(source, x.V2)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	err = a.files(func(int) (io.WriteCloser, error) { return &memoryFile{}, nil })
	if !errors.Is(err, ErrBadArchive) || source.N < int64(len(all))/2 {
		t.Errorf("%v, %d of %d bytes are not read, want ErrBadArchive, and more than half of them", err, source.N, len(all))
	}
}

// tarOf is what an archive has before it is compressed, and packed compresses it.
func tarOf(t testing.TB, archive []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b, err := d.DecodeAll(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func packed(t testing.TB, tar []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(tar, nil)
}

// Whatever an archive has, a file gets as many bytes as the release says, and no more.
func FuzzArchive(f *testing.F) {
	x, b := archiveOf(f)
	f.Add(tarOf(f, b))
	f.Fuzz(func(t *testing.T, tar []byte) {
		files, err := unpack(packed(t, tar), x.V2)
		if err != nil && !errors.Is(err, ErrBadArchive) {
			t.Fatalf("%v, want ErrBadArchive", err)
		}
		for i := range x.Files {
			name := x.Files[i].Name(x.Info)
			if m := files[name]; m != nil && (!m.closed || int64(m.Len()) > x.Files[i].Length || err == nil && int64(m.Len()) < x.Files[i].Length) {
				t.Fatalf("%s got %d bytes, of %d; %v", name, m.Len(), x.Files[i].Length, err)
			}
		}
	})
}

// failing is a source whose bytes do not come.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, &sourceError{f.err} }
