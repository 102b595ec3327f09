package deliver

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/piece"
	"shoal/swarm"
	"shoal/swarm/webfetch"
)

// An archive or a patch may be with nobody while the tree is: an origin that has gone had all, machines give the tree and what they came by, which may be another
// patch, and a web seed that the publisher has named has the tree alone. ungivenTime is how long nobody gives anything until these are asked for the tree, and againTime
// how long that goes on once one has it: who has failed is asked once more meanwhile, so that of an origin that only restarts the planned way is gone on.
const (
	ungivenTime = 10 * time.Second
	againTime   = 5 * time.Second
)

// ungiven watches the fetch of an archive or a patch to its end. It is an error that nobody gives any of it, while somebody has the tree.
func (s *stager) ungiven(ctx context.Context, t *swarm.Transfer) error {
	var tree *treeSearch
	forget := func() {
		if tree != nil {
			tree.end()
			tree = nil
		}
	}
	defer forget()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	given, found, came := time.Now(), time.Time{}, int64(0)
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.Done():
			return nil // why it has failed, if it has, others say
		case now = <-tick.C:
		}
		n := sum(t.Stats().From)
		switch {
		case n != came || t.Given():
			given, found, came = now, time.Time{}, n
			forget()
		case tree == nil && now.Sub(given) > ungivenTime:
			var err error
			if tree, err = s.searchTree(ctx); err != nil {
				return err
			}
		case tree != nil && found.IsZero() && tree.found():
			found = now
			t.Retry()
		case !found.IsZero() && now.Sub(found) > againTime:
			return &Error{ErrNoSource, "nobody gives it, and others have the tree: " + situation(t), ""}
		}
	}
}

// treeSearch looks for somebody who has the tree, until its end.
type treeSearch struct {
	peers *swarm.Transfer // ends with swarm.ErrNothingSelected once a peer has described it: nothing else of it is fetched; nil: peers are off
	web   atomic.Bool     // a web seed has it
	stop  context.CancelFunc
	asks  sync.WaitGroup
}

func (s *stager) searchTree(ctx context.Context) (*treeSearch, error) {
	f := new(treeSearch)
	if s.node.Uploads() != swarm.UploadOff {
		a := s.Release.Tree()
		spec := swarm.Spec{V2: mustV2(a), HasV2: true, Dir: s.Dir, SelectIndex: func(int) bool { return false }, Trackers: s.Trackers, Peers: s.Peers}
		if v1, err := hex.DecodeString(a.V1); err == nil && len(v1) == len(spec.V1) {
			spec.V1, spec.HasV1 = [20]byte(v1), true
		}
		var err error
		if f.peers, err = s.node.Add(spec); err != nil {
			return nil, err
		}
	}
	ctx, f.stop = context.WithCancel(ctx)
	f.asks.Go(func() { f.web.Store(s.onWebSeed(ctx)) })
	return f, nil
}

func (f *treeSearch) found() bool {
	return f.web.Load() || f.peers != nil && isClosed(f.peers.Done()) && errors.Is(f.peers.Err(), swarm.ErrNothingSelected)
}

func (f *treeSearch) end() {
	f.stop()
	f.asks.Wait()
	if f.peers != nil {
		f.peers.Close()
	}
}

// onWebSeed waits until a web seed that the publisher has named gives the tree's first byte; false: there is none, or ctx is done. The origin is none of them: what it keeps
// its budget for is not asked of it another way.
func (s *stager) onWebSeed(ctx context.Context) bool {
	again := time.NewTicker(ungivenTime)
	defer again.Stop()
	for t := s.survey.tree; ; {
		if t == nil {
			if packed, err := s.Release.Trust.Metainfo(ctx, s.Release.Found); err == nil {
				t, _ = UnpackMetainfo(packed, s.Release.Tree()) // what is wrong with it is said by who goes that way
			}
		}
		if t != nil && len(t.WebSeeds) == 0 {
			return false
		}
		if t != nil && slices.ContainsFunc(t.WebSeeds, func(u string) bool { return gives(ctx, t.Info, u, s.UserAgent) }) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}

func gives(ctx context.Context, info *piece.Info, url, agent string) (came bool) {
	src, err := webfetch.New(webfetch.Config{URL: url, Info: info, UserAgent: agent, Idle: ungivenTime})
	if err != nil {
		return false
	}
	defer src.Close()
	err = src.Fetch(ctx, 0, 1, func(int64, []byte) error { came = true; return nil })
	return came && err == nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
