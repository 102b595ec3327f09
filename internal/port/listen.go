package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
)

// A quiet port serves a machine that fetches, a busy one a tracker or an origin: that has as many sockets as the process has cores, each with a
// reader of its own, reads and writes datagrams in large batches, and lets the kernel keep TCP connections until their first bytes are there.
const (
	quietBatch = 4
	busyBatch  = 64
)

// Listen takes one port number for TCP and for UDP. addr is HOST:PORT: no host, or "[::]", means all addresses, IPv4 and IPv6; "0.0.0.0" all of
// IPv4. With port 0 the system chooses a number that is free for both. When a number is taken the error satisfies
// errors.Is(err, syscall.EADDRINUSE) on every system. Nothing is accepted before Run.
func Listen(ctx context.Context, addr string) (*Port, error) { return listenOn(ctx, addr, 0) }

// ListenBusy is Listen for a port that many will knock at.
func ListenBusy(ctx context.Context, addr string) (*Port, error) {
	return listenOn(ctx, addr, runtime.GOMAXPROCS(0))
}

// listenOn listens with so many sockets of each kind where the system can share a port among them; 0 is a quiet port.
func listenOn(ctx context.Context, addr string, sockets int) (*Port, error) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", addr, err)
	}
	tries := 1
	if number == "0" || number == "" {
		number, tries = "0", 32 // the number that TCP got may be somebody else's over UDP
	}
	for try := 1; ; try++ {
		p, err := listen(ctx, host, number, sockets)
		if err == nil {
			return p, nil
		}
		if !inUse(err) {
			return nil, fmt.Errorf("listening on %s: %w", addr, err)
		}
		if try == tries {
			return nil, fmt.Errorf("listening on %s: %w", addr, &inUseError{err})
		}
	}
}

func listen(ctx context.Context, host, number string, sockets int) (_ *Port, err error) {
	p := newPort()
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	family, batch := "", quietBatch // both
	ip, perr := netip.ParseAddr(host)
	if perr == nil && ip.Is4() {
		family = "4" // Go would make "tcp" and 0.0.0.0 listen on IPv6 as well
	}
	if sockets > 0 {
		batch = busyBatch
	}
	err = share(sockets, func(lc *net.ListenConfig) (syscall.Conn, error) {
		l, err := lc.Listen(ctx, "tcp"+family, net.JoinHostPort(host, number))
		if err != nil {
			return nil, err
		}
		ours, err := newListening(l.(*net.TCPListener), sockets > 0)
		p.tcp = append(p.tcp, ours)
		number = strconv.Itoa(p.Number())
		return ours, err
	})
	if err != nil {
		return nil, err
	}
	got := p.tcp[0].Addr().(*net.TCPAddr)
	p.http, p.tls = newListener(got), newListener(got)

	udp := []struct{ network, host string }{{"udp", (&net.IPAddr{IP: got.IP, Zone: got.Zone}).String()}}
	if got.IP.IsUnspecified() && family == "" {
		udp[0].network, udp[0].host = "udp4", "0.0.0.0"
		if got.IP.To4() == nil {
			udp = append(udp, struct{ network, host string }{"udp6", "::"}) // Go sets IPV6_V6ONLY for "udp6"
		}
	}
	for _, u := range udp {
		err := share(sockets, func(lc *net.ListenConfig) (syscall.Conn, error) {
			c, err := lc.ListenPacket(ctx, u.network, net.JoinHostPort(u.host, number))
			if err != nil {
				return nil, err
			}
			p.udp = append(p.udp, newUDPSocket(c.(*net.UDPConn), batch))
			return c.(*net.UDPConn), nil
		})
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// share opens so many sockets at one address, one where the system cannot share it. The first is bound as the only one, so that an address
// that somebody else has, shared or not, is in use; only then is it opened to those that follow, of this user alone (SO_REUSEPORT).
func share(sockets int, open func(*net.ListenConfig) (syscall.Conn, error)) error {
	first, err := open(&net.ListenConfig{})
	if err != nil || sockets < 2 || sharePort(first) != nil {
		return err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return sharePortRaw(c) }}
	for range sockets - 1 {
		if _, err := open(&lc); err != nil {
			return err
		}
	}
	return nil
}

// inUseError makes "in use" recognisable where the system's number differs from Go's syscall.EADDRINUSE.
type inUseError struct{ err error }

func (e *inUseError) Error() string        { return e.err.Error() }
func (e *inUseError) Unwrap() error        { return e.err }
func (e *inUseError) Is(target error) bool { return target == syscall.EADDRINUSE }

func inUse(err error) bool {
	const wsaEAddrInUse, wsaEAccess = syscall.Errno(10048), syscall.Errno(10013) // the latter: taken exclusively
	return errors.Is(err, syscall.EADDRINUSE) ||
		runtime.GOOS == "windows" && (errors.Is(err, wsaEAddrInUse) || errors.Is(err, wsaEAccess))
}
