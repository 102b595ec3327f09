package port

import (
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptor accepts from one listening socket. On a busy port with a QuickHandler it does so without Go's network poller: a client that asks
// for one short answer gets it by four system calls (accept, read, write, close) instead of a dozen, and without a goroutine. A connection that
// turns out to be more than that becomes a *net.TCPConn.
type acceptor struct {
	*listening
	quick   QuickHandler
	raw     syscall.RawConn
	in, out []byte
	got     accepted
	err     error
}

// listening is a listening socket, with a second descriptor that one can wait on and accept from directly; nil on a quiet port.
type listening struct {
	*net.TCPListener
	file *os.File
}

func newListening(l *net.TCPListener, busy bool) (*listening, error) {
	if !busy {
		return &listening{TCPListener: l}, nil
	}
	deferAccept(l)
	f, err := l.File()
	return &listening{l, f}, err
}

// Close wakes who waits on either descriptor.
func (l *listening) Close() error {
	if l.file != nil {
		l.file.Close()
	}
	return l.TCPListener.Close()
}

func newAcceptor(l *listening, quick QuickHandler) (*acceptor, error) {
	a := &acceptor{listening: l}
	if l.file == nil || quick == nil {
		return a, nil
	}
	a.quick, a.in, a.out = quick, make([]byte, maxQuickRequest), make([]byte, 0, 4096)
	var err error
	a.raw, err = l.file.SyscallConn()
	return a, err
}

// next waits for a connection that is not done with when it is accepted.
func (a *acceptor) next() (accepted, error) {
	if a.raw == nil {
		c, err := a.AcceptTCP()
		return accepted{TCPConn: c}, err
	}
	for {
		a.got, a.err = accepted{}, nil
		if err := a.raw.Read(a.accept); err != nil {
			return accepted{}, err
		}
		if a.err != nil || a.got.TCPConn != nil {
			return a.got, a.err
		}
	}
}

// accept takes connections until there is none, or one that next is to return. False: wait for more.
func (a *acceptor) accept(listener uintptr) (done bool) {
	for range 256 { // so that a flood does not keep Close waiting
		fd, sa, err := unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			if a.got, a.err = a.serve(fd, sa); a.got.TCPConn != nil || a.err != nil {
				return true
			}
		case unix.EAGAIN:
			return false
		case unix.EINTR, unix.ECONNABORTED:
		default:
			a.err = os.NewSyscallError("accept4", err)
			return true
		}
	}
	return true
}

// serve answers a connection's first request if that is quick. What is left to do with the connection is returned.
func (a *acceptor) serve(fd int, sa unix.Sockaddr) (accepted, error) {
	n, err := unix.Read(fd, a.in)
	if n <= 0 || match(a.in[:n]) != http {
		if n == 0 || err != nil && err != unix.EAGAIN { // gone, or reset
			unix.Close(fd)
			return accepted{}, nil
		}
		return a.adopt(fd, accepted{head: a.in[:max(n, 0)]})
	}
	to := a.Addr().(*net.TCPAddr).AddrPort()
	if to.Addr().IsUnspecified() {
		if local, err := unix.Getsockname(fd); err == nil {
			to = addrPort(local)
		}
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	answer, used, keep := a.quick(a.out[:0], a.in[:n], addrPort(sa), to)
	if used == 0 {
		return a.adopt(fd, accepted{head: a.in[:n]})
	}
	a.out = answer
	sent, err := unix.Write(fd, answer)
	if err != nil && err != unix.EAGAIN || sent == len(answer) && !keep {
		unix.Close(fd)
		return accepted{}, nil
	}
	return a.adopt(fd, accepted{kept: true, ends: !keep, unsent: answer[max(sent, 0):], head: a.in[used:n]})
}

// adopt makes a descriptor a *net.TCPConn, with bytes of its own.
func (a *acceptor) adopt(fd int, x accepted) (accepted, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return accepted{}, err
	}
	x.TCPConn = c.(*net.TCPConn)
	x.head, x.unsent = append(make([]byte, 0, 512), x.head...), append([]byte(nil), x.unsent...)
	return x, nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
