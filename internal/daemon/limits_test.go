package daemon

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"shoal/swarm"
)

// Limits by the time of day change when their time comes, whatever else happens.
func TestLimitsGoByTheTimeOfDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set Limits
		if err := set.Set("limit-up", "08:00-18:00=5M,else=50M"); err != nil {
			t.Fatal(err)
		}
		node := swarm.New(swarm.Config{})
		b := newBounds(set, node, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.follow(ctx) }()
		time.Sleep(time.Second) // a moment after each hour
		for range 49 {
			now, want := time.Now(), int64(50_000_000)
			if h := now.Hour(); h >= 8 && h < 18 {
				want = 5_000_000
			}
			if up := node.Limits().Up; up != want {
				t.Errorf("at %v the limit is %d, want %d", now, up, want)
			}
			time.Sleep(time.Hour)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
