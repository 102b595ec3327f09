package swarm

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Class is where content comes from or goes to. Bytes are counted by it.
type Class uint8

// The classes, nearest first; the first that fits a source holds.
const (
	Reuse  Class = iota // was on this machine already
	LAN                 // same site, or without one found on the LAN
	Peers               // any other machine
	Edges               // an edge node, or its web seed
	Origin              // the origin, or a web seed of it
	Classes
)

var classNames = [Classes]string{"reuse", "lan", "peers", "edges", "origin"}

func (c Class) String() string { return classNames[c] }

// Role is what this node is in its swarms; it says so to other Shoal nodes.
type Role uint8

// The roles.
const (
	RolePeer Role = iota
	RoleEdge
	RoleOrigin
)

var roleNames = [...]string{"peer", "edge", "origin"}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, bool) {
	for i, n := range roleNames {
		if n == s {
			return Role(i), true
		}
	}
	return RolePeer, false
}

// Upload says whom a node gives content to.
type Upload uint8

// The policies, from everybody to nobody.
const (
	UploadAll Upload = iota
	UploadSite
	UploadLAN
	UploadOff // no peers at all: web seeds only
)

// nearRTT is how near a machine must be for its claim to be of our site to count.
const nearRTT = 5 * time.Millisecond

// Attached says whether an address is this machine's, or on a network that it is directly attached to.
func Attached(a netip.Addr) bool { return new(links).attached(a) }

// links knows which addresses are on a network that this machine is directly attached to.
type links struct {
	mu       sync.Mutex
	read     time.Time
	prefixes []netip.Prefix
}

// attached says whether a is this machine or shares a network with it.
func (l *links) attached(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsLoopback() || a.IsLinkLocalUnicast() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.read) > 30*time.Second {
		l.read, l.prefixes = time.Now(), nil
		addrs, _ := net.InterfaceAddrs() // none known: nobody is attached
		for _, x := range addrs {
			if n, ok := x.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				ones, _ := n.Mask.Size()
				if p, err := ip.Unmap().Prefix(ones); err == nil && ones > 0 {
					l.prefixes = append(l.prefixes, p)
				}
			}
		}
	}
	for _, p := range l.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
