package deliver

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/piece"
)

func archiveOf(t *testing.T) (*piece.Torrent, []byte) {
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
	if err := WriteArchive(t.Context(), &again, x, dir, nil); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("made twice, an archive has two forms; %v", err)
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

// failing is a source whose bytes do not come.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, &sourceError{f.err} }
