package piece

import (
	"os"
	"path/filepath"
	"testing"
)

// goldens is where other programs' torrents lie; see the README there.
const goldens = "../testdata/torrent/"

// pattern is content that testdata/torrent/make.py makes as well.
func pattern(n int, seed uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = (seed*1103515245 + 12345) & 0x7fffffff
		b[i] = byte(seed >> 16)
	}
	return b
}

// makeTree makes the tree of make.py below a new directory and returns its path.
func makeTree(t testing.TB, name string, links bool) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), name)
	for name, data := range map[string][]byte{
		".hidden": []byte("h\n"), "a/deep/f.txt": []byte("hi\n"), "a-b": []byte("abc"), "a.txt": []byte("abc"), "aaa_empty": nil, "b/empty": nil,
		"b/exact": pattern(32768, 1), "bin/run": pattern(70000, 2), "dup1": pattern(40000, 3), "dup2": pattern(40000, 3), "z.bin": pattern(100001, 4),
		"zz_empty": nil, "ünï ☃.txt": []byte("unicode"),
	} {
		put(t, filepath.Join(root, name), data)
	}
	if err := os.Chmod(filepath.Join(root, "bin/run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if links {
		for name, target := range map[string]string{"a/link": "../bin/run", "a/local": "deep/f.txt", "dangling": "nothere", "dirlink": "bin", "zlink": "z.bin"} {
			if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// put writes a file and the directories above it.
func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
