package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Store keeps what an origin knows of its fleet: values by their keys, in buckets. It is safe for concurrent use. [OpenBolt] has one in a file, [OpenPostgres] one
// that several origins share.
type Store interface {
	// Update runs f in a transaction of its own: no other is under way meanwhile, at whichever origin. What f has changed is durable when Update returns; if f, or
	// Update, returns an error, nothing has changed, or, where the way to the database was lost, all of it may have.
	Update(ctx context.Context, f func(Tx) error) error
	// View runs f on what was there at one moment. f changes nothing.
	View(ctx context.Context, f func(Tx) error) error
	Close() error
}

// Tx is a transaction. It is for one goroutine, while the function that it was given to runs; so are the values that it returns.
type Tx interface {
	// Get returns a value; nil if there is none.
	Get(bucket, key string) ([]byte, error)
	Put(bucket, key string, value []byte) error
	// Delete removes a value, if there is one.
	Delete(bucket, key string) error
	// Each calls f with all whose key begins with prefix, in the order of their keys. f changes nothing in that bucket.
	Each(bucket, prefix string, f func(key string, value []byte) error) error
	// Next is a number that is larger than all that were ever returned for the bucket, by a transaction that has changed something.
	Next(bucket string) (uint64, error)
	// Now is the time by the store's clock, which is one for all origins.
	Now() time.Time
}

const openTimeout = 5 * time.Second

type boltStore struct{ db *bolt.DB }

// OpenBolt opens a store in the file at path, and makes it if it is not there. One process has it at a time.
func OpenBolt(path string) (Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: openTimeout, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return boltStore{db}, nil
}

func (s boltStore) Close() error { return s.db.Close() }

func (s boltStore) Update(ctx context.Context, f func(Tx) error) error {
	return s.run(ctx, s.db.Update, f)
}

func (s boltStore) View(ctx context.Context, f func(Tx) error) error {
	return s.run(ctx, s.db.View, f)
}

func (s boltStore) run(ctx context.Context, in func(func(*bolt.Tx) error) error, f func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return in(func(tx *bolt.Tx) error { return f(boltTx{tx}) })
}

type boltTx struct{ tx *bolt.Tx }

func (t boltTx) Now() time.Time { return time.Now() }

func (t boltTx) Get(bucket, key string) ([]byte, error) {
	if b := t.tx.Bucket([]byte(bucket)); b != nil {
		return b.Get([]byte(key)), nil
	}
	return nil, nil
}

func (t boltTx) Put(bucket, key string, value []byte) error {
	b, err := t.tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return err
	}
	return b.Put([]byte(key), value)
}

func (t boltTx) Delete(bucket, key string) error {
	if b := t.tx.Bucket([]byte(bucket)); b != nil {
		return b.Delete([]byte(key))
	}
	return nil
}

func (t boltTx) Each(bucket, prefix string, f func(key string, value []byte) error) error {
	b := t.tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == prefix; k, v = c.Next() {
		if err := f(string(k), v); err != nil {
			return err
		}
	}
	return nil
}

func (t boltTx) Next(bucket string) (uint64, error) {
	b, err := t.tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return 0, err
	}
	return b.NextSequence()
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
