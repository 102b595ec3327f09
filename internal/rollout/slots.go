package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
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
	PerGroup int              // slots of each group; 0: any number
	Lease    time.Duration    // after which a slot is free that was not given back; zero means an hour
	Now      func() time.Time // nil means the store's clock
	// Rollouts are those that are under way, whose waves a machine that asks for a slot must belong to. Nil: none are.
	Rollouts *Rollouts
}

// Slots are the slots of all groups. It is safe for concurrent use.
type Slots struct {
	store Store
	cfg   SlotsConfig
}

const (
	holdersBucket = "holders" // by group: []Holder
	defaultLease  = time.Hour
	maxGroups     = 1000 // a stranger can name any
	maxHolders    = 10_000
)

// NewSlots has the slots in a store, which stays the caller's to close.
func NewSlots(store Store, c SlotsConfig) *Slots {
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	return &Slots{store, c}
}

// Acquire takes a slot of a group for a machine, or finds that it has one, whose lease then begins anew. For whom c says what it is for, the wave is looked at in the
// same transaction: a machine that it has not reached is an ErrWave, and a wave of so many machines never has more. c may be nil.
func (s *Slots) Acquire(ctx context.Context, group, id string, c *Claim) (*Holder, error) {
	var got *Holder
	err := s.change(ctx, group, func(tx Tx, holders []Holder, now time.Time) ([]Holder, error) {
		if c != nil {
			if err := s.cfg.Rollouts.admit(tx, id, c, now); err != nil {
				return nil, err
			}
		}
		i := slices.IndexFunc(holders, func(h Holder) bool { return h.ID == id })
		if i < 0 {
			if s.cfg.PerGroup > 0 && len(holders) >= s.cfg.PerGroup || len(holders) >= maxHolders {
				return nil, &TakenError{holders}
			}
			token, err := tx.Next(holdersBucket)
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
func (s *Slots) Release(ctx context.Context, group, id string) error {
	return s.change(ctx, group, func(_ Tx, holders []Holder, _ time.Time) ([]Holder, error) {
		return slices.DeleteFunc(holders, func(h Holder) bool { return h.ID == id }), nil
	})
}

// Holders lists who has slots, by group, without those whose lease is over.
func (s *Slots) Holders(ctx context.Context) (map[string][]Holder, error) {
	all := map[string][]Holder{}
	err := s.store.View(ctx, func(tx Tx) error {
		clear(all)
		return tx.Each(holdersBucket, "", func(group string, v []byte) error {
			holders, err := parseHolders(v, s.now(tx))
			if len(holders) > 0 {
				all[group] = holders
			}
			return err
		})
	})
	return all, err
}

func (s *Slots) now(tx Tx) time.Time {
	if s.cfg.Now != nil {
		return s.cfg.Now().UTC().Truncate(time.Second)
	}
	return tx.Now().UTC().Truncate(time.Second)
}

// change changes the holders of a group, without those whose lease is over, in one transaction. An error changes nothing.
func (s *Slots) change(ctx context.Context, group string, f func(tx Tx, holders []Holder, now time.Time) ([]Holder, error)) error {
	return s.store.Update(ctx, func(tx Tx) error {
		now := s.now(tx)
		was, err := tx.Get(holdersBucket, group)
		if err != nil {
			return err
		}
		holders, err := parseHolders(was, now)
		if err != nil {
			return err
		}
		if holders, err = f(tx, holders, now); err != nil {
			return err
		}
		if len(holders) == 0 {
			return tx.Delete(holdersBucket, group)
		}
		if was == nil {
			groups := 0
			if err := tx.Each(holdersBucket, "", func(string, []byte) error { groups++; return nil }); err != nil {
				return err
			}
			if groups >= maxGroups {
				return errors.New("too many groups")
			}
		}
		v, err := json.Marshal(holders)
		if err != nil {
			return err
		}
		return tx.Put(holdersBucket, group, v)
	})
}

// parseHolders reads the holders of a group, without those whose lease is over.
func parseHolders(v []byte, now time.Time) (holders []Holder, err error) {
	if v != nil {
		err = json.Unmarshal(v, &holders)
	}
	return slices.DeleteFunc(holders, func(h Holder) bool { return !now.Before(h.Until) }), err
}
