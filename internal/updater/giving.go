package updater

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"shoal/internal/deliver"
)

// giving is what Releases does for others between updates. Its goroutines, one that keeps the repository's state in the DHT and one that compares logs, end with close.
type giving struct {
	peer    *Peer // nil: it was not needed yet
	swarm   *deliver.Swarm
	trusted *deliver.Trusted // what was checked last; nil: nothing yet

	gift     Gift
	trackers [][]string
	given    *deliver.Given // of gift; nil: nothing
	unwatch  func()         // ends the comparing of logs; nil: there is none
	forget   func()         // ends the keeping of the state; nil: there is none
	version  atomic.Int64   // of the newest timestamp that was seen
	news     chan struct{}  // that it has changed; has room for one
}

// expect says which state of the repository there is.
func (g *giving) expect(version int64) {
	if g.news == nil {
		g.news = make(chan struct{}, 1)
	}
	if g.version.Swap(version) == version {
		return
	}
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// node is the one that stays.
func (g *giving) node(start func() (*Peer, error), peers []string) (*Peer, *deliver.Swarm, error) {
	if g.peer == nil {
		var err error
		if g.peer, err = start(); err != nil {
			return nil, nil, err
		}
		g.swarm = swarmOf(g.peer, peers)
	}
	return g.peer, g.swarm, nil
}

// Give implements Giver. All that is given is hashed before, once.
func (r *Releases) Give(ctx context.Context, g Gift) {
	if !r.Stay {
		return
	}
	s := &r.giving
	var trackers [][]string
	if s.trusted != nil {
		trackers = s.trusted.Trackers
		s.expect(s.trusted.Trust.Version())
	}
	if g == s.gift && (len(trackers) == 0 || slices.EqualFunc(trackers, s.trackers, slices.Equal)) {
		return
	}
	if err := s.stopGiving(); err != nil {
		r.log().Warn("ending what was given to others", "err", err)
	}
	if g.Version == "" {
		s.gift = g
		return
	}
	way := reach{Releases: r}
	if err := way.start(ctx, false, r.Source.Hosts()); err != nil {
		r.log().Warn("nothing is given to others", "err", err)
		return
	}
	s.given = deliver.Give(ctx, s.peer.Node, deliver.Gift{V2: g.V2, Path: g.Path, Artefacts: g.Give, StateDir: r.Config.StateDir, Trackers: trackers, Release: s.trusted})
	if ctx.Err() != nil {
		return
	}
	s.gift, s.trackers = g, trackers
	if s.given.Left != nil {
		r.log().Info("not all of it is given to others", "version", g.Version, "err", s.given.Left)
	}
	if s.given.Bytes > 0 {
		r.log().Info("given to others", "version", g.Version, "bytes", s.given.Bytes)
	}
	if s.trusted == nil {
		return
	}
	forked := r.Forked
	if forked == nil {
		forked = func(err error) { r.log().Error("the repository's log", "err", err) }
	}
	t := s.trusted
	s.unwatch = inBackground(ctx, func(ctx context.Context) { t.Watch(ctx, forked) })
	if sw, keys := s.swarm, t.Trust.Items(); sw != nil && s.forget == nil {
		s.forget = inBackground(ctx, func(ctx context.Context) { sw.KeepStateOf(ctx, keys, s.version.Load, s.news, r.log()) })
	}
}

// inBackground runs something until the function that it returns is called.
func inBackground(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var g sync.WaitGroup
	g.Go(func() { run(ctx) })
	return func() {
		cancel()
		g.Wait()
	}
}

func (r *Releases) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}

// stopGiving ends what is given of the gift.
func (s *giving) stopGiving() (err error) {
	if s.unwatch != nil {
		s.unwatch()
	}
	if s.given != nil {
		err = s.given.Close()
	}
	s.unwatch, s.given, s.gift = nil, nil, Gift{}
	return err
}

// Close implements Giver: the node goes.
func (r *Releases) Close() error {
	s := &r.giving
	err := s.stopGiving()
	if s.forget != nil {
		s.forget()
	}
	if s.peer != nil {
		err = errors.Join(err, s.peer.Stop())
	}
	s.peer, s.swarm, s.forget = nil, nil, nil
	return err
}
