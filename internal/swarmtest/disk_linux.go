package swarmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// SharingDisk mounts a new file system whose files can share blocks; the test is skipped where that cannot be done.
func SharingDisk(t testing.TB) (dir string) {
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
