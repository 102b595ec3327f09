//go:build unix

package disk

import (
	"io/fs"
	"syscall"
)

// Links is how many names a file has, as far as the system says; else 1.
func Links(fi fs.FileInfo) uint64 {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(st.Nlink)
}
