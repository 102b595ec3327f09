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

// Listen takes one port number for TCP and for UDP. addr is HOST:PORT: no host, or "[::]", means all addresses, IPv4 and IPv6; "0.0.0.0" all of
// IPv4. With port 0 the system chooses a number that is free for both. When a number is taken the error satisfies
// errors.Is(err, syscall.EADDRINUSE) on every system. Nothing is accepted before Run.
func Listen(ctx context.Context, addr string) (*Port, error) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", addr, err)
	}
	tries := 1
	if number == "0" || number == "" {
		number, tries = "0", 32 // the number that TCP got may be somebody else's over UDP
	}
	for try := 1; ; try++ {
		p, err := listen(ctx, host, number)
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

func listen(ctx context.Context, host, number string) (_ *Port, err error) {
	p := newPort()
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	family := "" // both
	ip, perr := netip.ParseAddr(host)
	if perr == nil && ip.Is4() {
		family = "4" // Go would make "tcp" and 0.0.0.0 listen on IPv6 as well
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp"+family, net.JoinHostPort(host, number))
	if err != nil {
		return nil, err
	}
	p.tcp = l.(*net.TCPListener)
	p.http = newListener(p.tcp.Addr())
	got := p.tcp.Addr().(*net.TCPAddr)
	port := strconv.Itoa(got.Port)

	udp := []struct{ network, host string }{{"udp", (&net.IPAddr{IP: got.IP, Zone: got.Zone}).String()}}
	if got.IP.IsUnspecified() && family == "" {
		udp[0].network, udp[0].host = "udp4", "0.0.0.0"
		if got.IP.To4() == nil {
			udp = append(udp, struct{ network, host string }{"udp6", "::"}) // Go sets IPV6_V6ONLY for "udp6"
		}
	}
	for _, u := range udp {
		c, err := lc.ListenPacket(ctx, u.network, net.JoinHostPort(u.host, port))
		if err != nil {
			return nil, err
		}
		p.udp = append(p.udp, newUDPSocket(c.(*net.UDPConn)))
	}
	return p, nil
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
