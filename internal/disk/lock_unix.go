//go:build !windows

package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock uses flock(2): unlike fcntl's locks it belongs to the open file, so a second LockDir in one process is refused as well.
func tryLock(f *os.File) (held bool, err error) {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return true, nil
		default:
			return false, err
		}
	}
}

func unlock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }
