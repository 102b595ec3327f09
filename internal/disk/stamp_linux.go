package disk

import (
	"io/fs"
	"syscall"
)

func change(fi fs.FileInfo) (ctimeNs int64, inode uint64) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return st.Ctim.Nano(), st.Ino
}
