package edgecache

import (
	"context"
	"errors"

	"shoal/internal/release"
	"shoal/swarm"
)

// An edge tells peers of a release what it has seen of its repository's log, and compares what they have: so those learn of each other who were shown different logs.

// gossip has peers of a content told of its repository's log, and heard.
func (k *known) gossip(spec *swarm.Spec) {
	if r, ok := k.from.(*repository); ok {
		spec.Note, spec.Heard = r.checkpoint(), r.hear
	}
}

// tellCheckpoint tells peers that are there already of what is new in a repository's log.
func (e *Edge) tellCheckpoint(r *repository) {
	note := r.checkpoint()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.contents {
		if t, _, _ := c.state(); t != nil && c.from == source(r) {
			t.SetNote(note)
		}
	}
}

// witness holds what peers have seen of an origin's log against the log that is here, until ctx is done.
func (e *Edge) witness(ctx context.Context, f *feed) {
	for {
		select {
		case <-ctx.Done():
			return
		case seen := <-f.repository.heard:
			err := f.repository.witness(ctx, seen)
			var refusal *release.Refusal
			switch {
			case errors.As(err, &refusal):
				e.cfg.Log.Error("somebody was shown another log of this repository: its keys have been stolen, or two origins sign", "origin", f.url.Redacted(), "err", err, "evidence", refusal.Hint)
				f.forked(err)
			case err != nil && ctx.Err() == nil:
				e.cfg.Log.Warn("a peer's checkpoint cannot be compared", "origin", f.url.Redacted(), "err", err)
			}
		}
	}
}

func (f *feed) forked(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fork = err
}

// hear takes a checkpoint that a peer has told. It returns at once.
func (r *repository) hear(checkpoint []byte) {
	select {
	case r.heard <- checkpoint:
	default: // more than can be looked at says nothing new
	}
}

// checkpoint is the newest that was seen of the repository's log; nil: none was.
func (r *repository) checkpoint() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.walk == nil {
		return nil
	}
	return r.walk.Checkpoint().Note
}

func (r *repository) witness(ctx context.Context, seen []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.walk == nil {
		return nil
	}
	return r.walk.Witness(ctx, seen)
}

// items are the keys of the item by which the repository is found without its origin.
func (r *repository) items() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.walk == nil {
		return nil
	}
	return r.walk.Items()
}
