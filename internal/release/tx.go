package release

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Done tells what an Update has written.
type Done struct {
	Signed     []string // roles with their new versions, such as app-myapp 3
	Logged     []LogEntry
	Unfinished bool // the online keys are not here: it takes effect when it was pushed to who has them
}

// Tx is a change of a repository, under its lock.
type Tx struct {
	r    *Repository
	ctx  context.Context
	now  time.Time
	keys []*Key
	made []*Key // of keys, those that this change has made: commit writes them
	pass *string

	root      *rootMeta // newest
	oldRoot   *rootMeta // as it was; nil at first
	extra     *extra
	roles     map[string]*targetsMeta // newest, as far as it was read; changed ones are signed by commit
	newest    map[string]int64        // versions on disk
	dirty     map[string]bool
	also      map[string][]string // key ids that sign a role once more, although they do not count any longer
	documents []document
	written   []string       // public files that may not be durable yet
	accepted  []acceptedFile // roles that were signed elsewhere
	roots     []acceptedFile // roots to write, the newest last
	done      Done

	// Keys that roots named until lately: see overlap. Those that the newest one names may be among them.
	retired    map[string][]string // key ids, by role
	retiredLog []string            // verifier keys of the log
}

type document struct {
	path string
	data []byte
}

func (r *Repository) newTx(ctx context.Context) *Tx {
	return &Tx{r: r, ctx: ctx, now: r.cfg.Now(), roles: map[string]*targetsMeta{}, newest: map[string]int64{}, dirty: map[string]bool{}, also: map[string][]string{}}
}

func (tx *Tx) changed(roles ...string) {
	for _, role := range roles {
		tx.dirty[role] = true
	}
}

// load reads keys, the versions there are, the newest root and the role targets.
func (tx *Tx) load() (err error) {
	if tx.keys, err = readKeys(append([]string{tx.r.offlineDir(), tx.r.onlineDir()}, tx.r.cfg.KeyDirs...)...); err != nil {
		return err
	}
	if tx.newest, err = newestVersions(tx.r.Public()); err != nil {
		return err
	}
	version := tx.newest[roleRoot]
	b, err := readFile(tx.ctx, tx.r.Files(), metaName(roleRoot, version), maxRoot)
	if err != nil {
		return fmt.Errorf("reading the root: %w", err)
	}
	if tx.root, err = parseMeta[metadata.RootType](b, maxRoot); err != nil {
		return fmt.Errorf("reading the root: %w", err)
	}
	if err := tx.root.VerifyDelegate(roleRoot, tx.root); err != nil {
		return refused("root", err)
	}
	if tx.extra, err = extraOf(tx.root); err != nil {
		return err
	}
	again, err := parseMeta[metadata.RootType](b, maxRoot)
	if err != nil {
		return err
	}
	tx.oldRoot = again
	if err := tx.readRetired(); err != nil {
		return err
	}
	tx.retire(tx.oldRoot, tx.extra)
	_, err = tx.role(roleTargets)
	return err
}

// newestVersions lists metadata/N.ROLE.json.
func newestVersions(public string) (map[string]int64, error) {
	entries, err := os.ReadDir(filepath.Join(public, "metadata"))
	if err != nil {
		return nil, err
	}
	newest := map[string]int64{}
	for _, e := range entries {
		if role, version, ok := parseMetaName(e.Name()); ok {
			newest[role] = max(newest[role], version)
		}
	}
	return newest, nil
}

// role returns a role's newest metadata, checked against who delegates to it.
func (tx *Tx) role(role string) (*targetsMeta, error) {
	if m := tx.roles[role]; m != nil {
		return m, nil
	}
	version := tx.newest[role]
	if version == 0 {
		return nil, fmt.Errorf("%s: %w", role, ErrAbsent)
	}
	b, err := readFile(tx.ctx, tx.r.Files(), metaName(role, version), maxTargets)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", role, err)
	}
	m, err := parseMeta[metadata.TargetsType](b, maxTargets)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", role, err)
	}
	if err := tx.verify(role, m); err != nil {
		return nil, fmt.Errorf("in %s: %w", metaName(role, version), err)
	}
	tx.roles[role] = m
	return m, nil
}

// verify checks the signatures of a role's metadata.
func (tx *Tx) verify(role string, m *targetsMeta) error {
	if role == roleTargets {
		return refused(role, tx.root.VerifyDelegate(role, m))
	}
	parent := roleTargets
	if app, ok := binApp(role); ok {
		parent = appRole(app)
	}
	p, err := tx.role(parent)
	if err != nil {
		return err
	}
	return refused(role, p.VerifyDelegate(role, m))
}

