package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

func free(path string) (int64, error) {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Statfs(path, &st) })
	return int64(st.Bavail) * int64(st.Frsize), err
}

func freeFor(f *os.File) (int64, error) {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(int(f.Fd()), &st) })
	return int64(st.Bavail) * int64(st.Frsize), err
}

func reserve(f *os.File, off, n int64) error {
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n) })
	switch err {
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.EPERM:
		return nil // NFS before 4.2, FUSE, ZFS, a seccomp filter: they would have to write zeros, which would be worse than nothing
	case unix.ENOSPC, unix.EDQUOT:
		// ext4 keeps what it had taken when it ran out; cutting the file at its own end gives back what lies beyond.
		if fi, serr := f.Stat(); serr == nil {
			f.Truncate(fi.Size())
		}
	}
	return err
}

// retry repeats a system call that a signal interrupted; Go's own preemption signals do that to statfs on FUSE.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
