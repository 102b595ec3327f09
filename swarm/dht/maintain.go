package dht

import (
	"context"
	"net"
	"net/netip"
	"time"
)

const (
	// upkeepPerSec bounds the queries for the table's sake.
	upkeepPerSec = 50
	// youngEvery and oldEvery are how often we look around: often while we know few nodes, for then the network may be as young as we are.
	youngEvery, oldEvery = time.Minute, goodTime
	pingEvery            = 15 * time.Second
	saveEvery            = 5 * time.Minute
)

// firstLooks are the pauses between the first looks around. In a network whose nodes all start together the first finds hardly anybody.
var firstLooks = [...]time.Duration{time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second}

// maintain keeps the table of one family full of nodes that live.
func (n *Node) maintain(ctx context.Context, f family) {
	select {
	case <-n.resolved:
	case <-ctx.Done():
		return
	}
	h := n.nets[f]
	var look, save time.Time
	for round := 0; ctx.Err() == nil; {
		now := time.Now()
		if save.IsZero() {
			save = now.Add(saveEvery)
		}
		if !now.Before(look) {
			n.lookAround(ctx, f, round < len(firstLooks))
			size, _ := h.count(now)
			switch {
			case round < len(firstLooks):
				look = time.Now().Add(firstLooks[round])
				round++
			case size < bucketSize:
				look = time.Now().Add(youngEvery)
			default:
				look = time.Now().Add(oldEvery)
			}
			if size > 0 || round > 1 { // what the last run left has served, or is of no use
				n.saved.Store(new([]contact))
			}
		}
		h.mu.Lock()
		due := h.table.due(time.Now())
		h.mu.Unlock()
		for _, c := range due {
			select {
			case n.pings <- c:
			default:
			}
		}
		if now = time.Now(); !now.Before(save) {
			save = now.Add(saveEvery)
			n.save(now)
		}
		sleep(ctx, min(pingEvery, max(time.Until(look), 0)))
	}
}

// lookAround looks for nodes close to us, so that they know us and we them, and at distances of which we know few.
func (n *Node) lookAround(ctx context.Context, f family, young bool) {
	h := n.nets[f]
	find := func(target ID) {
		w := walker{n: n, f: f, target: target, query: message{method: qFind, target: &target}, limit: n.upkeep}
		w.walk(ctx)
	}
	find(h.id())
	every := goodTime
	if young {
		every = time.Second
	}
	h.mu.Lock()
	self, gaps := h.table.self, h.table.gaps(time.Now(), every)
	h.mu.Unlock()
	for _, i := range gaps {
		if ctx.Err() != nil {
			return
		}
		find(randomNear(self, i))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// resolve looks up the nodes to begin with; again and again while we know nobody.
func (n *Node) resolve(ctx context.Context) {
	for first := true; ; first = false {
		var all []netip.AddrPort
		for _, hp := range n.cfg.Bootstrap {
			all = append(all, lookUp(ctx, hp)...)
		}
		n.bootstrap.Store(&all)
		local := n.cfg.Private
		for _, a := range all {
			local = local && !Routable(a.Addr())
		}
		n.onlyLocal.Store(local)
		if first {
			close(n.resolved)
		}
		if len(n.cfg.Bootstrap) == 0 {
			return
		}
		for known := 1; known > 0; { // until we know nobody
			sleep(ctx, resolveAgainTime)
			if ctx.Err() != nil {
				return
			}
			known = 0
			for _, h := range n.nets {
				if h != nil {
					size, _ := h.count(time.Now())
					known += size
				}
			}
		}
	}
}

// lookUp finds the addresses of HOST:PORT; none if there are none.
func lookUp(ctx context.Context, hostPort string) (list []netip.AddrPort) {
	if a, err := netip.ParseAddrPort(hostPort); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}
	}
	host, text, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", text)
	if err != nil {
		return nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for _, ip := range ips {
		list = append(list, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return list
}

// known lists nodes to begin a walk at when the table has few: those of the last run, and those that were named to us.
func (n *Node) known(f family) (list []contact) {
	for _, c := range *n.saved.Load() {
		if familyOf(c.addr.Addr()) == f {
			list = append(list, c)
		}
	}
	if len(list) >= closest {
		return list
	}
	for _, a := range *n.bootstrap.Load() {
		if familyOf(a.Addr()) == f {
			list = append(list, contact{addr: a})
		}
	}
	return list
}
