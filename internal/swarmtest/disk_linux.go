package swarmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/disk"
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

// Free is how much of a disk is free when all is written.
func Free(t testing.TB, dir string) int64 {
	t.Helper()
	if err := disk.SyncFS(dir); err != nil {
		t.Fatal(err)
	}
	n, err := disk.Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Taken is how much less is free than before. If that is more than most it waits: XFS gives back in its own time what files had that were removed.
func Taken(t testing.TB, dir string, before, most int64) (taken int64) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience(); time.Sleep(10 * time.Millisecond) {
		if taken = before - Free(t, dir); taken <= most {
			break
		}
	}
	return taken
}
