package webseed

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnsent bounds what lies unsent in the kernel, in bytes; 0: what the system's own bound is.
func boundUnsent(c net.Conn, bytes int) {
	control(c, func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

func unacknowledged(c net.Conn) (n int64, ok bool) {
	control(c, func(fd int) {
		waiting, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		n, ok = int64(waiting), err == nil
	})
	return n, ok
}

func control(c net.Conn, f func(fd int)) {
	if sc, ok := c.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			rc.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}
