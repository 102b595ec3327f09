package port

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort lets sockets that are opened from now on share the address of this one.
func sharePort(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return sharePortRaw(raw)
}

func sharePortRaw(c syscall.RawConn) error {
	return setOption(c, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// deferAccept has the kernel hand over a connection when its first bytes are there, or after a second at the latest: on this port it is always
// the client that speaks first. A request is then read as soon as it is accepted, without a wait in between.
func deferAccept(l *net.TCPListener) {
	if raw, err := l.SyscallConn(); err == nil {
		setOption(raw, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
	}
}

func setOption(c syscall.RawConn, level, name, value int) error {
	var set error
	if err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, name, value) }); err != nil {
		return err
	}
	return set
}
