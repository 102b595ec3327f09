package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

func free(path string) (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}

func freeFor(f *os.File) (int64, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(f.Fd()), &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}

// reserve leaves it at the comparison: APFS answers F_PREALLOCATE but does not hold the space.
func reserve(*os.File, int64, int64) error { return nil }
