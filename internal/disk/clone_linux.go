package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

func reflink(dst, src *os.File, dstOff, srcOff, n int64) error {
	return unix.IoctlFileCloneRange(int(dst.Fd()), &unix.FileCloneRange{
		Src_fd: int64(src.Fd()), Src_offset: uint64(srcOff), Src_length: uint64(n), Dest_offset: uint64(dstOff),
	})
}

func copyRange(dst, src *os.File, dstOff, srcOff, n int64) (int64, error) {
	m, err := 0, error(nil)
	err = retry(func() error {
		m, err = unix.CopyFileRange(int(src.Fd()), &srcOff, int(dst.Fd()), &dstOff, int(n), 0)
		return err
	})
	if m == 0 && err == nil {
		return 0, unix.EINVAL // some kernels answer 0 for files of /proc and of FUSE that do have content
	}
	return int64(m), err
}
