package daemon

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"shoal/internal/port"
	"shoal/swarm"
	"shoal/swarm/dht"
)

// PeerConfig configures a Peer.
type PeerConfig struct {
	Listen string // HOST:PORT; port 0 is any free one
	Swarm  swarm.Config
	DHT    DHTConfig
	Log    *slog.Logger
}

// Peer is a node that only takes part in swarms.
type Peer struct {
	*swarm.Node
	port   *port.Port
	cfg    PeerConfig
	dht    *dht.Node // nil: none
	dhtWhy DHTStatus
}

// NewPeer takes the port. With peers off there is none.
func NewPeer(ctx context.Context, cfg PeerConfig) (*Peer, error) {
	p := &Peer{cfg: cfg, dhtWhy: DHTStatus{Mode: DHTOff, Reason: "peers are off"}}
	if cfg.Swarm.Upload != swarm.UploadOff {
		var err error
		if p.port, err = port.Listen(ctx, cfg.Listen); err != nil {
			return nil, err
		}
		cfg.Swarm.Port = p.port.Number()
		if p.dht, p.dhtWhy = newDHT(ctx, cfg.DHT, p.port, "", nil, cfg.Log); p.dht != nil {
			cfg.Swarm.Finder = p.dht
		}
	}
	cfg.Swarm.Log = cfg.Log
	p.Node = swarm.New(cfg.Swarm)
	return p, nil
}

// Port is the number that others can dial; 0 if there is none.
func (p *Peer) Port() int {
	if p.port == nil {
		return 0
	}
	return p.port.Number()
}

// DHT is whether the node takes part in the DHT, and how it is doing there.
func (p *Peer) DHT() DHTStatus { return dhtStatus(p.dht, p.dhtWhy) }

// Run takes part until ctx is done.
func (p *Peer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Node.Run(ctx) })
	if p.port != nil {
		h := port.Handlers{BitTorrent: p.HandleConn, Log: p.cfg.Log}
		if p.dht != nil {
			h.DHT = p.dht.HandleUDP
			g.Go(func() error { return p.dht.Run(ctx) })
		}
		g.Go(func() error { return p.port.Run(ctx, h) })
	}
	return g.Wait()
}
