package webseed

import (
	"net/http"
	"net/netip"
	"sync"
)

// room counts responses under way by client. A client may have as many as there is room for besides, so that however many one has, another finds room; of clients that all
// want more each gets the same share ("dynamic threshold", Choudhury and Hahne 1998). The zero value is empty.
type room struct {
	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

// enter takes room for one more response to a client, of most in all; 0: any number. False: there is none.
func (r *room) enter(client netip.Addr, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if free := most - r.all; most > 0 && (free <= 0 || r.of[client] > free) {
		return false
	}
	if r.of == nil {
		r.of = map[netip.Addr]int{}
	}
	r.all++
	r.of[client]++
	return true
}

func (r *room) leave(client netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.of[client]--; r.of[client] == 0 {
		delete(r.of, client)
	}
}

// Remote is the machine that a request came from: this one if it came by no network.
func Remote(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv6Loopback() // a Unix socket
	}
	return from.Addr().Unmap()
}

// ClientOf is what counts as one client: an address, or a /64 of IPv6, which one machine has.
func ClientOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // no network: a Unix socket
	}
	a := from.Addr().Unmap().WithZone("")
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		return p.Addr()
	}
	return a
}
