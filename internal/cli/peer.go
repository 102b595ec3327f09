package cli

import (
	"context"

	"golang.org/x/sync/errgroup"

	"shoal/internal/daemon"
	"shoal/swarm"
)

// runningPeer is a node that takes part until it is stopped.
type runningPeer struct {
	*daemon.Peer
	env    *env
	cancel context.CancelFunc
	group  *errgroup.Group
}

// startPeer makes a node, and runs it. hosts are those that the content comes from. One that stays answers others in the DHT.
func (e *env) startPeer(ctx context.Context, private bool, hosts []string, stays bool) (*runningPeer, error) {
	e.limits.Lock()
	defer e.limits.Unlock()
	role, _ := swarm.ParseRole(e.settings.String("role"))
	config, around, err := e.swarmConfig(role, clientPeers)
	if err != nil {
		return nil, err
	}
	config.Upload = e.upload()
	dht := e.dht(private, hosts...)
	dht.ReadOnly = !stays // who leaves soon would be asked in vain
	peer := daemon.PeerConfig{Listen: e.settings.String("listen"), Version: readVersion().Version, Log: e.log, Swarm: config, DHT: dht, Limits: e.settings.limits(), Around: around}
	if e.settings.has("state-dir") {
		peer.StateDir = e.settings.String("state-dir")
	}
	node, err := daemon.NewPeer(ctx, peer)
	if err != nil {
		return nil, err
	}
	e.log.Debug(node.DHT().String())
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &runningPeer{node, e, cancel, &errgroup.Group{}}
	p.group.Go(func() error { return node.Run(running) })
	if e.peers == nil {
		e.peers = map[*daemon.Peer]bool{}
	}
	e.peers[node] = true
	return p, nil
}

// looks says where the node finds peers that nobody names.
func (p *runningPeer) looks() string {
	switch {
	case !p.Finds():
		return "for neighbours on the LAN"
	case !p.Discovers:
		return "in the DHT"
	}
	return "in the DHT, and for neighbours on the LAN"
}

// stop ends the node, and waits for it.
func (p *runningPeer) stop() error {
	p.env.limits.Lock()
	delete(p.env.peers, p.Peer)
	p.env.limits.Unlock()
	p.cancel()
	return p.group.Wait()
}
