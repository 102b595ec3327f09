package deliver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/release"
	"shoal/swarm"
)

// Items keeps mutable items (BEP 44), as the DHT does.
type Items interface {
	// GetItem finds the item of a key and a salt with the highest sequence number. What is wrong with one is for the caller to find out.
	GetItem(ctx context.Context, key ed25519.PublicKey, salt []byte) (*release.Item, error)
	// PutItem stores an item.
	PutItem(ctx context.Context, i *release.Item) error
}

// Swarm is a running node with a DHT: what finds a repository whose origin is down.
type Swarm struct {
	Node  *swarm.Node
	Items Items
	// Peers are asked for a state besides those that the DHT knows.
	Peers []string

	mu   sync.Mutex // of fetching: the node has each torrent once
	kept *State     // what KeepState gives
}

const (
	stateTime  = 2 * time.Minute  // how long finding and fetching a state may take
	stateStall = 30 * time.Second // and how long nothing may come
)

// State is a repository's state, fetched and not checked yet.
type State struct {
	Path     string // of the bundle
	Item     *release.Item
	Transfer *swarm.Transfer // seeds it until it is closed; nil: KeepState does
}

// Close ends the seeding.
func (s *State) Close() {
	if s.Transfer != nil {
		s.Transfer.Close()
	}
}

// FetchState finds the newest state that any of the item keys (in hex) has signed, and fetches it into dir, from peers alone.
func (s *Swarm) FetchState(ctx context.Context, keys []string, salt []byte, dir string) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	item, err := s.newestItem(ctx, keys, salt)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil && bytes.Equal(s.kept.Item.Value, item.Value) {
		return &State{Path: s.kept.Path, Item: item}, nil
	}
	return s.fetchState(ctx, item, dir, nil)
}

// fetchState fetches what an item that was checked points to.
func (s *Swarm) fetchState(ctx context.Context, item *release.Item, dir string, room func(context.Context, int64) error) (*State, error) {
	ih, err := item.InfoHash()
	if err != nil {
		return nil, err
	}
	return s.addState(ctx, item, swarm.Spec{V1: ih, HasV1: true, Dir: dir, Peers: s.Peers}, room)
}

// addState has the node fetch what a spec describes, and waits until it is here.
func (s *Swarm) addState(ctx context.Context, item *release.Item, spec swarm.Spec, room func(context.Context, int64) error) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	t, err := s.Node.Add(spec)
	if err != nil {
		return nil, err
	}
	if err := waitState(ctx, t, room); err != nil {
		t.Close()
		return nil, err
	}
	return &State{filepath.Join(spec.Dir, t.Torrent().Name), item, t}, nil
}

// newestItem asks for the items of all keys, the newest key first: it is the one in use.
func (s *Swarm) newestItem(ctx context.Context, keys []string, salt []byte) (*release.Item, error) {
	for i := len(keys) - 1; i >= 0; i-- {
		key, err := hex.DecodeString(keys[i])
		if err != nil {
			return nil, err
		}
		item, err := s.Items.GetItem(ctx, key, salt)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			continue
		}
		if string(item.Key) != string(key) || string(item.Salt) != string(salt) {
			return nil, &release.Refusal{Rule: release.RuleSignature, Message: "the DHT has given an item of another key"}
		}
		return item, item.Check()
	}
	return nil, &Error{ErrNoSource, "the DHT does not know the repository", "does its origin, an edge or another machine that gives its releases run with a DHT?"}
}

// waitState waits until a state is here.
func waitState(ctx context.Context, t *swarm.Transfer, room func(context.Context, int64) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	known := t.Known()
	moved, last := time.Now(), int64(0)
	for {
		select {
		case <-known:
			known = nil
			if x := t.Torrent(); x.Dir || x.Length > release.MaxState {
				return &release.Refusal{Rule: release.RuleEndless, Message: fmt.Sprintf("the DHT's item leads to %d bytes that are no state of a repository", x.Length)}
			}
			if room != nil {
				if err := room(ctx, t.Torrent().Length); err != nil {
					return err
				}
			}
		case <-t.Done():
			return t.Err()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return &Error{ErrNoSource, "nobody gave the state of the repository", ""}
		case now := <-tick.C:
			s := t.Stats()
			if n := s.Have + s.Checked + sum(s.From) + s.Wasted; n != last {
				moved, last = now, n
			}
			if now.Sub(moved) > stateStall {
				return &Error{ErrNoSource, fmt.Sprintf("nobody gives the state of the repository: %s", situation(t)), ""}
			}
		}
	}
}

// fromSwarm fetches the state of the repository whose root is given, as a repository.
func (c *ReleaseConfig) fromSwarm(ctx context.Context, root []byte, keys []string, salt []byte) (*repository, error) {
	id, items, err := release.RepositoryOf(root)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		keys, salt = items, []byte(release.ItemSalt)
	}
	if c.Swarm == nil {
		return nil, noDHT()
	}
	sw, err := c.Swarm()
	if err != nil {
		return nil, err
	}
	if sw == nil || sw.Items == nil {
		return nil, noDHT()
	}
	dir, err := os.MkdirTemp("", ".shoal-state-")
	if err != nil {
		return nil, err
	}
	state, err := sw.FetchState(ctx, keys, salt, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	b, err := release.OpenBundle(state.Path)
	if err != nil {
		state.Close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &repository{files: b, id: id, root: root, copied: true, close: func() {
		b.Close()
		state.Close()
		os.RemoveAll(dir)
	}}, nil
}

// withoutOrigin finds a repository by its pinned root in the DHT; nil if there is no such root or no DHT.
func (c *ReleaseConfig) withoutOrigin(ctx context.Context, s Source) (*repository, error) {
	if c.Swarm == nil {
		return nil, nil
	}
	root, err := c.pinnedRoot(s)
	if root == nil || err != nil {
		return nil, err
	}
	return c.fromSwarm(ctx, root, nil, nil)
}

// byMagnet finds a repository by the key of its item; a root that names the key must be pinned.
func (c *ReleaseConfig) byMagnet(ctx context.Context, s Source) (*repository, error) {
	key := hex.EncodeToString(s.Magnet.ItemKey[:])
	var root []byte
	var err error
	if c.Root != "" {
		root, err = os.ReadFile(c.Root)
	} else {
		root, err = release.RootOfItem(c.trustDir(), key)
	}
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, &release.Refusal{Rule: release.RuleUnpinned, Message: "no root is pinned that names the key of the magnet link", Hint: "pin it with --root root.json"}
	}
	r, err := c.fromSwarm(ctx, root, []string{key}, s.Magnet.ItemSalt)
	if r == nil && err == nil {
		err = noDHT()
	}
	return r, err
}

func noDHT() error {
	return &Error{ErrNoSource, "without a DHT the repository cannot be found", "name a node of one with --dht-bootstrap HOST:PORT, or look in the public one with --dht public"}
}

// pinnedRoot is the root that the user has named, or that is remembered for the source; nil if there is none.
func (c *ReleaseConfig) pinnedRoot(s Source) ([]byte, error) {
	if c.Root != "" {
		return os.ReadFile(c.Root)
	}
	name := c.Repo
	if s.Release.Repository != nil {
		name = s.Release.Repository.Redacted()
	}
	return release.KnownRoot(c.trustDir(), name, s.Release.App)
}
