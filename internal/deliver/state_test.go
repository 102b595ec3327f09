package deliver

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"sync"
	"testing"

	"shoal/internal/release"
)

// board keeps items in memory, as the DHT does, and counts nothing as newer than what it was told to give.
type board struct {
	mu    sync.Mutex
	items map[string]*release.Item
}

func (b *board) GetItem(_ context.Context, key ed25519.PublicKey, salt []byte) (*release.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.items[string(key)+string(salt)]; i != nil {
		return i, nil
	}
	return nil, errors.New("nobody has it")
}

func (b *board) PutItem(_ context.Context, i *release.Item) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items == nil {
		b.items = map[string]*release.Item{}
	}
	b.items[string(i.Key)+string(i.Salt)] = i
	return nil
}

func TestItemOfOthers(t *testing.T) {
	dir := t.TempDir() + "/repo"
	r, err := release.Init(t.Context(), dir, release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	item, err := r.SignItem(t.Context(), [20]byte{1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{}
	s := &Swarm{Items: b}
	keys := []string{hex.EncodeToString(item.Key)}
	if _, err := s.newestItem(t.Context(), keys, item.Salt); !errors.Is(err, ErrNoSource) {
		t.Errorf("nothing there: %v, want ErrNoSource", err)
	}
	if err := b.PutItem(t.Context(), item); err != nil {
		t.Fatal(err)
	}
	if got, err := s.newestItem(t.Context(), keys, item.Salt); err != nil || got.Seq != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	forged := *item
	forged.Seq = 9
	if err := b.PutItem(t.Context(), &forged); err != nil {
		t.Fatal(err)
	}
	_, err = s.newestItem(t.Context(), keys, item.Salt)
	if !errors.Is(err, release.ErrRefused) {
		t.Errorf("a forged sequence number: %v, want a refusal", err)
	}
	// An item of another key under this one's name.
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger := *item
	stranger.Key = other.Public().(ed25519.PublicKey)
	b.items[string(item.Key)+string(item.Salt)] = &stranger
	if _, err = s.newestItem(t.Context(), keys, item.Salt); !errors.Is(err, release.ErrRefused) {
		t.Errorf("another key: %v, want a refusal", err)
	}
}
