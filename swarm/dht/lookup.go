package dht

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Lookup looks for peers of a torrent, in IPv4 and IPv6. found gets them as they come, and may get some twice; it may be called by two goroutines.
// The nodes closest to hash are asked to name us, at a TCP port, to others, unless that is 0; how many have agreed is returned.
func (n *Node) Lookup(ctx context.Context, hash ID, port int, found func([]netip.AddrPort)) (stored int) {
	n.counts.lookups.Add(1)
	query := message{method: qGetPeers, infoHash: &hash}
	return n.store(ctx, hash, query, func(r result) {
		if found == nil {
			return
		}
		peers := slices.DeleteFunc(slices.Clone(r.m.values), func(a netip.AddrPort) bool {
			self := port != 0 && (int(a.Port()) == port || int(a.Port()) == n.cfg.Port) && n.cfg.Own != nil && n.cfg.Own(a.Addr())
			return self || !n.admits(a.Addr()) || !Routable(a.Addr()) && Routable(r.addr.Addr())
		})
		if len(peers) > 0 {
			found(peers)
		}
	}, func() *message {
		if port == 0 {
			return nil
		}
		return &message{method: qAnnounce, infoHash: &hash, port: port}
	}, nil)
}

// store walks to target in all families and then gives the nodes closest to it what put returns, if that is not nil. It returns how many
// have taken it; refused, if it is not nil, gets the other answers.
func (n *Node) store(ctx context.Context, target ID, query message, heard func(result), put func() *message, refused func(*message)) (stored int) {
	select {
	case <-n.resolved: // before that we may know nobody
	case <-ctx.Done():
		return 0
	}
	var holders [2][]result
	var wg sync.WaitGroup
	for f, h := range n.nets {
		if h == nil {
			continue
		}
		wg.Go(func() {
			l := n.walk(ctx, family(f), target, query, heard)
			holders[f] = slices.DeleteFunc(l, func(r result) bool { return len(r.m.token) == 0 })
		})
	}
	wg.Wait()
	m := put()
	if m == nil || ctx.Err() != nil {
		return 0
	}
	stored = n.give(ctx, slices.Concat(holders[:]...), *m, refused)
	most := v4
	if len(holders[v6]) > len(holders[v4]) || n.nets[v4] == nil {
		most = v6
	}
	if self := n.nets[most].id(); m.method == qPut && n.isNear(self, target, holders[most]) && n.items.put(self, m, time.Now()) == nil {
		stored++
	}
	return stored
}

// isNear says whether we are ourselves one of the nodes that keep what is at target.
func (n *Node) isNear(self, target ID, holders []result) bool {
	return !n.readOnly() && (len(holders) < closest || closer(target, self, holders[len(holders)-1].id))
}

// give asks nodes to store something, each with the token that it has given us, and counts those who have.
func (n *Node) give(ctx context.Context, holders []result, m message, refused func(*message)) (stored int) {
	done := make(chan result, len(holders))
	out := 0
	for _, r := range holders {
		m.token = r.m.token
		if n.ask(ctx, r.contact, m, done) != nil {
			return stored
		}
		out++
	}
	for ; out > 0; out-- {
		select {
		case r := <-done:
			switch {
			case r.m == nil:
			case r.m.kind == 'r':
				stored++
			case refused != nil:
				refused(r.m)
			}
		case <-ctx.Done():
			return stored
		}
	}
	return stored
}
