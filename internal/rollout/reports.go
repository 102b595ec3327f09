package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"shoal/internal/fleet"
)

// What the store has of reports.
const (
	machinesBucket  = "machines"  // by the key's id: enrolled
	idsBucket       = "ids"       // by the machine's id: the key's id
	tokensBucket    = "tokens"    // by the token's SHA-256: when it is over
	recordsBucket   = "records"   // by APP/KEY: Record
	anonymousBucket = "anonymous" // by APP/MACHINE: Record
	talliesBucket   = "tallies"   // by APP:CHANNEL@VERSION: Tally
	openBucket      = "open"      // by APP:CHANNEL@VERSION/KEY: when the machine must be heard of again
	retryBucket     = "retry"     // by APP/KEY: []string of versions
	countsBucket    = "counts"    // numbers of what is bounded
)

const (
	maxAnonymous = 10_000
	maxBatch     = 1000
	batchEvery   = 200 * time.Millisecond // within which a report that says nothing new is written
	// DefaultTokenLife is for how long a token enrolls machines.
	DefaultTokenLife = 24 * time.Hour
)

// ErrToken is that a token is none, or is over.
var ErrToken = errors.New("no such token, or it is over: shoal fleet token makes one at the origin")

// ReportsConfig configures Reports.
type ReportsConfig struct {
	Now func() time.Time // nil means the store's clock
	Log *slog.Logger     // nil discards
}

// Reports are what an origin has heard of its fleet. It is safe for concurrent use, and takes reports while [Reports.Run] runs.
type Reports struct {
	store Store
	cfg   ReportsConfig
	in    chan heard

	mu      sync.Mutex
	counted map[string]expectation // by APP:CHANNEL
}

// heard is a report on its way to the store.
type heard struct {
	*fleet.Report
	key, digest string
	cloned      bool
	done        chan<- error // nil: nobody waits
}

// NewReports has the reports in a store, which stays the caller's to close.
func NewReports(store Store, c ReportsConfig) *Reports {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return &Reports{store: store, cfg: c, in: make(chan heard, maxBatch), counted: map[string]expectation{}}
}

func (r *Reports) now(tx Tx) time.Time {
	if r.cfg.Now != nil {
		return r.cfg.Now().UTC()
	}
	return tx.Now().UTC()
}

