package deliver

import (
	"net/netip"
	"time"

	"shoal/swarm"
)

// What a byte costs to fetch, by the class of what a release comes from, as far as that is known before anything is tried: the time it takes at a rate that is usual
// there. Of the line between, and of neighbours who may have some of it, nothing is known by then.
var byteCost = [swarm.Classes]time.Duration{
	swarm.Reuse:  1 * time.Nanosecond,  // a repository's directory on this machine
	swarm.LAN:    20 * time.Nanosecond, // a server on a network that this machine is attached to: 400 Mbit/s, half of the usual line, which others use too
	swarm.Edges:  40 * time.Nanosecond, // an edge elsewhere: 200 Mbit/s, since it is there to be near
	swarm.Peers:  80 * time.Nanosecond, // machines elsewhere, of an origin that does not answer
	swarm.Origin: 80 * time.Nanosecond, // 100 Mbit/s
}

// What a byte of the release costs to be worked on.
const (
	hashByte    = 2 * time.Nanosecond   // to read, hash and write
	unpackByte  = 4 * time.Nanosecond   // to decompress or patch it besides
	torrentTime = 20 * time.Millisecond // to begin with an archive or a patch that is a torrent of its own
)

// price is what fetching so many bytes from a class of source, and working on so many of the release, costs. It is a pure function of signed sizes and of what a look
// at the disk found.
func price(from swarm.Class, fetch, bytes int64, unpack bool) time.Duration {
	work := hashByte
	if unpack {
		work += unpackByte
	}
	return time.Duration(fetch)*byteCost[from] + time.Duration(bytes)*work
}

// class is what content of the repository mostly comes from. It is told once something was read from there.
func (r *repository) class() swarm.Class {
	switch {
	case r.opener != nil:
		return swarm.Reuse
	case r.web == nil:
		return swarm.Peers
	}
	return classOf(r.web.remote.Load(), r.web.edge.Load())
}

// classOf is the class of a web server. This machine itself counts as elsewhere, as it does for limits: what it does for one client it does for others.
func classOf(addr *netip.Addr, edge bool) swarm.Class {
	switch {
	case addr != nil && !addr.IsLoopback() && swarm.Attached(*addr):
		return swarm.LAN
	case edge:
		return swarm.Edges
	}
	return swarm.Origin
}

// sourceName says in a plan's words what bytes come from.
func sourceName(c swarm.Class) string {
	switch c {
	case swarm.Reuse:
		return "this machine"
	case swarm.LAN:
		return "a server near by"
	case swarm.Edges:
		return "an edge"
	case swarm.Peers:
		return "other machines"
	}
	return "the origin"
}
