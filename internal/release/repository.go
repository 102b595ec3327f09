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

// Config says how a repository is worked on. The zero value signs with plain keys that lie in the repository.
type Config struct {
	// KeyDirs are searched for keys besides the repository's own directories, such as a stick with the root's.
	KeyDirs []string
	// Passphrase is asked for what opens an encrypted key, or encrypts a new one (again is true then). Nil: there is none, and a new repository's keys
	// are plain.
	Passphrase func(again bool) (string, error)
	// WorkFactor is the logarithm of scrypt's N for new keys. Zero means age's default, about a second of work.
	WorkFactor int
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Repository is a signed repository on this machine's disk. Its methods are safe for use by several processes.
type Repository struct {
	dir, id string
	cfg     Config
}

// MarkerName is the file that makes a directory a repository: {"format":1,"repository":ID}.
const MarkerName = "shoal.json"

type marker struct {
	Format     int    `json:"format"`
	Repository string `json:"repository"`
}

// Open opens the repository in dir.
func Open(dir string, c Config) (*Repository, error) {
	b, err := os.ReadFile(filepath.Join(dir, MarkerName))
	if err != nil {
		return nil, err
	}
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m.Format != 1 || !isHash(m.Repository, 16) {
		return nil, fmt.Errorf("%s: not a repository of this version of shoal", filepath.Join(dir, MarkerName))
	}
	return &Repository{dir: dir, id: m.Repository, cfg: c.withDefaults()}, nil
}

// Dir is where the repository lies.
func (r *Repository) Dir() string { return r.dir }

// ID is the repository's: 32 hex digits.
func (r *Repository) ID() string { return r.id }

// Public is the directory of what the world may see.
func (r *Repository) Public() string { return filepath.Join(r.dir, "public") }

// FirstRoot is the root that the repository began with: from it all others follow.
func (r *Repository) FirstRoot(ctx context.Context) ([]byte, error) {
	return readFile(ctx, r.Files(), metaName(roleRoot, 1), maxRoot)
}

// Files are the public files.
func (r *Repository) Files() Files { return Dir(r.Public()) }

func (r *Repository) offlineDir() string { return filepath.Join(r.dir, "keys", "offline") }
func (r *Repository) onlineDir() string  { return filepath.Join(r.dir, "keys", "online") }

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

// makeKey makes a key and writes it to its place.
func (tx *Tx) makeKey(role string) (*Key, error) {
	k, err := newKey(role)
	if err != nil {
		return nil, err
	}
	dir := tx.r.onlineDir()
	if !IsOnline(role) {
		dir = tx.r.offlineDir()
		if tx.seals() {
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
	}
	if err := k.write(dir); err != nil {
		return nil, err
	}
	tx.keys = append(tx.keys, k)
	return k, nil
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

func (r *Repository) lock(ctx context.Context) (*disk.DirLock, error) {
	for end := time.Now().Add(lockWait); ; {
		l, err := disk.LockDir(r.dir)
		if !errors.Is(err, disk.ErrHeld) || time.Now().After(end) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Update changes the repository: it takes the lock, reads what is newest, has change change it, and writes and signs what has changed, in the safe order. A
// nil change only finishes what was left half done, and signs again what would expire soon.
func (r *Repository) Update(ctx context.Context, change func(*Tx) error) (*Done, error) {
	l, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	if change != nil {
		if err := change(tx); err != nil {
			return nil, err
		}
	}
	if err := tx.commit(); err != nil {
		return nil, err
	}
	return &tx.done, nil
}

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
		return nil, &KeysMissingError{Role: role, Have: counting, Need: threshold}
	}
	return found, nil
}

// KeysMissingError says that a role cannot be signed here.
type KeysMissingError struct {
	Role       string
	Have, Need int
}

func (e *KeysMissingError) Error() string {
	return fmt.Sprintf("signing %s needs %d of its keys, and %d are here", e.Role, e.Need, e.Have)
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
