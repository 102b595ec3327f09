package rollout

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"shoal/internal/fleet"
)

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
