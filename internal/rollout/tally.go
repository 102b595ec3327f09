package rollout

import (
	"time"

	"shoal/internal/fleet"
)

// Tally is how a version has gone at the machines that are enrolled and follow a channel.
type Tally struct {
	Good int        `json:"good"`
	Bad  int        `json:"bad"`
	Why  string     `json:"why,omitempty"` // of the last that was bad
	From fleet.From `json:"from"`          // bytes by source, of all that have fetched it
}

func tallyKey(app, channel, version string) string { return app + ":" + channel + "@" + version }

// recount keeps the tallies, and who must be heard of, in step with the records. old may be nil.
func recount(tx Tx, old, n *Record) error {
	was := Untried
	wasKey := ""
	if old != nil {
		was, wasKey = old.Outcome, tallyKey(old.App, old.Channel, old.Tried)
	}
	key := tallyKey(n.App, n.Channel, n.Tried)
	if key != wasKey || was != n.Outcome {
		if err := count(tx, wasKey, was, -1, ""); err != nil {
			return err
		}
		if err := count(tx, key, n.Outcome, +1, n.Why); err != nil {
			return err
		}
	}
	if n.State == stateStaged && !n.Again {
		key := tallyKey(n.App, n.Channel, n.Version)
		var t Tally
		if _, err := get(tx, talliesBucket, key, &t); err != nil {
			return err
		}
		t.From = sum(t.From, n.From)
		if err := put(tx, talliesBucket, key, t); err != nil {
			return err
		}
	}
	if was == Open && (n.Outcome != Open || key != wasKey) {
		if err := tx.Delete(openBucket, wasKey+"/"+n.Key); err != nil {
			return err
		}
	}
	if n.Outcome == Open {
		return tx.Put(openBucket, key+"/"+n.Key, []byte(n.due().Format(time.RFC3339)))
	}
	return nil
}

func count(tx Tx, key string, o Outcome, by int, why string) error {
	if o != Good && o != Bad {
		return nil
	}
	var t Tally
	if _, err := get(tx, talliesBucket, key, &t); err != nil {
		return err
	}
	if o == Good {
		t.Good += by
	} else if t.Bad += by; by > 0 {
		t.Why = why
	}
	return put(tx, talliesBucket, key, t)
}
