package release

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// known are the ids of the repositories that dir remembers.
func known(dir string) (ids []string, err error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, err
}

// findKnown are the ids, and what is remembered, of the repositories that match. One that cannot be read matches nothing.
func findKnown(dir string, is func(*state) bool) (ids []string, states []*state, err error) {
	all, err := known(dir)
	for _, id := range all {
		b, err := os.ReadFile(filepath.Join(dir, id, "state.json"))
		s := new(state)
		if err == nil && json.Unmarshal(b, s) == nil && is(s) {
			ids, states = append(ids, id), append(states, s)
		}
	}
	return ids, states, err
}

// NameOf is what a repository is called that this machine has fetched the app from before; "" if there is none, or more than one.
func NameOf(dir, app string) (string, error) {
	_, states, err := findKnown(dir, func(s *state) bool { return slices.Contains(s.Apps, app) && len(s.Names) > 0 })
	if err != nil || len(states) != 1 {
		return "", err
	}
	return states[0].Names[len(states[0].Names)-1], nil
}

// KnownRoot is the pinned root of the repository that is called name, or, without one, of the only one that app was asked for from; nil if none is known.
func KnownRoot(dir, name, app string) ([]byte, error) {
	ids, _, err := findKnown(dir, func(s *state) bool {
		return name != "" && slices.Contains(s.Names, name) || name == "" && slices.Contains(s.Apps, app)
	})
	if err != nil || len(ids) != 1 {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, ids[0], "root.json"))
}

// RootOfItem is the pinned root that names a key (in hex) of a DHT item; nil if none does.
func RootOfItem(dir, key string) ([]byte, error) {
	ids, err := known(dir)
	for _, id := range ids {
		b, err := os.ReadFile(filepath.Join(dir, id, "root.json"))
		if err != nil {
			continue
		}
		if _, items, err := RepositoryOf(b); err == nil && slices.Contains(items, key) {
			return b, nil
		}
	}
	return nil, err
}

// RepositoryOf is the id that a root.json gives its repository, and its DHT item keys, newest last.
func RepositoryOf(root []byte) (id string, items []string, err error) {
	m, err := parseMeta[metadata.RootType](root, maxRoot)
	if err != nil {
		return "", nil, refused("root", err)
	}
	x, err := extraOf(m)
	if err != nil {
		return "", nil, refused("root", err)
	}
	return x.Repository, x.Item, nil
}
