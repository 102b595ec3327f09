package swarm

import (
	"errors"
	"time"

	"shoal/swarm/wire"
)

// What a peer may send that is of no use, or costs more than it brings.

var errBitfields = errors.New("flood of bitfields")

// controlCost is how much of its control budget a message takes: by its bytes too, since those cost the line even where they are skipped.
func controlCost(m *wire.Message) float64 {
	if m.Type == wire.Extended {
		switch m.ExtID {
		case wire.IDDontHave:
			return 0 // an origin takes back many at once: see tookDontHave
		case wire.IDMetadata:
			return 1 // as long as it was asked for
		}
	}
	return 1 + float64(len(m.Payload)+int(m.Length))/controlBytes
}

// maxBitfields bounds how often a peer says anew all that it has, per second. aria2 does so in place of many
// HAVEs.
const maxBitfields = 5

// useless takes note of a message that makes no sense; an error when there are too many.
func (c *conn) useless(what string) error { return c.uselessBytes(0, what) }

// uselessBytes does the same for a message of n bytes, which cost the line.
func (c *conn) uselessBytes(n int, what string) error {
	if c.nonsense.takeMany(c.s.now(), 1+float64(n)/controlBytes) {
		return nil
	}
	return errors.New("flood of " + what)
}

const (
	// maxControl bounds messages that are neither content nor about it, per second; so many bytes of them count as one more.
	maxControl   = 2000
	controlBytes = 1 << 10
	// maxNonsense bounds messages that are of no use, per second: HAVEs that say nothing new,
	// cancels and refusals of what was not asked, requests that we turn down.
	maxNonsense = 1000
)

// budget allows so many events a second, with a few seconds' worth saved up.
type budget struct {
	perSec, left float64
	at           time.Time
}

const budgetSaved = 4 // seconds

func newBudget(perSec float64) *budget { return &budget{perSec: perSec, left: budgetSaved * perSec} }

func (b *budget) take(now time.Time) bool { return b.takeMany(now, 1) }

func (b *budget) takeMany(now time.Time, n float64) bool {
	if most := budgetSaved * b.perSec; !b.at.IsZero() && b.left < most { // it may begin with more than is saved up later
		b.left = min(most, b.left+now.Sub(b.at).Seconds()*b.perSec)
	}
	b.at = now
	b.left -= n
	return b.left >= 0
}
