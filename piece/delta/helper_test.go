package delta

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"shoal/piece"
)

var ctx = context.Background()

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// version writes files to a new directory below dir, and describes it. A name that ends in "@" is a symlink to its content.
func version(t fataler, dir string, files map[string][]byte) Tree {
	t.Helper()
	root, err := os.MkdirTemp(dir, "v")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		full := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if link, ok := bytes.CutSuffix([]byte(full), []byte("@")); ok {
			err = os.Symlink(string(data), string(link))
		} else {
			err = os.WriteFile(full, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return describe(t, root)
}

func describe(t fataler, root string) Tree {
	t.Helper()
	tor, _, err := piece.Build(ctx, root, piece.BuildConfig{Name: "content", Format: piece.V2})
	if err != nil {
		t.Fatal(err)
	}
	return Dir(tor.Info, root)
}

func diff(t fataler, old, new Tree, o Options) []byte {
	t.Helper()
	var patch bytes.Buffer
	s, err := Diff(ctx, old, new, &patch, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Bytes != int64(patch.Len()) {
		t.Fatalf("Stats.Bytes = %d, want %d", s.Bytes, patch.Len())
	}
	return patch.Bytes()
}

func wanted(new *piece.Info) Want { return Want{V2: new.V2, Length: new.Length} }

// memory is a Sink that keeps all.
type memory struct {
	info    *piece.Info
	changes Changes
	files   map[int]*bytes.Buffer
}

func (m *memory) Begin(new *piece.Info, c Changes) error {
	m.info, m.changes, m.files = new, c, map[int]*bytes.Buffer{}
	return nil
}

func (m *memory) Create(file int) (io.WriteCloser, error) {
	m.files[file] = &bytes.Buffer{}
	return nopCloser{m.files[file]}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// mustApply applies a patch and compares what it made with new.
func mustApply(t fataler, old, new Tree, patch []byte) {
	t.Helper()
	var m memory
	if err := Apply(ctx, old, bytes.NewReader(patch), wanted(new.Info), &m); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.info.Bytes, new.Info.Bytes) {
		t.Fatal("the info dictionary came out differently")
	}
	for i, c := range m.changes.Files {
		if !hasContent(new.Info, i) {
			continue
		}
		want := content(t, new, i)
		var got []byte
		if c.Kind >= Renamed {
			got = content(t, old, c.Old)
		} else if b := m.files[i]; b != nil {
			got = b.Bytes()
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s came out differently: %d bytes, want %d", pathOf(new.Info, i), len(got), len(want))
		}
	}
}

func content(t fataler, tree Tree, file int) []byte {
	t.Helper()
	b := make([]byte, tree.Info.Files[file].Length)
	if err := tree.readFile(file, b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// pattern is n bytes that do not compress.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
