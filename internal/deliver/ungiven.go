package deliver

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
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

// namedTime is how long peers may still be named, by a tracker, on the LAN or in the DHT, when all web seeds have said for good that they do not have an archive or a patch, or
// have another one.
const namedTime = 2 * time.Second

// ungiven watches the fetch of an archive or a patch to its end. It is an error that nobody has it, as far as one can know, or that nobody gives any of it while somebody has the tree.
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
	denied := time.Time{}
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.Done():
			return nil // why it has failed, if it has, others say
		case now = <-tick.C:
		}
		if _, all := t.Denied(); !all {
			denied = time.Time{}
		} else if denied.IsZero() {
			denied = now
		}
		n := sum(t.Stats().From)
		switch {
		case !denied.IsZero() && (now.Sub(denied) >= namedTime || !s.mayBeNamed()):
			return &Error{ErrNoSource, "who was asked does not have it: " + situation(t), ""}
		case n != came || t.Given():
			given, found, came = now, time.Time{}, n
			forget()
		case tree == nil && now.Sub(given) > ungivenTime:
			var err error
			if tree, err = s.searchTree(ctx, t); err != nil {
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

// mayBeNamed says whether peers may be heard of that nobody has named yet.
func (s *stager) mayBeNamed() bool {
	return s.node.Uploads() != swarm.UploadOff && (s.Discovers || len(s.Trackers) > 0)
}

// treeSearch looks for somebody who has the tree, until its end.
type treeSearch struct {
	peers *swarm.Transfer // ends with swarm.ErrNothingSelected once a peer has described it: nothing else of it is fetched; nil: peers are off
	web   atomic.Bool     // a web seed has it
	stop  context.CancelFunc
	asks  sync.WaitGroup
}

// searchTree begins it, while an archive or a patch is not given.
func (s *stager) searchTree(ctx context.Context, ungiven *swarm.Transfer) (*treeSearch, error) {
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
	f.asks.Go(func() { f.web.Store(s.onWebSeed(ctx, ungiven)) })
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

// onWebSeed waits until a web seed gives the tree's first byte; false: ctx is done. Asked are those that the publisher has named. The origin is none of them: what it keeps
// its budget for is not asked of it another way. But once all have said of what is not given that they do not have it, it is asked as well.
func (s *stager) onWebSeed(ctx context.Context, ungiven *swarm.Transfer) bool {
	again := time.NewTicker(ungivenTime)
	defer again.Stop()
	for t := s.survey.tree; ; {
		if t == nil {
			if packed, err := s.Release.Trust.Metainfo(ctx, s.Release.Found); err == nil {
				t, _ = UnpackMetainfo(packed, s.Release.Tree()) // what is wrong with it is said by who goes that way
			}
		}
		if t != nil && slices.ContainsFunc(t.WebSeeds, func(u string) bool { return s.gives(ctx, t.Info, u, nil) }) {
			return true
		}
		if web, _ := ungiven.Denied(); web && t != nil && s.originGives(ctx, t.Info) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}

// originGives says whether where the release is from, or an edge of it, gives the tree.
func (s *stager) originGives(ctx context.Context, info *piece.Info) bool {
	var local *http.Client
	if s.Local != nil {
		local = &http.Client{Transport: s.Local}
	}
	return slices.ContainsFunc(s.Origin, func(u string) bool { return s.gives(ctx, info, u, local) }) ||
		slices.ContainsFunc(slices.Concat(s.WebSeeds, s.Spares), func(u string) bool { return s.gives(ctx, info, u, nil) })
}

func (s *stager) gives(ctx context.Context, info *piece.Info, url string, client *http.Client) (came bool) {
	src, err := webfetch.New(webfetch.Config{URL: url, Info: info, UserAgent: s.UserAgent, Client: client, Idle: ungivenTime})
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
