package deliver

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"shoal/swarm"
)

// An archive or a patch may be with nobody while the tree is: an origin that has gone had all, and machines give the tree and what they came by, which may be another
// patch. ungivenTime is how long nobody gives anything until peers are asked for the tree, and againTime how long that goes on once one has it: who has failed is asked
// once more meanwhile, so that of an origin that only restarts the planned way is gone on.
const (
	ungivenTime = 10 * time.Second
	againTime   = 5 * time.Second
)

// ungiven watches the fetch of an archive or a patch to its end. It is an error that nobody gives any of it, while a peer has the tree.
func (s *stager) ungiven(ctx context.Context, t *swarm.Transfer) error {
	var tree *swarm.Transfer // asks who has it
	forget := func() {
		if tree != nil {
			tree.Close()
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
			if tree, err = s.askForTree(); err != nil {
				return err
			}
		case tree != nil && found.IsZero() && isClosed(tree.Done()) && errors.Is(tree.Err(), swarm.ErrNothingSelected):
			found = now
			t.Retry()
		case !found.IsZero() && now.Sub(found) > againTime:
			return &Error{ErrNoSource, "nobody gives it, and there are peers that have the tree: " + situation(t), ""}
		}
	}
}

// askForTree looks for a peer that has the tree, and ends with swarm.ErrNothingSelected once one has described it: nothing else of it is fetched.
func (s *stager) askForTree() (*swarm.Transfer, error) {
	a := s.Release.Tree()
	spec := swarm.Spec{V2: mustV2(a), HasV2: true, Dir: s.Dir, SelectIndex: func(int) bool { return false }, Trackers: s.Trackers, Peers: s.Peers}
	if v1, err := hex.DecodeString(a.V1); err == nil && len(v1) == len(spec.V1) {
		spec.V1, spec.HasV1 = [20]byte(v1), true
	}
	return s.node.Add(spec)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