// keyIDs are the keys that count for a role, and how many are needed.
func (tx *Tx) keyIDs(role string) (ids []string, threshold int, err error) {
	if r := tx.root.Signed.Roles[role]; r != nil {
		return r.KeyIDs, r.Threshold, nil
	}
	if app, ok := binApp(role); ok {
		role = appRole(app) // bins are signed as their app is
	}
	t, err := tx.role(roleTargets)
	if err != nil {
		return nil, 0, err
	}
	if d := findDelegation(t, role); d != nil {
		return d.KeyIDs, d.Threshold, nil
	}
	return nil, 0, fmt.Errorf("no role %s in this repository", role)
}

// signers are the opened keys that sign a role.
func (tx *Tx) signers(role string) ([]*Key, error) {
	ids, threshold, err := tx.keyIDs(role)
	if err != nil {
		return nil, err
	}
	var found []*Key
	counting := 0
	for _, k := range tx.keys {
		counts := slices.Contains(ids, k.ID)
		if !counts && !slices.Contains(tx.also[role], k.ID) && !slices.Contains(tx.retired[role], k.ID) || slices.ContainsFunc(found, func(f *Key) bool { return f.ID == k.ID }) {
			continue
		}
		if err := tx.open(k); err != nil {
			if !counts {
				continue // retired, under a passphrase from before
			}
			return nil, err
		}
		if found = append(found, k); counts {
			counting++
		}
	}
	if counting < threshold {
		return nil, &KeysMissingError{Role: role, Have: counting, Need: threshold, Missing: tx.elsewhere(ids)}
	}
	return found, nil
}

// rootSigners are the opened keys that sign the next root: as many of the root before as it needs, and of this one. A key that is new in this change counts for this one alone.
func (tx *Tx) rootSigners() ([]*Key, error) {
	if tx.oldRoot != nil {
		old := tx.oldRoot.Signed.Roles[roleRoot]
		opened := map[string]bool{}
		var sealed error
		for _, k := range tx.keys {
			if !slices.Contains(old.KeyIDs, k.ID) {
				continue
			}
			if err := tx.open(k); err != nil {
				sealed = err
				continue
			}
			opened[k.ID] = true
		}
		switch {
		case len(opened) >= old.Threshold:
		case sealed != nil:
			return nil, sealed
		default:
			return nil, &KeysMissingError{Role: roleRoot, Have: len(opened), Need: old.Threshold, Missing: tx.elsewhere(old.KeyIDs)}
		}
		tx.also[roleRoot] = append(tx.also[roleRoot], old.KeyIDs...)
	}
	return tx.signers(roleRoot)
}

// elsewhere are those of these keys that are not here.
func (tx *Tx) elsewhere(ids []string) (list []string) {
	for _, id := range ids {
		if !slices.ContainsFunc(tx.keys, func(k *Key) bool { return k.ID == id }) {
			list = append(list, id)
		}
	}
	return list
}

// KeysMissingError says that a role cannot be signed here.
type KeysMissingError struct {
	Role       string
	Have, Need int
	Missing    []string // ids of the role's keys that are elsewhere, as far as they are known
}

func (e *KeysMissingError) Error() string {
	have := fmt.Sprintf("%d are", e.Have)
	switch e.Have {
	case 0:
		have = "none is"
	case 1:
		have = "1 is"
	}
	var ids []string
	for _, id := range e.Missing {
		ids = append(ids, fmt.Sprintf("%.16s", id))
	}
	text := fmt.Sprintf("signing %s needs %d of its keys, and %s here", e.Role, e.Need, have)
	if len(ids) > 0 {
		text += "; missing: " + strings.Join(ids, ", ")
	}
	return text
}

func (tx *Tx) open(k *Key) error {
	if !k.Sealed() {
		return nil
	}
	if tx.r.cfg.Passphrase == nil {
		return fmt.Errorf("%s is encrypted and there is no passphrase: %w", k.Path, ErrPassphrase)
	}
	pass, err := tx.passphrase(false)
	if err != nil {
		return err
	}
	return k.open(pass)
}

// passphrase asks once.
func (tx *Tx) passphrase(again bool) (string, error) {
	if tx.pass == nil {
		p, err := tx.r.cfg.Passphrase(again)
		if err != nil {
			return "", err
		}
		tx.pass = &p
	}
	return *tx.pass, nil
}
