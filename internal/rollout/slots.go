package rollout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrTaken is that others have all slots of a group. A *TakenError says who.
var ErrTaken = errors.New("all slots are taken")

// TakenError says who has the slots.
type TakenError struct{ Holders []Holder }

func (e *TakenError) Error() string {
	var ids []string
	for _, h := range e.Holders {
		ids = append(ids, h.ID)
	}
	return ErrTaken.Error() + " by " + strings.Join(ids, ", ")
}

func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// Holder is a machine that has a slot.
type Holder struct {
	ID    string    `json:"id"`
	Token uint64    `json:"token"` // larger than that of each holder before, of whatever group
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // when its lease is over
}

// SlotsConfig configures Slots.
type SlotsConfig struct {
	PerGroup int           // slots of each group
	Lease    time.Duration // after which a slot is free that was not given back; zero means an hour
	Now      func() time.Time
}

// Slots are the slots of all groups. It is safe for concurrent use; one process has the file at a time.
type Slots struct {
	db  *bolt.DB
	cfg SlotsConfig
}

var holdersBucket = []byte("holders") // not changed

const (
	defaultLease = time.Hour
	openTimeout  = 5 * time.Second
	maxGroups    = 1000 // a stranger can name any
)

// OpenSlots opens the file at path, and makes it if it is not there.
func OpenSlots(path string, c SlotsConfig) (*Slots, error) {
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: openTimeout})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return &Slots{db, c}, nil
}

// Close closes the file.
func (s *Slots) Close() error { return s.db.Close() }

// Acquire takes a slot of a group for a machine, or finds that it has one, whose lease then begins anew.
func (s *Slots) Acquire(group, id string) (*Holder, error) {
	var got *Holder
	err := s.change(group, func(b *bolt.Bucket, holders []Holder, now time.Time) ([]Holder, error) {
		i := slices.IndexFunc(holders, func(h Holder) bool { return h.ID == id })
		if i < 0 {
			if len(holders) >= s.cfg.PerGroup {
				return holders, &TakenError{holders}
			}
			token, err := b.NextSequence()
			if err != nil {
				return nil, err
			}
			i, holders = len(holders), append(holders, Holder{ID: id, Token: token, Since: now})
		}
		holders[i].Until = now.Add(s.cfg.Lease)
		h := holders[i]
		got = &h
		return holders, nil
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// Release gives a machine's slot back, if it has one.
func (s *Slots) Release(group, id string) error {
	return s.change(group, func(_ *bolt.Bucket, holders []Holder, _ time.Time) ([]Holder, error) {
		return slices.DeleteFunc(holders, func(h Holder) bool { return h.ID == id }), nil
	})
}

// change changes the holders of a group, without those whose lease is over, in one transaction. An error changes nothing.
func (s *Slots) change(group string, f func(b *bolt.Bucket, holders []Holder, now time.Time) ([]Holder, error)) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(holdersBucket)
		if err != nil {
			return err
		}
		holders, err := read(b, group)
		if err != nil {
			return err
		}
		now := s.cfg.Now().UTC().Truncate(time.Second)
		holders = slices.DeleteFunc(holders, func(h Holder) bool { return !now.Before(h.Until) })
		if holders, err = f(b, holders, now); err != nil {
			return err
		}
		if len(holders) == 0 {
			return b.Delete([]byte(group))
		}
		if b.Get([]byte(group)) == nil && b.Stats().KeyN >= maxGroups {
			return errors.New("too many groups")
		}
		v, err := json.Marshal(holders)
		if err != nil {
			return err
		}
		return b.Put([]byte(group), v)
	})
}

func read(b *bolt.Bucket, group string) (holders []Holder, err error) {
	if v := b.Get([]byte(group)); v != nil {
		err = json.Unmarshal(v, &holders)
	}
	return holders, err
}
