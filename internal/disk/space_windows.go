package disk

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

func free(path string) (int64, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var n uint64
	err = windows.GetDiskFreeSpaceEx(p, &n, nil, nil)
	return int64(n), err
}

func freeFor(f *os.File) (int64, error) { return free(filepath.Dir(f.Name())) }

// reserve leaves it at the comparison: on Windows allocating goes with the file's size, or needs a privilege.
func reserve(*os.File, int64, int64) error { return nil }

func allocated(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	return fi.Size()
}
