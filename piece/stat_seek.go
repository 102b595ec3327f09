//go:build linux || darwin || freebsd

package piece

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func inode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// isSparse reports whether a file occupies less than its size, so that looking for holes may pay.
func isSparse(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Blocks*512 < fi.Size()
}

// isHole reports whether f has no data within [off, off+n). It moves f's offset, which nobody uses.
func isHole(f *os.File, off, n int64) bool {
	data, err := f.Seek(off, unix.SEEK_DATA)
	if err != nil {
		return errors.Is(err, unix.ENXIO) // there is none up to the end
	}
	return data >= off+n
}
