package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

const (
	// keepEvery is how often a machine that gives a release looks for a newer state, and puts the item again: nodes forget it after two hours (BEP 44).
	keepEvery = 20 * time.Minute
	// keepRetry is the first pause after a failure; the next ones are longer. The origin may only just be entering the DHT, or leaving for good.
	keepRetry = 2 * time.Second
)

// StateKeeping says how a repository's state is kept for others.
type StateKeeping struct {
	// Keys answers the item keys that the root names, in hex, the newest last. It may be another answer after a rotation.
	Keys func() []string
	// Dir is a directory for nothing else. What is in it is given again by who keeps the state there next, with nobody else left to ask.
	Dir string
	// Room finds room for a state of so many bytes before it is fetched. Nil: there is any.
	Room func(ctx context.Context, bytes int64) error
	// Version answers which version of the timestamp is known to exist: an older state is not enough. Nil: nothing is known.
	Version func() int64
	// News has it looked at once, as when Version has changed. Nil: nobody knows of news.
	News <-chan struct{}
	// Ready is called when a state is on offer, with its version. Nil: nobody is told.
	Ready func(version int64)
	// Failed is told of failures, which are tried again.
	Failed func(error)
}

// KeepState gives others the state of a repository for as long as ctx lasts, so that they find it when its origin is down: it fetches the newest state, seeds
// it, and has the DHT remember the item, which anybody can put again as it was signed.
func (s *Swarm) KeepState(ctx context.Context, k StateKeeping) {
	have := s.restoreState(ctx, &k)
	s.keep(have)
	defer func() {
		s.keep(nil)
		if have != nil {
			have.Transfer.Close()
		}
	}()
	for retry := keepRetry; ; {
		next, err := s.newerState(ctx, &k, have)
		if next != nil {
			if have != nil {
				have.Transfer.Close()
			}
			have = next
			err = errors.Join(err, k.clear(have.Item.Seq))
			k.ready(have)
		}
		if have != nil { // nobody else may remember it any more
			err = errors.Join(err, s.Items.PutItem(ctx, have.Item))
		}
		if ctx.Err() != nil {
			return
		}
		wait := keepEvery
		if err != nil {
			k.Failed(err)
			wait = retry
			retry = min(2*retry, keepEvery)
		} else {
			retry = keepRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-k.News:
			retry = keepRetry
		}
	}
}

// KeepStateOf is KeepState for a machine that keeps nothing for its next start. version and news may be nil.
func (s *Swarm) KeepStateOf(ctx context.Context, keys []string, version func() int64, news <-chan struct{}, log *slog.Logger) {
	dir, err := os.MkdirTemp("", ".shoal-state-")
	if err != nil {
		log.Warn("the repository's state is not given to others", "err", err)
		return
	}
	defer os.RemoveAll(dir)
	s.KeepState(ctx, StateKeeping{Keys: func() []string { return keys }, Dir: dir, Version: version, News: news,
		Ready:  func(version int64) { log.Info("the repository's state is given to others", "version", version) },
		Failed: func(err error) { log.Info("the repository's state is not given to others yet", "err", err) }})
}

// newerState fetches the newest state, if that is newer than what is here; nil if it is not. That nothing is found is an error only while what is here is not enough.
func (s *Swarm) newerState(ctx context.Context, k *StateKeeping, have *State) (*State, error) {
	known, enough := int64(0), have != nil
	if k.Version != nil {
		known = k.Version()
		enough = enough && have.Item.Seq >= known
	}
	item, err := s.newestItem(ctx, k.Keys(), []byte(release.ItemSalt))
	switch {
	case err != nil && enough:
		return nil, nil
	case err != nil:
		return nil, err
	case have != nil && item.Seq < known: // who gave that one has a newer one by now
		return nil, older(item.Seq, known)
	case have == nil || item.Seq > have.Item.Seq:
		s.mu.Lock()
		next, err := s.fetchState(ctx, item, k.content(item.Seq), k.Room)
		if err == nil {
			s.kept = next
		}
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		err = k.save(next)
		if item.Seq < known {
			err = errors.Join(err, older(item.Seq, known))
		}
		return next, err
	case !enough:
		return nil, older(have.Item.Seq, known)
	}
	return nil, nil
}

// keep notes what is given from now on, for FetchState.
func (s *Swarm) keep(have *State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = have
}

func older(has, known int64) error {
	return &Error{ErrNoSource, fmt.Sprintf("the DHT points to version %d of the repository, and not to %d yet", has, known), "does its origin run with a DHT?"}
}

func (k *StateKeeping) ready(s *State) {
	if k.Ready != nil {
		k.Ready(s.Item.Seq)
	}
}

// keptState is what Dir has beside a state, in SEQ.json: the item as it was signed, and the state's torrent.
type keptState struct {
	Item    *release.Item `json:"item"`
	Torrent []byte        `json:"torrent"`
}

const keptSuffix = ".json"

// content is where a state of some version lies.
func (k *StateKeeping) content(seq int64) string { return filepath.Join(k.Dir, fmt.Sprint(seq)) }

// save writes down what is needed to give a state again without asking anybody.
func (k *StateKeeping) save(s *State) error {
	var torrent bytes.Buffer
	if err := s.Transfer.Torrent().Write(&torrent); err != nil {
		return err
	}
	b, err := json.Marshal(keptState{s.Item, torrent.Bytes()})
	if err != nil {
		return err
	}
	return disk.WriteFile(k.content(s.Item.Seq)+keptSuffix, b, 0o644)
}

// clear removes all states but one.
func (k *StateKeeping) clear(seq int64) error {
	entries, err := os.ReadDir(k.Dir)
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), keptSuffix); name != fmt.Sprint(seq) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(k.Dir, e.Name())))
		}
	}
	return err
}

// restoreState gives the state again that Dir has; nil if it has none that is whole and signed by a key that counts.
func (s *Swarm) restoreState(ctx context.Context, k *StateKeeping) *State {
	newest := int64(-1)
	entries, _ := os.ReadDir(k.Dir) // nothing is kept yet
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), keptSuffix); ok {
			if seq, err := strconv.ParseInt(name, 10, 64); err == nil {
				newest = max(newest, seq)
			}
		}
	}
	if newest < 0 {
		return nil
	}
	state, err := s.readState(ctx, k, newest)
	if err != nil {
		if ctx.Err() == nil {
			k.Failed(fmt.Errorf("the state of the repository that was kept: %w", err))
		}
		return nil
	}
	k.ready(state)
	return state
}

func (s *Swarm) readState(ctx context.Context, k *StateKeeping, seq int64) (*State, error) {
	b, err := os.ReadFile(k.content(seq) + keptSuffix)
	if err != nil {
		return nil, err
	}
	var kept keptState
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, fmt.Errorf("version %d: %w", seq, err)
	}
	if kept.Item == nil {
		return nil, fmt.Errorf("version %d has no item", seq)
	}
	if err := kept.Item.Check(); err != nil {
		return nil, err
	}
	ih, err := kept.Item.InfoHash()
	if err != nil {
		return nil, err
	}
	t, err := piece.Read(bytes.NewReader(kept.Torrent))
	if err != nil {
		return nil, err
	}
	if t.V1 != ih || !slices.Contains(k.Keys(), fmt.Sprintf("%x", []byte(kept.Item.Key))) {
		return nil, fmt.Errorf("version %d is not what the repository's item points to", seq)
	}
	return s.addState(ctx, kept.Item, swarm.Spec{Torrent: t, Dir: k.content(seq), Peers: s.Peers}, nil)
}
