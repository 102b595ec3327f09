package webseed

import (
	"net"

	"golang.org/x/sys/unix"

	"shoal/internal/sock"
)

func unacknowledged(c net.Conn) (n int64, ok bool) {
	sock.Control(c, func(fd int) {
		waiting, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		n, ok = int64(waiting), err == nil
	})
	return n, ok
}
