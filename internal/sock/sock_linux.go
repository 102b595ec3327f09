package sock

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Control has f look at the descriptor of a connection, if it has one.
func Control(nc net.Conn, f func(fd int)) {
	if sc, ok := nc.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			rc.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}

// BoundUnsent bounds what of a connection's writes may lie unsent in the kernel, in bytes (TCP_NOTSENT_LOWAT);
// 0: the system's own bound.
func BoundUnsent(nc net.Conn, bytes int) {
	Control(nc, func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

// WakeBound sets how many bytes must have come for a reader to be woken (SO_RCVLOWAT). The system takes no more than half of what it
// has room for.
func WakeBound(nc net.Conn, n int) {
	Control(nc, func(fd int) { unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n) })
}

// Paced says whether the kernel spreads over time what a connection sends, as BBR has it do.
func Paced(nc net.Conn) (paced bool) {
	Control(nc, func(fd int) {
		name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		paced = err == nil && strings.HasPrefix(name, "bbr")
	})
	return paced
}

// SendFile writes head and then n bytes of f, from off on, to a connection. f's own offset is neither used nor changed.
// A file that ends too early is io.ErrUnexpectedEOF. ok is false, and nothing is written, where that cannot be done:
// if bytes do not go out as they are written, as those of an encrypted connection.
func SendFile(nc net.Conn, head []byte, f *os.File, off, n int64) (ok bool, err error) {
	_, plain := nc.(io.ReaderFrom) // else net/http would not use sendfile either
	sc, is := nc.(syscall.Conn)
	if !plain || !is {
		return false, nil
	}
	to, err := sc.SyscallConn()
	if err != nil {
		return false, nil
	}
	from, err := f.SyscallConn()
	if err != nil {
		return true, err
	}
	var failed error // of reading or writing, whose waiting has errors of its own
	err = from.Control(func(file uintptr) {
		failed = to.Write(func(socket uintptr) bool {
			err = send(int(socket), int(file), &head, &off, &n)
			return err != unix.EAGAIN
		})
	})
	switch {
	case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP: // not of such a file
		m, err := io.Copy(struct{ io.Writer }{nc}, struct{ io.Reader }{io.NewSectionReader(f, off, n)})
		if err == nil && m < n {
			err = io.ErrUnexpectedEOF
		}
		return true, err
	case err != nil:
		return true, os.NewSyscallError("sendfile", err)
	case failed != nil:
		return true, failed
	case n > 0:
		return true, io.ErrUnexpectedEOF
	}
	return true, nil
}

// send writes as much as the socket takes. Without an error all that there was is written.
func send(socket, file int, head *[]byte, off, n *int64) error {
	for len(*head) > 0 {
		m, err := unix.SendmsgN(socket, *head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		*head = (*head)[m:]
	}
	for *n > 0 {
		m, err := unix.Sendfile(socket, file, off, int(*n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if m == 0 {
			return nil
		}
		*n -= int64(m)
	}
	return nil
}
