package cli

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// A file that is here under another name is not fetched, and takes no room of its own where the file system can have files share their blocks.
func TestReuseSharesBlocks(t *testing.T) {
	dir := swarmtest.SharingDisk(t)
	h := swarmtest.Local(t)
	const size = 12<<20 + 5
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{9}).Read(content)
	one, two := filepath.Join(dir, "one"), h.Path("two")
	for path, b := range map[string][]byte{filepath.Join(one, "file"): content, filepath.Join(two, "moved", "renamed"): content, filepath.Join(two, "new"): []byte("new")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	base, root := published(h, one, two)
	before := swarmtest.Free(t, dir)
	done := h.Run("get", base+"app@2", "--root", root, "--state-dir", h.Path("state"), "--from", one, "-o", filepath.Join(dir, "out")).Succeed().Expect("done")
	if taken := swarmtest.Taken(t, dir, before, size/8); taken > size/8 || done.Int("from.origin") > 10_000 || done.Int("from.reuse") != size {
		t.Errorf("%v, and %d bytes were taken for %d that are here under another name", done, taken, size)
	}
	swarmtest.Same(t, two, filepath.Join(dir, "out", "app-2"))

	// What is shared is held against the hashes all the same: of a file that is damaged, and is remembered as whole, the bad piece is fetched.
	again := func(version string) swarmtest.Event {
		return h.Run("get", base+"app@"+version, "--root", root, "--state-dir", h.Path("other"), "-o", filepath.Join(dir, "again")).Succeed().Expect("done")
	}
	again("1")
	content[size/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "again", "app-1", "file"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	before = swarmtest.Free(t, dir)
	done = again("2")
	if taken := swarmtest.Taken(t, dir, before, size/8); taken > size/8 || done.Int("from.origin") == 0 || done.Int("from.origin") > 100_000 {
		t.Errorf("%v, and %d bytes were taken, where one piece of %d bytes is wrong", done, taken, size)
	}
	swarmtest.Same(t, two, filepath.Join(dir, "again", "app-2"))
}
