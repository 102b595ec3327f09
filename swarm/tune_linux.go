//go:build linux

package swarm

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// notSent is how much of what we write may lie unsent in the kernel: what goes next is decided
// late, and control messages do not wait behind blocks.
const notSent = 256 << 10

// tune sets what a peer connection needs of its socket.
func tune(nc net.Conn) {
	control(nc, func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent) })
}

// rtt is the smoothed round trip time of a connection; a long time where it is not known.
func rtt(nc net.Conn) time.Duration {
	d := time.Hour
	control(nc, func(fd int) {
		if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && i.Rtt > 0 {
			d = time.Duration(i.Rtt) * time.Microsecond
		}
	})
	return d
}

func control(nc net.Conn, f func(fd int)) {
	if sc, ok := nc.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			rc.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}
