package port

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// QuickHandler answers one HTTP request. If in begins with a whole request that is for it, it appends the answer, head and body, to dst (or, if it
// never does that, has answers of its own, which nobody writes to), and returns it with how many bytes of in the request had and whether the client keeps the connection. used 0 means that the request is somebody
// else's, or not yet whole: net/http reads it from its first byte. in and dst are only valid during the call; all sockets call it at the same time.
//
// A tracker's clients connect, ask once and go, by the ten thousands per second. What net/http does for a request costs more than its answer.
type QuickHandler func(dst, in []byte, from, to netip.AddrPort) (answer []byte, used int, keep bool)

const (
	maxQuickRequest = 2048            // a longer one is net/http's
	keptFor         = 2 * time.Minute // how long a client may be silent between two requests
	keptAnswer      = 4096            // how large a buffer of answers stays with a silent client
)

// accepted is a connection, and what is known of it already.
type accepted struct {
	*net.TCPConn
	head []byte // bytes that were read

	// kept says that its first request was answered already, but for what is in unsent; the client goes on.
	kept   bool
	ends   bool // with unsent
	unsent []byte
}

// serveHTTP answers quick requests, and gives the connection to net/http with the first one that is not.
func (p *Port) serveHTTP(ctx context.Context, a accepted, h *Handlers) {
	if h.Quick != nil {
		stop := context.AfterFunc(ctx, func() { a.Close() })
		goesOn := a.quicken(h.Quick)
		if !stop() || !goesOn {
			a.Close()
			return
		}
	}
	p.http.give(ctx, replaying(a.TCPConn, a.head))
}

// quicken answers what quick answers, and leaves in head what it does not. False: the connection is over.
func (a *accepted) quicken(quick QuickHandler) bool {
	from, to := endpoint(a.RemoteAddr()), endpoint(a.LocalAddr())
	if !from.IsValid() || !to.IsValid() {
		return false
	}
	var in, out []byte
	var armed time.Time
	for {
		if now := time.Now(); now.Sub(armed) > keptFor/8 { // a timer for each request would cost as much as a system call
			a.SetDeadline(now.Add(keptFor))
			armed = now
		}
		if len(a.unsent) > 0 {
			if _, err := a.Write(a.unsent); err != nil || a.ends {
				return false
			}
			a.unsent = nil
		}
		if len(a.head) > 0 {
			answer, used, keep := quick(out[:0], a.head, from, to)
			if used == 0 {
				a.SetDeadline(time.Time{})
				return true
			}
			a.unsent, a.ends, a.head = answer, !keep, a.head[used:]
			if out = nil; cap(answer) <= keptAnswer {
				out = answer
			}
			continue
		}
		if in == nil {
			in = make([]byte, maxQuickRequest)
		}
		n, err := a.Read(in)
		if a.head = in[:n]; err != nil {
			return false
		}
	}
}

// endpoint is an address as netip has it; none of a connection that is over already.
func endpoint(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	x := t.AddrPort()
	return netip.AddrPortFrom(x.Addr().Unmap(), x.Port())
}
