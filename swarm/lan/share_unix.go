//go:build unix

package lan

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// share lets other programs take the same port.
func share(_, _ string, rc syscall.RawConn) (err error) {
	outer := rc.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && runtime.GOOS != "linux" {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) // BSD asks for this one
		}
	})
	if outer != nil {
		return outer
	}
	return err
}
