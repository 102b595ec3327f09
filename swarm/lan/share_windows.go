package lan

import "syscall"

// share lets other programs take the same port.
func share(_, _ string, rc syscall.RawConn) (err error) {
	outer := rc.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	})
	if outer != nil {
		return outer
	}
	return err
}
