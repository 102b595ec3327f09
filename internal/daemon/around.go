package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"shoal/internal/port"
	"shoal/internal/portmap"
	"shoal/swarm"
	"shoal/swarm/ipset"
	"shoal/swarm/lan"
)

// Around is what a node does about the network that it stands in.
type Around struct {
	// NoLAN switches off discovery of neighbours (BEP 14). A port on loopback has none anyway.
	NoLAN bool
	// MapPort asks the router to let others in.
	MapPort bool
	// Filter says with whom to speak; nil: with everybody. Whoever makes it reads its files once.
	Filter *ipset.Filter
}

// apply completes a node's configuration for the port that it has.
func (a *Around) apply(c *swarm.Config, p *port.Port) {
	c.Port = p.Number()
	if bound := p.Addr().Addr(); !a.NoLAN && !bound.IsLoopback() {
		c.LAN = &lan.Config{Bound: bound}
	}
	if a.Filter != nil {
		c.Admit = a.Filter.Admits
	}
}

// run keeps to it until ctx is done.
func (a *Around) run(ctx context.Context, n *swarm.Node, p *port.Port, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if a.MapPort && !p.Addr().Addr().IsLoopback() {
		wg.Go(func() {
			portmap.Run(ctx, portmap.Config{Port: p.Number(), Mapped: func(a netip.AddrPort) { n.SetPort(int(a.Port())) }, Log: log})
		})
	}
	a.Filter.Follow(ctx, log)
	return nil
}
