package dht

import (
	"context"
	"net/netip"
	"slices"
	"sync"
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
// have taken it; refused gets the other answers.
func (n *Node) store(ctx context.Context, target ID, query message, heard func(result), put func() *message, refused func(*message)) (stored int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for f, h := range n.nets {
		if h == nil {
			continue
		}
		wg.Go(func() {
			holders := n.walk(ctx, family(f), target, query, heard)
			holders = slices.DeleteFunc(holders, func(r result) bool { return len(r.m.token) == 0 })
			mu.Lock()
			m := put()
			mu.Unlock()
			if m == nil || ctx.Err() != nil {
				return
			}
			k := n.give(ctx, holders, *m, func(m *message) {
				if refused != nil {
					mu.Lock()
					defer mu.Unlock()
					refused(m)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			stored += k
		})
	}
	wg.Wait()
	return stored
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
			default:
				refused(r.m)
			}
		case <-ctx.Done():
			return stored
		}
	}
	return stored
}