// Take takes a report. key is the id of the key that has signed it; "" is none. One that says something new is durable when Take returns; one that says
// nothing new is soon.
func (r *Reports) Take(ctx context.Context, report *fleet.Report, key, digest string) (*fleet.Answer, error) {
	var a fleet.Answer
	h := heard{Report: report, digest: digest}
	err := r.store.View(ctx, func(tx Tx) error {
		a, h.key, h.cloned = fleet.Answer{}, "", false
		if key == "" {
			return nil
		}
		var m enrolled
		found, err := get(tx, machinesBucket, key, &m)
		if err != nil || !found || m.Machine != report.Machine {
			return err
		}
		a.Counted, h.key, h.cloned = true, key, m.Cloned
		_, err = get(tx, retryBucket, report.App+"/"+key, &a.Retry)
		return err
	})
	if err != nil {
		return nil, err
	}
	var done chan error
	if a.Counted && !report.Again {
		done = make(chan error, 1)
		h.done = done
	}
	select {
	case r.in <- h:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if done == nil {
		return &a, nil
	}
	select {
	case err := <-done:
		return &a, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Run writes what was taken until ctx is done: all that waits in one transaction.
func (r *Reports) Run(ctx context.Context) error {
	var batch []heard
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		urgent := false
		select {
		case h := <-r.in:
			batch, urgent = append(batch, h), h.done != nil
		case <-tick.C:
			urgent = true
		case <-ctx.Done():
			r.write(context.WithoutCancel(ctx), r.drain(batch))
			return nil
		}
		if urgent || len(batch) >= maxBatch {
			r.write(ctx, r.drain(batch))
			batch = nil
		}
	}
}

// drain adds what waits.
func (r *Reports) drain(batch []heard) []heard {
	for len(batch) < maxBatch {
		select {
		case h := <-r.in:
			batch = append(batch, h)
		default:
			return batch
		}
	}
	return batch
}

func (r *Reports) write(ctx context.Context, batch []heard) {
	if len(batch) == 0 {
		return
	}
	err := r.store.Update(ctx, func(tx Tx) error {
		for _, h := range batch {
			if err := r.record(tx, h); err != nil {
				return err
			}
			runtime.Gosched() // on one core those who ask something would wait for the whole batch, 20 ms in a fleet of 100,000
		}
		return nil
	})
	if err != nil {
		r.cfg.Log.Error("reports of the fleet are lost", "err", err, "reports", len(batch))
	}
	for _, h := range batch {
		if h.done != nil {
			h.done <- err
		}
	}
}

// record writes a report, and what follows from it.
func (r *Reports) record(tx Tx, h heard) error {
	bucket, key := recordsBucket, h.App+"/"+h.key
	if h.key == "" {
		bucket, key = anonymousBucket, h.App+"/"+h.Machine
	}
	var old *Record
	var was Record
	found, err := get(tx, bucket, key, &was)
	if err != nil {
		return err
	}
	if found {
		old = &was
	} else if h.key == "" {
		if ok, err := r.room(tx); err != nil || !ok {
			return err
		}
	}
	n := old.next(h.Report, h.key, h.digest, r.now(tx))
	if n == nil {
		return nil
	}
	n.Cloned = n.Cloned || h.cloned
	if n.Cloned && (old == nil || !old.Cloned) {
		r.cfg.Log.Warn("two machines report as one: one was made as a copy of the other", "machine", h.Machine, "app", h.App)
	}
	if h.key != "" {
		if err := recount(tx, old, n); err != nil {
			return err
		}
		if n.Outcome != Bad && old != nil && old.Outcome == Bad || n.Tried != was.Tried {
			if err := tx.Delete(retryBucket, key); err != nil { // it has heard
				return err
			}
		}
	}
	return put(tx, bucket, key, n)
}

// room says whether there is room for one more who is anonymous.
func (r *Reports) room(tx Tx) (bool, error) {
	var n int
	if _, err := get(tx, countsBucket, anonymousBucket, &n); err != nil {
		return false, err
	}
	if n < maxAnonymous {
		return true, put(tx, countsBucket, anonymousBucket, n+1)
	}
	var stale []string
	err := tx.Each(anonymousBucket, "", func(key string, v []byte) error {
		var one Record
		if json.Unmarshal(v, &one) != nil || one.Stale(r.now(tx)) {
			stale = append(stale, key)
		}
		return nil
	})
	for _, key := range stale {
		err = errors.Join(err, tx.Delete(anonymousBucket, key))
	}
	if err != nil || len(stale) == 0 {
		return false, err
	}
	return true, put(tx, countsBucket, anonymousBucket, n-len(stale)+1)
}

// Retry has machines try again what they had to go back from: those named by machine or key, or all if there are none. It returns how many that are.
func (r *Reports) Retry(ctx context.Context, app string, names []string) (asked int, err error) {
	err = r.store.Update(ctx, func(tx Tx) error {
		asked = 0
		var keys []string
		versions := map[string]string{}
		err := tx.Each(recordsBucket, app+"/", func(key string, v []byte) error {
			var one Record
			if err := json.Unmarshal(v, &one); err != nil {
				return err
			}
			if one.Outcome == Bad && named(&one, names) {
				keys, versions[key] = append(keys, key), one.Tried
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := put(tx, retryBucket, key, []string{versions[key]}); err != nil {
				return err
			}
		}
		asked = len(keys)
		return nil
	})
	return asked, err
}

// named says whether a record is meant: by the id of its machine or key, or the beginning of it; all are if there are no names.
func named(r *Record, names []string) bool {
	for _, n := range names {
		if n != "" && (strings.HasPrefix(r.Machine, n) || strings.HasPrefix(r.Key, n)) {
			return true
		}
	}
	return len(names) == 0
}

// Each calls f with what is known of each machine and app, of those named if there are names: first those that are enrolled. app "" is all.
func (r *Reports) Each(ctx context.Context, app string, names []string, f func(*Record, time.Time) error) error {
	return r.store.View(ctx, func(tx Tx) error {
		now, prefix := r.now(tx), ""
		if app != "" {
			prefix = app + "/"
		}
		for _, bucket := range []string{recordsBucket, anonymousBucket} {
			err := tx.Each(bucket, prefix, func(_ string, v []byte) error {
				var one Record
				if err := json.Unmarshal(v, &one); err != nil {
					return err
				}
				if !named(&one, names) {
					return nil
				}
				return f(&one, now)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
