package dht

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/dht/v2/krpc"
)

// Limits of BEP 44, in bytes.
const (
	MaxValue = 1000
	MaxSalt  = 64
)

// Item is a mutable item (BEP 44): a value that belongs to a key, and to a salt if the key has several.
type Item struct {
	Key  ed25519.PublicKey
	Salt []byte
	// Seq grows with each new value.
	Seq int64
	// Value is one bencoded value, of MaxValue bytes at most.
	Value []byte
	// Signature is over all of it but the key.
	Signature []byte
}

// Sign makes an item of a value. It is the key's owner alone who can.
func Sign(key ed25519.PrivateKey, salt []byte, seq int64, value []byte) Item {
	return Item{Key: key.Public().(ed25519.PublicKey), Salt: salt, Seq: seq, Value: value, Signature: bep44.Sign(key, salt, seq, value)}
}

// Target is where the item lies.
func (i *Item) Target() ID { return mutableTarget(i.Key, i.Salt) }

func mutableTarget(key, salt []byte) ID { return sha1.Sum(slices.Concat(key, salt)) }

// ImmutableTarget is where a bencoded value lies: its hash.
func ImmutableTarget(value []byte) ID { return sha1.Sum(value) }

// Check says what is wrong with an item.
func (i *Item) Check() error {
	switch {
	case len(i.Key) != ed25519.PublicKeySize || len(i.Signature) != ed25519.SignatureSize:
		return errors.New("an item needs a key and a signature")
	case len(i.Salt) > MaxSalt:
		return fmt.Errorf("a salt of %d bytes, %d at most", len(i.Salt), MaxSalt)
	case i.Seq < 0:
		return errors.New("a sequence number below 0")
	}
	if err := checkValue(i.Value); err != nil {
		return err
	}
	if !bep44.Verify(i.Key, i.Salt, i.Seq, i.Value, i.Signature) {
		return errors.New("the signature is not the key's")
	}
	return nil
}

func checkValue(v []byte) error {
	if len(v) > MaxValue {
		return fmt.Errorf("a value of %d bytes, %d at most", len(v), MaxValue)
	}
	if !isValue(v) {
		return errors.New("a value that is not bencoded")
	}
	return nil
}

func (i *Item) clone() Item {
	return Item{bytes.Clone(i.Key), bytes.Clone(i.Salt), i.Seq, bytes.Clone(i.Value), bytes.Clone(i.Signature)}
}

// What the store of items holds: 4 MiB and a bit.
const (
	maxItems = 4000
	// itemTime is how long an item is kept after it was last put (BEP 44).
	itemTime = 2 * time.Hour
)

// itemStore keeps items for others, bounded as peerStore is.
type itemStore struct {
	mu    sync.Mutex
	items map[ID]storedItem
}

type storedItem struct {
	Item // without a key: immutable
	at   time.Time
}

// The refusals of BEP 44, as they go over the wire.
var (
	errTooBig  = krpc.Error{Code: krpc.ErrorCodeMessageValueFieldTooBig, Msg: "value too big"}
	errBadSig  = krpc.Error{Code: krpc.ErrorCodeInvalidSignature, Msg: "invalid signature"}
	errBadSalt = krpc.Error{Code: krpc.ErrorCodeSaltFieldTooBig, Msg: "salt too big"}
	errCas     = krpc.Error{Code: krpc.ErrorCodeCasHashMismatched, Msg: "another sequence number than cas is here"}
	errOld     = krpc.Error{Code: krpc.ErrorCodeSequenceNumberLessThanCurrent, Msg: "a later sequence number is here"}
	errPut     = krpc.Error{Code: krpc.ErrorCodeProtocolError, Msg: "what is put makes no sense"}
)

// put takes the arguments of a query. The store keeps copies.
func (s *itemStore) put(self ID, m *message, now time.Time) error {
	switch {
	case len(m.v) > MaxValue:
		return errTooBig
	case len(m.v) == 0:
		return errPut
	case m.key == nil && m.sig == nil: // immutable: the rest means nothing
		return s.store(self, ImmutableTarget(m.v), Item{Value: m.v}, now)
	case len(m.salt) > MaxSalt:
		return errBadSalt
	case m.key == nil || m.sig == nil || m.seq == nil || *m.seq < 0:
		return errPut
	}
	i := Item{Key: m.key, Salt: m.salt, Seq: *m.seq, Value: m.v, Signature: m.sig}
	target := i.Target()
	if err := s.newer(target, &i, m.cas); err != nil { // cheaper than the signature
		return err
	}
	if i.Check() != nil {
		return errBadSig
	}
	return s.store(self, target, i, now, m.cas)
}

// newer says whether i may take the place of what lies at target.
func (s *itemStore) newer(target ID, i *Item, cas *int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mayReplace(target, i, cas)
}

// mayReplace is newer with s.mu held.
func (s *itemStore) mayReplace(target ID, i *Item, cas *int64) error {
	old, here := s.items[target]
	switch {
	case !here || i.Key == nil:
		return nil
	case cas != nil && *cas != old.Seq:
		return errCas
	case i.Seq < old.Seq, i.Seq == old.Seq && !bytes.Equal(i.Value, old.Value):
		return errOld
	}
	return nil
}

func (s *itemStore) store(self, target ID, i Item, now time.Time, cas ...*int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(cas) > 0 { // another may have come while the signature was checked
		if err := s.mayReplace(target, &i, cas[0]); err != nil {
			return err
		}
	}
	if s.items == nil {
		s.items = make(map[ID]storedItem)
	}
	if _, here := s.items[target]; !here && len(s.items) >= maxItems {
		var far ID
		for t := range s.items {
			if closer(self, far, t) || far == (ID{}) {
				far = t
			}
		}
		if !closer(self, target, far) {
			return krpc.Error{Code: krpc.ErrorCodeServerError, Msg: "full"}
		}
		delete(s.items, far)
	}
	s.items[target] = storedItem{i.clone(), now}
	return nil
}

func (s *itemStore) get(target ID, now time.Time) (Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.items[target]
	return i.Item, ok && now.Sub(i.at) < itemTime
}

func (s *itemStore) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, i := range s.items {
		if now.Sub(i.at) >= itemTime {
			delete(s.items, t)
		}
	}
}

func (s *itemStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}
