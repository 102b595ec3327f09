package rollout

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
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
	batchEvery   = time.Second // within which a report that says nothing new is written
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

// Token makes a token with which machines enroll until it is over.
func (r *Reports) Token(ctx context.Context, life time.Duration) (token string, until time.Time, err error) {
	token = rand.Text()
	err = r.store.Update(ctx, func(tx Tx) error {
		now := r.now(tx)
		var over []string
		err := tx.Each(tokensBucket, "", func(key string, v []byte) error {
			if t, err := time.Parse(time.RFC3339, string(v)); err != nil || !now.Before(t) {
				over = append(over, key)
			}
			return nil
		})
		for _, key := range over {
			err = errors.Join(err, tx.Delete(tokensBucket, key))
		}
		until = now.Add(life).Truncate(time.Second)
		return errors.Join(err, tx.Put(tokensBucket, hashOf(token), []byte(until.Format(time.RFC3339))))
	})
	return token, until, err
}

func hashOf(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// enrolled is a machine whose reports count.
type enrolled struct {
	Machine string    `json:"machine"`
	At      time.Time `json:"at"`
	Cloned  bool      `json:"cloned,omitempty"`
}

// Enroll makes the reports that a key signs count. Doing it again changes nothing. A machine's id that another key is enrolled with is noticed: both are marked.
func (r *Reports) Enroll(ctx context.Context, key string, e *fleet.Enrollment) error {
	return r.store.Update(ctx, func(tx Tx) error {
		until, err := tx.Get(tokensBucket, hashOf(e.Token))
		if err != nil {
			return err
		}
		if t, err := time.Parse(time.RFC3339, string(until)); err != nil || !r.now(tx).Before(t) {
			return ErrToken
		}
		m := enrolled{Machine: e.Machine, At: r.now(tx).Truncate(time.Second)}
		other, err := tx.Get(idsBucket, e.Machine)
		if err != nil {
			return err
		}
		if other != nil && string(other) != key {
			m.Cloned = true
			r.cfg.Log.Warn("two machines have the same id: one was made as a copy of the other", "machine", e.Machine)
			var o enrolled
			if found, err := get(tx, machinesBucket, string(other), &o); err != nil {
				return err
			} else if found {
				o.Cloned = true
				if err := put(tx, machinesBucket, string(other), o); err != nil {
					return err
				}
			}
		}
		return errors.Join(put(tx, machinesBucket, key, m), tx.Put(idsBucket, e.Machine, []byte(key)))
	})
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

// get reads a value as JSON into v.
func get(tx Tx, bucket, key string, v any) (found bool, err error) {
	b, err := tx.Get(bucket, key)
	if err != nil || b == nil {
		return false, err
	}
	return true, json.Unmarshal(b, v)
}

// put writes v as JSON.
func put(tx Tx, bucket, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put(bucket, key, b)
}
