package daemon

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/deliver"
	"shoal/internal/port"
	"shoal/swarm"
	"shoal/swarm/dht"
)

// PeerConfig configures a Peer.
type PeerConfig struct {
	Listen string // HOST:PORT; port 0 is any free one
	Swarm  swarm.Config
	Limits Limits // instead of those in Swarm
	Around Around
	DHT    DHTConfig
	// StateDir is where the control socket is while the peer runs, see RunSocket; "": there is none.
	StateDir string
	Version  string
	Log      *slog.Logger
}

// Peer is a node that only takes part in swarms.
type Peer struct {
	*swarm.Node
	// Discovers says that the node finds peers that nobody names.
	Discovers bool
	port      *port.Port
	bounds    *bounds
	cfg       PeerConfig
	dht       *dht.Node // nil: none
	dhtWhy    DHTStatus
	serving   servers
	started   time.Time
}

// NewPeer takes the port. With peers off there is none.
func NewPeer(ctx context.Context, cfg PeerConfig) (*Peer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Peer{cfg: cfg, started: time.Now(), dhtWhy: DHTStatus{Mode: DHTOff, Reason: "peers are off"}}
	if cfg.Swarm.Upload != swarm.UploadOff {
		var err error
		if p.port, err = port.Listen(ctx, cfg.Listen); err != nil {
			return nil, err
		}
		cfg.Around.apply(&cfg.Swarm, p.port)
		if p.dht, p.dhtWhy = newDHT(ctx, cfg.DHT, p.port, "", nil, cfg.Log); p.dht != nil {
			cfg.Swarm.Finder = p.dht
		}
	}
	cfg.Swarm.Log = cfg.Log
	p.Discovers = cfg.Swarm.LAN != nil
	p.Node = swarm.New(cfg.Swarm)
	p.bounds = newBounds(cfg.Limits, p.Node, nil, map[string]string{"origin-budget": whoRations}, p.cfg.Log)
	return p, nil
}

// Port is the number that others can dial; 0 if there is none.
func (p *Peer) Port() int {
	if p.port == nil {
		return 0
	}
	return p.port.Number()
}

// ChangeLimits changes limits while the peer runs: texts as users write them, by the limits' names.
func (p *Peer) ChangeLimits(texts map[string]string) error { return p.bounds.change(texts) }

// DHT is whether the node takes part in the DHT, and how it is doing there.
func (p *Peer) DHT() DHTStatus { return dhtStatus(p.dht, p.dhtWhy) }

// Items is where repositories are found without their origin; nil: nowhere.
func (p *Peer) Items() deliver.Items { return itemsOf(p.dht) }

// Run takes part until ctx is done.
func (p *Peer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Node.Run(ctx) })
	g.Go(func() error { return p.bounds.follow(ctx) })
	if p.cfg.StateDir != "" {
		g.Go(func() error { return p.serveControl(ctx) })
	}
	if p.port != nil {
		g.Go(func() error { return p.cfg.Around.run(ctx, p.Node, p.port, p.cfg.Log) })
		h := port.Handlers{BitTorrent: p.HandleConn, Encrypted: p.HandleEncrypted, Log: p.cfg.Log}
		if p.dht != nil {
			h.DHT = p.dht.HandleUDP
			g.Go(func() error { return p.dht.Run(ctx) })
		}
		g.Go(func() error { return p.port.Run(ctx, h) })
	}
	return g.Wait()
}
