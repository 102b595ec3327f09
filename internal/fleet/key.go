package fleet

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"shoal/internal/disk"
)

// The headers of what is signed, see the package.
const (
	KeyHeader       = "Shoal-Key"
	SignatureHeader = "Shoal-Signature"
)

// Purpose is what something is signed for, so that a signature of one is none of the other.
type Purpose string

const (
	ForReport     Purpose = "shoal report"
	ForEnrollment Purpose = "shoal enroll"
)

func (p Purpose) message(body []byte) []byte { return append([]byte(string(p)+"\n"), body...) }

// ErrSignature is that something is not signed by the key that it names.
var ErrSignature = errors.New("the signature is not that of the key")

// Key is the key of a machine.
type Key struct{ private ed25519.PrivateKey }

// NewKey makes a key by chance.
func NewKey() *Key {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // the system's chance has no errors
	}
	return &Key{private}
}

// LoadKey reads the machine's key, node.key in the state directory, and makes it when it is first asked for.
func LoadKey(stateDir string) (*Key, error) {
	path := filepath.Join(stateDir, "node.key")
	b, err := os.ReadFile(path)
	if err == nil {
		seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, errors.New(path + " is not a machine's key: remove it, and it is made anew; the machine must be enrolled again then")
		}
		return &Key{ed25519.NewKeyFromSeed(seed)}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, err
	}
	k := NewKey()
	return k, disk.WriteFile(path, []byte(hex.EncodeToString(k.private.Seed())+"\n"), 0o600)
}

// ID names the key.
func (k *Key) ID() string { return idOf(k.private.Public().(ed25519.PublicKey)) }

// idOf is how a public key is named: the first 32 hex digits of its SHA-256.
func idOf(public ed25519.PublicKey) string {
	h := sha256.Sum256(public)
	return hex.EncodeToString(h[:16])
}

// Sign adds the key and a signature of the body to the headers.
func (k *Key) Sign(h http.Header, p Purpose, body []byte) {
	h.Set(KeyHeader, base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey)))
	h.Set(SignatureHeader, base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, p.message(body))))
}

// Signer is the id of the key that has signed a body; "" where no key is named. One that is named and has not is an ErrSignature.
func Signer(h http.Header, p Purpose, body []byte) (id string, err error) {
	named, signed := h.Get(KeyHeader), h.Get(SignatureHeader)
	if named == "" && signed == "" {
		return "", nil
	}
	public, err := base64.StdEncoding.DecodeString(named)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return "", ErrSignature
	}
	signature, err := base64.StdEncoding.DecodeString(signed)
	if err != nil || !ed25519.Verify(public, p.message(body), signature) {
		return "", ErrSignature
	}
	return idOf(public), nil
}
