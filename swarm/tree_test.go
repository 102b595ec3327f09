package swarm

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/piece"
)

// tree is what a directory holds: slash paths to content. A path that ends in "*" is executable,
// content that begins with "-> " is a symlink.
type tree map[string]string

func (x tree) write(t testing.TB, dir string) {
	t.Helper()
	for name, content := range x {
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimSuffix(name, "*")))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "-> "); {
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "*"):
			err = os.WriteFile(path, []byte(content), 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readTree is the inverse of write.
func readTree(t testing.TB, dir string) tree {
	t.Helper()
	x := tree{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			x[name] = "-> " + target
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if st.Mode()&0o111 != 0 {
			name += "*"
		}
		b, err := os.ReadFile(path)
		x[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (x tree) equal(t testing.TB, got tree) {
	t.Helper()
	for name, want := range x {
		switch have, ok := got[name]; {
		case !ok:
			t.Errorf("%s is missing", name)
		case have != want:
			t.Errorf("%s: %d bytes that differ from the %d wanted", name, len(have), len(want))
		}
	}
	for name := range got {
		if _, ok := x[name]; !ok {
			t.Errorf("%s was not asked for", name)
		}
	}
}

func random(size int, seed byte) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed, 1}).Read(b)
	return string(b)
}

// mixed has a bit of everything that a tree can hold.
func mixed() tree {
	x := tree{
		"README":                          "read me\n",
		"bin/tool*":                       random(300_000, 1),
		"bin/again*":                      random(300_000, 1), // equal content
		"bin/link":                        "-> tool",
		"lib/a/b/c/d/deep.so":             random(1_200_000, 2),
		"lib/a/b/empty":                   "",
		"lib/empty.sh*":                   "",
		"lib/a/up":                        "-> ../../README",
		"share/Übung/日本語.txt":             random(70_000, 3),
		"share/Übung/with space & +%.txt": random(16384, 4),
		"share/one":                       "1",
		"z-last-is-empty":                 "",
	}
	for i := range 30 {
		x[fmt.Sprintf("share/many/%03d", i)] = random(i*977, byte(10+i))
	}
	return x
}

// makeTree describes a tree below a temporary directory.
func makeTree(t testing.TB, x tree, c piece.BuildConfig) (*piece.Torrent, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tree")
	x.write(t, path)
	tor, _, err := piece.Build(context.Background(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	return tor, path
}

// sound checks what lies at path with piece.Verify, which knows nothing of this package.
func sound(t testing.TB, in *piece.Info, path string) {
	t.Helper()
	r, err := piece.Verify(context.Background(), in, path, piece.VerifyConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.BadPieces) > 0 || len(r.Files) > 0 {
		t.Errorf("verify: %d bad pieces, bad files %+v", len(r.BadPieces), r.Files)
	}
}

// leftovers are the names in dir besides want.
func leftovers(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func seed(t testing.TB, spec Spec) *machine {
	t.Helper()
	m := newMachine(t, Config{Role: RoleOrigin})
	if _, err := m.Add(spec); err != nil {
		t.Fatal(err)
	}
	return m
}

func add(t testing.TB, m *machine, spec Spec) *Transfer {
	t.Helper()
	tr, err := m.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var formats = []piece.Format{piece.Hybrid, piece.V1, piece.V2}

func TestTree(t *testing.T) {
	tiny := tree{}
	for i := range 1000 {
		tiny[fmt.Sprintf("d%d/%d", i%10, i)] = random(i%50, byte(i))
	}
	cases := []struct {
		name string
		tree tree
		c    piece.BuildConfig
	}{
		{"mixed", mixed(), piece.BuildConfig{}},
		{"mixed, large pieces", mixed(), piece.BuildConfig{PieceLength: 1 << 20}}, // v1: many files in one
		{"mixed, small pieces", mixed(), piece.BuildConfig{PieceLength: 16 << 10}},
		{"a thousand tiny files", tiny, piece.BuildConfig{PieceLength: 64 << 10}},
		{"one byte", tree{"a": "x"}, piece.BuildConfig{}},
	}
	for _, c := range cases {
		for _, f := range formats {
			t.Run(fmt.Sprintf("%s, %v", c.name, f), func(t *testing.T) {
				c.c.Format = f
				tor, path := makeTree(t, c.tree, c.c)
				o := seed(t, Spec{Torrent: tor, Content: path})
				dir := t.TempDir()
				m := newMachine(t, Config{})
				tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
				wait(t, tr, 20*time.Second)
				if s := tr.Stats(); s.From[Origin] != tor.Length || s.Wasted != 0 || s.Have != s.Wanted {
					t.Errorf("%d bytes of content: %+v", tor.Length, s)
				}
				tr.Close()
				c.tree.equal(t, readTree(t, filepath.Join(dir, "tree")))
				sound(t, tor.Info, filepath.Join(dir, "tree"))
				leftovers(t, dir, "tree")
			})
		}
	}
}

// TestPadded fetches a v1 torrent with pad files as other programs make it (BEP 47): Shoal itself
// makes them for hybrids only.
func TestPadded(t *testing.T) {
	x := mixed()
	hybrid, path := makeTree(t, x, piece.BuildConfig{PieceLength: 128 << 10, Format: piece.Hybrid})
	in := onlyV1(t, hybrid.Info)
	tor := &piece.Torrent{Info: in}
	o := seed(t, Spec{Torrent: tor, Content: path})
	dir := t.TempDir()
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
	wait(t, tr, 20*time.Second)
	if s := tr.Stats(); s.From[Origin] != in.Length || s.Wasted != 0 {
		t.Errorf("%d bytes of content: %+v", in.Length, s)
	}
	x.equal(t, readTree(t, filepath.Join(dir, "tree")))
	sound(t, in, filepath.Join(dir, "tree"))
}

// onlyV1 takes the v2 half out of a hybrid's info dictionary and keeps its pads.
func onlyV1(t testing.TB, in *piece.Info) *piece.Info {
	t.Helper()
	b := in.Bytes
	cut := func(key string, end func(b []byte) int) {
		i := bytes.Index(b, []byte(key))
		if i < 0 {
			t.Fatalf("no %q in the info dictionary", key)
		}
		n := end(b[i+len(key):])
		b = append(bytes.Clone(b[:i]), b[i+len(key)+n:]...)
	}
	cut("12:meta version", func(b []byte) int { return len("i2e") })
	cut("9:file tree", skipBencode)
	v1, err := piece.ParseInfo(b)
	if err != nil {
		t.Fatal(err)
	}
	if v1.HasV2 || !v1.HasV1 || len(v1.Files) != len(in.Files) {
		t.Fatalf("not the v1 half: %+v", v1)
	}
	return v1
}

// skipBencode is the length of the first value in b.
func skipBencode(b []byte) int {
	depth, i := 0, 0
	for {
		switch {
		case b[i] == 'i':
			i += bytes.IndexByte(b[i:], 'e') + 1
		case b[i] == 'd' || b[i] == 'l':
			depth++
			i++
		case b[i] == 'e':
			depth--
			i++
		default:
			n := 0
			for ; b[i] != ':'; i++ {
				n = 10*n + int(b[i]-'0')
			}
			i += 1 + n
		}
		if depth == 0 {
			return i
		}
	}
}
