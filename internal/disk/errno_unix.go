//go:build !windows

package disk

import (
	"errors"
	"os"
	"syscall"
)

// IsNoSpace says whether an error means that the disk, or this user's quota on it, is full.
func IsNoSpace(err error) bool {
	var e *NoSpaceError
	return errors.As(err, &e) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func allocated(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Blocks * 512 // st_blocks counts 512 bytes whatever st_blksize says
}
