package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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

// Touch has who serves the repository look at it again: what was lost is there again, though nothing was signed.
func (r *Repository) Touch() error {
	now := time.Now()
	err := os.Chtimes(filepath.Join(r.Public(), filepath.FromSlash(timestampName)), now, now)
	if errors.Is(err, fs.ErrNotExist) { // nothing is public yet
		return nil
	}
	return err
}

// FirstRoot is the root that the repository began with: from it all others follow.
func (r *Repository) FirstRoot(ctx context.Context) ([]byte, error) {
	return readFile(ctx, r.Files(), metaName(roleRoot, 1), maxRoot)
}

// Files are the public files.
func (r *Repository) Files() Files { return Dir(r.Public()) }

func (r *Repository) offlineDir() string { return filepath.Join(r.dir, "keys", "offline") }
func (r *Repository) onlineDir() string  { return filepath.Join(r.dir, "keys", "online") }

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
