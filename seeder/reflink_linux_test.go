package seeder

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/release"
	"shoal/internal/swarmtest"
)

// What is published takes no room of its own where the file system can have files share their blocks.
func TestPublishSharesBlocks(t *testing.T) {
	dir := swarmtest.SharingDisk(t)
	r, err := release.Init(t.Context(), filepath.Join(dir, "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const size = 12<<20 + 5
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(content) // nothing that could be compressed
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "file"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	before := swarmtest.Free(t, dir)
	p, err := Publish(t.Context(), r, tree, PublishConfig{App: "app", Version: "1", Platform: "any"})
	if err != nil {
		t.Fatal(err)
	}
	taken := swarmtest.Taken(t, dir, before, size/8)
	if !p.Shared || taken > size/8 {
		t.Errorf("shared %v, and %d bytes were taken for a content of %d", p.Shared, taken, size)
	}
	copied, err := filepath.Glob(filepath.Join(r.Public(), "content", "*", "*", "file"))
	if err != nil || len(copied) != 1 {
		t.Fatalf("the content is at %q (%v), want one place", copied, err)
	}
	if got, err := os.ReadFile(copied[0]); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the content is not what was published (%v)", err)
	}
}
