package dht

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

// What can go wrong with items.
var (
	// ErrNotFound says that nobody who was asked has the item.
	ErrNotFound = errors.New("not in the DHT")
	// ErrNewer says that a later sequence number has been put already.
	ErrNewer = errors.New("a later one is in the DHT")
	// ErrConflict says that another sequence number than the expected one is there.
	ErrConflict = errors.New("another one than expected is in the DHT")
	// ErrNotStored says that no node has taken the item.
	ErrNotStored = errors.New("no node has stored it")
)

// Get finds an immutable item: the bencoded value whose hash is target.
func (n *Node) Get(ctx context.Context, target ID) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if i, ok := n.items.get(target, time.Now()); ok && i.Key == nil {
		return bytes.Clone(i.Value), nil
	}
	var mu sync.Mutex
	var value []byte
	n.store(ctx, target, message{method: qGet, target: &target}, func(r result) {
		if v := r.m.v; len(v) > 0 && checkValue(v) == nil && ImmutableTarget(v) == target {
			mu.Lock()
			defer mu.Unlock()
			value = bytes.Clone(v)
			cancel() // the first is as good as any
		}
	}, nothing, nil)
	if value == nil {
		return nil, notFound(ctx)
	}
	return value, nil
}

func nothing() *message { return nil }

// notFound is why nothing was found.
func notFound(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrNotFound
}

// GetMutable finds the item of a key and a salt with the highest sequence number that anybody gives out. Its signature has been checked.
func (n *Node) GetMutable(ctx context.Context, key ed25519.PublicKey, salt []byte) (Item, error) {
	target := mutableTarget(key, salt)
	best := n.own(target)
	n.store(ctx, target, message{method: qGet, target: &target}, func(r result) { best.hear(key, salt, r.m) }, nothing, nil)
	if best.item == nil {
		return Item{}, notFound(ctx)
	}
	return *best.item, nil
}

// newest keeps the item with the highest sequence number. Nodes answer in two goroutines.
type newest struct {
	mu   sync.Mutex
	item *Item
}

// own begins with what we keep ourselves.
func (n *Node) own(target ID) *newest {
	best := new(newest)
	if i, ok := n.items.get(target, time.Now()); ok && i.Key != nil {
		i = i.clone()
		best.item = &i
	}
	return best
}

// hear takes an answer to a get. Whatever it lacks or pretends, it is only an answer if all of it fits.
func (n *newest) hear(key ed25519.PublicKey, salt []byte, m *message) {
	if m.seq == nil || m.v == nil || m.key != nil && !bytes.Equal(m.key, key) {
		return
	}
	i := Item{Key: key, Salt: salt, Seq: *m.seq, Value: m.v, Signature: m.sig}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.item != nil && n.item.Seq >= i.Seq || i.Check() != nil {
		return
	}
	i = i.clone()
	n.item = &i
}

// Put stores a bencoded value at the nodes closest to its hash, for two hours, and returns where it lies.
func (n *Node) Put(ctx context.Context, value []byte) (ID, error) {
	if err := checkValue(value); err != nil {
		return ID{}, err
	}
	target := ImmutableTarget(value)
	stored := n.store(ctx, target, message{method: qGet, target: &target}, nil, func() *message {
		return &message{method: qPut, v: value}
	}, nil)
	if stored == 0 {
		return ID{}, notStored(ctx, nil)
	}
	return target, nil
}

// PutMutable stores an item at the nodes closest to its target, for two hours, and returns how many have taken it. Anybody may do so with an item that he has
// got, to keep it alive. If cas is not nil, only where *cas is the sequence number that is there; nodes without the item take it in any case.
func (n *Node) PutMutable(ctx context.Context, i Item, cas *int64) (stored int, err error) {
	if err := i.Check(); err != nil {
		return 0, err
	}
	target := i.Target()
	best := n.own(target)
	var why error
	stored = n.store(ctx, target, message{method: qGet, target: &target}, func(r result) { best.hear(i.Key, i.Salt, r.m) }, func() *message {
		best.mu.Lock()
		defer best.mu.Unlock()
		switch b := best.item; {
		case b == nil:
		case cas != nil && b.Seq != *cas:
			why = fmt.Errorf("%w: sequence number %d, not %d", ErrConflict, b.Seq, *cas)
			return nil
		case b.Seq > i.Seq, b.Seq == i.Seq && !bytes.Equal(b.Value, i.Value):
			why = fmt.Errorf("%w: sequence number %d", ErrNewer, b.Seq)
			return nil
		}
		m := &message{method: qPut, key: i.Key, seq: &i.Seq, sig: i.Signature, v: i.Value, cas: cas}
		if len(i.Salt) > 0 {
			m.salt = i.Salt
		}
		return m
	}, func(m *message) {
		switch m.errCode {
		case krpc.ErrorCodeCasHashMismatched:
			why = ErrConflict
		case krpc.ErrorCodeSequenceNumberLessThanCurrent:
			why = ErrNewer
		}
	})
	if stored == 0 {
		return 0, notStored(ctx, why)
	}
	return stored, nil
}

func notStored(ctx context.Context, why error) error {
	switch {
	case why != nil:
		return why
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return ErrNotStored
}
