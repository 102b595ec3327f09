package updater

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Run follows the channel until ctx is done: it asks again and again, and has a Source that is a Giver give what is installed meanwhile. What cannot become better by
// waiting ends it.
func (u *Updater) Run(ctx context.Context) (err error) {
	giver, gives := u.cfg.Source.(Giver)
	if gives {
		defer func() { err = errors.Join(err, giver.Close()) }()
	}
	failures := 0
	for {
		err := u.Once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var held *HeldError
		var until time.Time
		switch {
		case err == nil, errors.Is(err, ErrRolledBack):
			failures = 0
		case errors.As(err, &held):
			failures, until = 0, held.Decision.Until
		case errors.Is(err, ErrLayout):
			return err
		default:
			failures++
			u.cfg.Log.Warn("looking for an update", "err", err, "failures", failures)
		}
		if gives {
			giver.Give(ctx, u.gift())
		}
		select {
		case <-time.After(pause(u.cfg.Every, failures, u.cfg.Now(), until, rand.Float64())):
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	firstRetry = time.Minute     // after a failure
	spread     = 2 * time.Minute // within which machines begin that wait for the same moment
)

// pause is how long to wait before the next check. Machines that were started together do not ask together: chance is from 0 to 1. After failures it begins with a
// minute and doubles, up to four times the usual. until, if it is not zero, is when the answer changes.
func pause(every time.Duration, failures int, now, until time.Time, chance float64) time.Duration {
	wait := every
	if failures > 0 {
		wait = min(4*every, firstRetry<<min(failures-1, 20))
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*chance))
	if !until.IsZero() {
		wait = min(wait, max(0, until.Sub(now))+time.Duration(chance*float64(min(spread, every))))
	}
	return wait
}
