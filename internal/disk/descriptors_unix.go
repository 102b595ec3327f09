//go:build unix

package disk

import "golang.org/x/sys/unix"

// Descriptors is how many files and connections this process may have open; 1024 where the system does not say.
func Descriptors() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(uint64(r.Cur), 1<<30))
}
