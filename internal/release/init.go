package release

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/note"

	"shoal/internal/disk"
)

// InitConfig says what repository to make. Zero means one root key, and a threshold of one.
type InitConfig struct {
	RootKeys, RootThreshold int
}

// Init makes a repository in dir, which must be empty or not exist.
func Init(ctx context.Context, dir string, ic InitConfig, c Config) (*Repository, error) {
	ic.RootKeys, ic.RootThreshold = max(ic.RootKeys, 1), max(ic.RootThreshold, 1)
	if ic.RootThreshold > ic.RootKeys || ic.RootKeys > maxKeys {
		return nil, fmt.Errorf("a threshold of %d needs at least as many root keys, and there may be %d", ic.RootThreshold, maxKeys)
	}
	if entries, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else if len(entries) > 0 {
		return nil, &fs.PathError{Op: "init", Path: dir, Err: fs.ErrExist}
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	m := marker{1, hex.EncodeToString(id)}
	r := &Repository{dir: dir, id: m.Repository, cfg: c.withDefaults()}
	tx := r.newTx(ctx)
	if r.cfg.Passphrase != nil {
		if _, err := tx.passphrase(true); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := disk.LockDir(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := tx.found(m.Repository, ic); err != nil {
		return nil, err
	}
	if err := tx.commit(); err != nil {
		return nil, err
	}
	// Last: before, the directory is no repository.
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return r, disk.WriteFile(filepath.Join(dir, MarkerName), append(b, '\n'), 0o644)
}

// found makes the keys and the first version of everything.
func (tx *Tx) found(id string, ic InitConfig) error {
	tx.root = metadata.Root(expiry(tx.now, offlineLife))
	tx.root.Signed.Version = 0
	tx.extra = &extra{Repository: id}
	for range ic.RootKeys {
		if err := tx.addRootKey(roleRoot); err != nil {
			return err
		}
	}
	tx.root.Signed.Roles[roleRoot].Threshold = ic.RootThreshold
	for _, role := range []string{roleTargets, roleSnapshot, roleTimestamp, roleLog, roleItem} {
		if err := tx.addRootKey(role); err != nil {
			return err
		}
	}
	tx.roles[roleTargets] = newTargets(tx.now)
	k, err := tx.makeKey(roleRollout)
	if err != nil {
		return err
	}
	tx.delegate(metadata.DelegatedRole{Name: roleRollout, Threshold: 1, Paths: []string{"rollouts/*/*"}, Terminating: true}, k)
	tx.roles[roleRollout] = newTargets(tx.now)
	tx.changed(roleRoot, roleTargets, roleRollout)
	return nil
}

func newTargets(now time.Time) *targetsMeta {
	m := metadata.Targets(expiry(now, offlineLife))
	m.Signed.Version = 0
	return m
}

// makeKey makes a key. It is written when the change is carried out: one that fails before leaves nothing behind.
func (tx *Tx) makeKey(role string) (*Key, error) {
	k, err := newKey(role)
	if err != nil {
		return nil, err
	}
	if !IsOnline(role) && tx.seals() {
		pass, err := tx.passphrase(true)
		if err != nil {
			return nil, err
		}
		// A passphrase mistyped for a new key would be one that nobody knows.
		if i := slices.IndexFunc(tx.keys, func(k *Key) bool { return k.sealed != nil }); i >= 0 {
			if err := tx.keys[i].open(pass); err != nil {
				return nil, err
			}
		}
		if err := k.seal(pass, tx.r.cfg.WorkFactor); err != nil {
			return nil, err
		}
	}
	tx.keys, tx.made = append(tx.keys, k), append(tx.made, k)
	return k, nil
}

// writeKeys writes the keys that were made, each to its place.
func (tx *Tx) writeKeys() error {
	for _, k := range tx.made {
		dir := tx.r.offlineDir()
		if IsOnline(k.Role) {
			dir = tx.r.onlineDir()
		}
		if err := k.write(dir); err != nil {
			return err
		}
	}
	return nil
}

// seals says whether new offline keys are encrypted: as those are that there are, and at first if there is a passphrase.
func (tx *Tx) seals() bool {
	offline := 0
	for _, k := range tx.keys {
		if k.sealed != nil {
			return true
		}
		if !IsOnline(k.Role) {
			offline++
		}
	}
	return offline == 0 && tx.r.cfg.Passphrase != nil
}

// addRootKey makes a key for a role that the root names.
func (tx *Tx) addRootKey(role string) error {
	k, err := tx.makeKey(role)
	if err != nil {
		return err
	}
	switch role {
	case roleLog:
		vkey, err := note.NewEd25519VerifierKey(logOrigin(tx.extra.Repository), k.Public)
		if err != nil {
			return err
		}
		tx.extra.Log = append(tx.extra.Log, vkey)
		return nil
	case roleItem:
		tx.extra.Item = append(tx.extra.Item, hex.EncodeToString(k.Public))
		return nil
	}
	return tx.root.Signed.AddKey(tufKey(k.Public), role)
}

// delegate has the role targets delegate to a new role, signed with the key.
func (tx *Tx) delegate(role metadata.DelegatedRole, k *Key) {
	s := &tx.roles[roleTargets].Signed
	if s.Delegations == nil {
		s.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	role.KeyIDs = []string{k.ID}
	s.Delegations.Keys[k.ID] = tufKey(k.Public)
	s.Delegations.Roles = append(s.Delegations.Roles, role)
}

// lockWait is how long a publisher waits for another one to finish.
const lockWait = 30 * time.Second
