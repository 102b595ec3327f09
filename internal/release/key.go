package release

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/note"

	"shoal/internal/disk"
)

// The roles that have keys. An app's is appRole(app).
const (
	roleRoot      = metadata.ROOT
	roleTargets   = metadata.TARGETS
	roleSnapshot  = metadata.SNAPSHOT
	roleTimestamp = metadata.TIMESTAMP
	roleRollout   = "rollout"
	roleLog       = "log"  // signs checkpoints; named in the root's x-shoal
	roleItem      = "item" // signs the DHT item; named in the root's x-shoal
)

// onlineRoles sign without a person: their keys lie in the clear, for their owner alone (0600).
var onlineRoles = []string{roleSnapshot, roleTimestamp, roleRollout, roleLog, roleItem} // not changed

func appRole(app string) string { return "app-" + app }

// IsOnline says whether the role's keys are online keys.
func IsOnline(role string) bool { return slices.Contains(onlineRoles, role) }

// Key is an ed25519 key of a role. A key file is JSON: {"format":1,"role":…,"id":…,"public":hex,"seed":hex} or, encrypted, "age" in place of seed: base64
// of an age file with one scrypt recipient, which holds the seed's 32 bytes. The id is TUF's: the SHA-256 of the canonical JSON of the public key.
type Key struct {
	Role   string
	ID     string
	Public ed25519.PublicKey
	Path   string // the file it was read from

	seed   []byte // nil while sealed
	sealed []byte // the age file; nil for a plain key
}

type keyFile struct {
	Format int    `json:"format"`
	Role   string `json:"role"`
	ID     string `json:"id"`
	Public string `json:"public"`
	Seed   string `json:"seed,omitempty"`
	Age    []byte `json:"age,omitempty"`
}

const maxKeyFile = 64 << 10

// newKey makes a key.
func newKey(role string) (*Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return nil, err
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	id, err := keyID(public)
	return &Key{Role: role, ID: id, Public: public, seed: seed}, err
}

func keyID(public ed25519.PublicKey) (string, error) { return tufKey(public).ID() }

// tufKey is the key as metadata has it.
func tufKey(public ed25519.PublicKey) *metadata.Key {
	return &metadata.Key{Type: metadata.KeyTypeEd25519, Scheme: metadata.KeySchemeEd25519, Value: metadata.KeyVal{PublicKey: hex.EncodeToString(public)}}
}

// Sealed says whether a passphrase is needed before the key can sign.
func (k *Key) Sealed() bool { return k.seed == nil }

func (k *Key) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed) }

func (k *Key) sign(message []byte) []byte { return ed25519.Sign(k.private(), message) }

// seal encrypts the key under a passphrase. workFactor is the logarithm of scrypt's N; 0 is age's default, about a second.
func (k *Key) seal(passphrase string, workFactor int) error {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return err
	}
	if workFactor > 0 {
		r.SetWorkFactor(workFactor)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, r)
	if err != nil {
		return err
	}
	if _, err := w.Write(k.seed); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	k.sealed = b.Bytes()
	return nil
}

// ErrPassphrase says that a passphrase does not open a key.
var ErrPassphrase = errors.New("the passphrase does not open the key")

// open decrypts the key.
func (k *Key) open(passphrase string) error {
	i, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Path, ErrPassphrase)
	}
	i.SetMaxWorkFactor(20) // a file from a stranger must not take minutes and gigabytes
	r, err := age.Decrypt(bytes.NewReader(k.sealed), i)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Path, ErrPassphrase)
	}
	seed, err := io.ReadAll(io.LimitReader(r, ed25519.SeedSize+1))
	if err != nil {
		return fmt.Errorf("%s: %w", k.Path, err)
	}
	return k.setSeed(seed)
}

func (k *Key) setSeed(seed []byte) error {
	if len(seed) != ed25519.SeedSize || !bytes.Equal(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey), k.Public) {
		return fmt.Errorf("%s: the private key is not that of the public key", k.Path)
	}
	k.seed = seed
	return nil
}

// fileName of a key begins with its role, for people; what counts is in the file.
func (k *Key) fileName() string { return k.Role + "-" + k.ID[:8] + ".key" }

// write writes the key file: sealed if it was sealed, else in the clear.
func (k *Key) write(dir string) error {
	f := keyFile{Format: 1, Role: k.Role, ID: k.ID, Public: hex.EncodeToString(k.Public), Age: k.sealed}
	if k.sealed == nil {
		f.Seed = hex.EncodeToString(k.seed)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	k.Path = filepath.Join(dir, k.fileName())
	return disk.WriteFile(k.Path, append(b, '\n'), 0o600)
}

func parseKey(b []byte, path string) (*Key, error) {
	var f keyFile
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("%s: longer than a key file can be", path)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%s: not a key file: %w", path, err)
	}
	public, err := hex.DecodeString(f.Public)
	if err != nil || len(public) != ed25519.PublicKeySize || f.Format != 1 || (f.Seed == "") == (f.Age == nil) {
		return nil, fmt.Errorf("%s: not a key file of this version", path)
	}
	k := &Key{Role: f.Role, Public: public, Path: path, sealed: f.Age}
	if k.ID, err = keyID(k.Public); err != nil {
		return nil, err
	}
	if f.Seed != "" {
		seed, err := hex.DecodeString(f.Seed)
		if err != nil {
			return nil, fmt.Errorf("%s: not a key file of this version", path)
		}
		return k, k.setSeed(seed)
	}
	return k, nil
}

// readKeys reads all key files (*.key) in the directories; one that does not exist has none.
func readKeys(dirs ...string) ([]*Key, error) {
	var keys []*Key
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".key") || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			k, err := parseKey(b, path)
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b *Key) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.ID, b.ID)) })
	return keys, nil
}

func logVerifierKey(repository string, k *Key) string {
	vkey, err := note.NewEd25519VerifierKey(logOrigin(repository), k.Public)
	if err != nil {
		return ""
	}
	return vkey
}
