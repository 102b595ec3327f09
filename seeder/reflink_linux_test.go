package seeder

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"shoal/internal/disk"
	"shoal/internal/release"
)

// reflinkDisk mounts a new file system whose files can share blocks; the test is skipped where that cannot be done.
func reflinkDisk(t *testing.T) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 320<<20); err != nil { // sparse; XFS is not made smaller than 300 MiB
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system with shared blocks here: %s: %v\n%s", command[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir
}

// What is published takes no room of its own where the file system can have files share their blocks.
func TestPublishSharesBlocks(t *testing.T) {
	dir := reflinkDisk(t)
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
	if err := disk.SyncFS(dir); err != nil {
		t.Fatal(err)
	}
	before, err := disk.Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Publish(t.Context(), r, tree, PublishConfig{App: "app", Version: "1", Platform: "any"})
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.SyncFS(dir); err != nil {
		t.Fatal(err)
	}
	after, err := disk.Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	if taken := before - after; !p.Shared || taken > size/8 {
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
