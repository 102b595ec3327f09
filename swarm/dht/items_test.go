package dht

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A mutable item outlives its publisher, and nobody can put an older one, another value under the same
// number, or one that its owner has not signed.
func TestMutableItemSurvivesItsPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN()
		nodes := l.network(t, 40, Config{})
		time.Sleep(2 * time.Minute)
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		public := key.Public().(ed25519.PublicKey)
		salt := []byte("releases")
		publisher, other := nodes[7], nodes[20]
		put := func(n *Node, i Item, cas *int64) error {
			_, err := n.PutMutable(within(t, time.Minute), i, cas)
			return err
		}
		if err := put(publisher, Sign(key, salt, 1, []byte("3:one")), nil); err != nil {
			t.Fatal(err)
		}
		if err := put(publisher, Sign(key, salt, 2, []byte("3:two")), nil); err != nil {
			t.Fatal(err)
		}
		l.kill(publisher)
		got, err := other.GetMutable(within(t, time.Minute), public, salt)
		if err != nil || got.Seq != 2 || string(got.Value) != "3:two" {
			t.Errorf("without its publisher the item is %d %q (%v), want 2 3:two", got.Seq, got.Value, err)
		}
		if err := put(other, Sign(key, salt, 1, []byte("3:one")), nil); !errors.Is(err, ErrNewer) {
			t.Errorf("an older item: %v, want %v", err, ErrNewer)
		}
		if err := put(other, Sign(key, salt, 2, []byte("3:not")), nil); !errors.Is(err, ErrNewer) {
			t.Errorf("another value under the same number: %v, want %v", err, ErrNewer)
		}
		one := int64(1)
		if err := put(other, Sign(key, salt, 3, []byte("5:three")), &one); !errors.Is(err, ErrConflict) {
			t.Errorf("a put in place of number 1, which is gone: %v, want %v", err, ErrConflict)
		}
		forged := Sign(key, salt, 9, []byte("4:nine"))
		forged.Value = []byte("4:evil")
		if err := put(other, forged, nil); err == nil {
			t.Error("an item with another's signature was put")
		}
		if _, err := other.GetMutable(within(t, time.Minute), public, []byte("other")); !errors.Is(err, ErrNotFound) {
			t.Errorf("under another salt: %v, want %v", err, ErrNotFound)
		}
		// Who has got it may keep it alive: two hours later it would be gone.
		time.Sleep(90 * time.Minute)
		if err := put(other, got, nil); err != nil {
			t.Errorf("putting it again: %v", err)
		}
		time.Sleep(90 * time.Minute)
		if got, err := nodes[30].GetMutable(within(t, time.Minute), public, salt); err != nil || got.Seq != 2 {
			t.Errorf("after three hours the item that was put again is %d (%v), want 2", got.Seq, err)
		}
	})
}

func TestImmutableItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN()
		nodes := l.network(t, 20, Config{})
		time.Sleep(2 * time.Minute)
		target, err := nodes[3].Put(within(t, time.Minute), []byte("5:hello"))
		if err != nil {
			t.Fatal(err)
		}
		l.kill(nodes[3])
		if got, err := nodes[11].Get(within(t, time.Minute), target); err != nil || string(got) != "5:hello" {
			t.Errorf("got %q (%v), want 5:hello", got, err)
		}
		if _, err := nodes[11].Put(within(t, time.Minute), make([]byte, MaxValue+1)); err == nil {
			t.Error("a value that is too long was put")
		}
	})
}
