package edgecache

import (
	"context"
	"time"

	"shoal/internal/deliver"
	"shoal/swarm"
)

// Keep fetches content and gives it to others: until ctx is done, or for as long as hold after it
// is whole; 0 is only until it is whole. filled is called once everything is verified and in place.
// A stop that was asked for after that is no error.
func Keep(ctx context.Context, node *swarm.Node, r deliver.Request, hold time.Duration, filled func(*swarm.Transfer)) error {
	t, err := deliver.Fetch(ctx, node, r)
	if err != nil {
		return err
	}
	defer t.Close()
	filled(t)
	if hold > 0 {
		select {
		case <-time.After(hold):
		case <-ctx.Done():
		}
	}
	return nil
}
