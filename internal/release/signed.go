package release

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/note"
)

// Bounds of metadata files, in bytes.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 4 << 20
	maxTargets   = 8 << 20
	maxKeys      = 64 // of one role, and in all of a root
	maxDepth     = 16 // of nested JSON
)

// How long metadata holds. What online keys sign is signed again long before: the timestamp daily.
const (
	offlineLife   = 365 * 24 * time.Hour
	snapshotLife  = 30 * 24 * time.Hour
	timestampLife = 14 * 24 * time.Hour
)

// Our own words in the root: {"repository": 32 hex digits, "log": [verifier keys of the checkpoint's note], "item": [hex keys of the DHT item]}. Of the lists
// the last is the one in use; the others still count.
const extraField = "x-shoal"

type extra struct {
	Repository string   `json:"repository"`
	Log        []string `json:"log"`
	Item       []string `json:"item"`
}

type (
	rootMeta      = metadata.Metadata[metadata.RootType]
	targetsMeta   = metadata.Metadata[metadata.TargetsType]
	snapshotMeta  = metadata.Metadata[metadata.SnapshotType]
	timestampMeta = metadata.Metadata[metadata.TimestampType]
)

// extraOf reads our words in a root.
func extraOf(root *rootMeta) (*extra, error) {
	raw, ok := root.Signed.UnrecognizedFields[extraField]
	if !ok {
		return nil, errors.New("not the root of a shoal repository: it has no " + extraField)
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	var x extra
	if err := json.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("%s: %w", extraField, err)
	}
	if !isHash(x.Repository, 16) || len(x.Log) == 0 || len(x.Log) > maxKeys || len(x.Item) == 0 || len(x.Item) > maxKeys {
		return nil, fmt.Errorf("%s names no repository, log and item", extraField)
	}
	for _, vkey := range x.Log {
		v, err := note.NewVerifier(vkey)
		if err != nil || v.Name() != logOrigin(x.Repository) {
			return nil, fmt.Errorf("%s: %.100q is not a key of this log", extraField, vkey)
		}
	}
	for _, key := range x.Item {
		if !isHash(key, ed25519.PublicKeySize) {
			return nil, fmt.Errorf("%s: %.100q is not a key of an item", extraField, key)
		}
	}
	return &x, nil
}

func (x *extra) put(root *rootMeta) {
	if root.Signed.UnrecognizedFields == nil {
		root.Signed.UnrecognizedFields = map[string]any{}
	}
	root.Signed.UnrecognizedFields[extraField] = x
}

// addSignature signs the metadata with the key, in place of a signature that the key has made before.
func addSignature[T metadata.Roles](m *metadata.Metadata[T], k *Key) error {
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return err
	}
	kept := m.Signatures[:0]
	for _, s := range m.Signatures {
		if s.KeyID != k.ID {
			kept = append(kept, s)
		}
	}
	m.Signatures = append(kept, metadata.Signature{KeyID: k.ID, Signature: k.sign(payload)})
	return nil
}

func encodeMeta[T metadata.Roles](m *metadata.Metadata[T]) ([]byte, error) {
	b, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// parseMeta reads metadata whose signatures are not checked yet. Beyond what go-tuf reads it makes sure of everything that go-tuf takes for granted: no
// null where it follows a pointer, ed25519 keys of the right length (others panic there), counts that are bounded.
func parseMeta[T metadata.Roles](b []byte, limit int) (*metadata.Metadata[T], error) {
	if len(b) > limit {
		return nil, refuse(RuleEndless, "metadata of %d bytes: at most %d", len(b), limit)
	}
	if err := checkDepth(b); err != nil {
		return nil, err
	}
	m, err := new(metadata.Metadata[T]).FromBytes(b)
	if err != nil {
		return nil, err
	}
	if len(m.Signatures) > maxKeys {
		return nil, fmt.Errorf("%d signatures", len(m.Signatures))
	}
	switch s := any(&m.Signed).(type) {
	case *metadata.RootType:
		err = checkRoot(s)
	case *metadata.TimestampType:
		err = checkVersions(s.Version, s.Meta, roleSnapshot)
	case *metadata.SnapshotType:
		err = checkVersions(s.Version, s.Meta, roleTargets)
	case *metadata.TargetsType:
		err = checkTargets(s)
	}
	return m, err
}

// checkDepth bounds the nesting, which encoding/json alone would allow to be 10,000. What else is wrong is found by who reads it.
func checkDepth(b []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func checkRoot(s *metadata.RootType) error {
	if !s.ConsistentSnapshot {
		return errors.New("a root without consistent snapshots")
	}
	if s.Version < 1 {
		return fmt.Errorf("version %d", s.Version)
	}
	if err := checkKeys(s.Keys); err != nil {
		return err
	}
	for _, name := range []string{roleRoot, roleTargets, roleSnapshot, roleTimestamp} {
		r := s.Roles[name]
		if r == nil || len(r.KeyIDs) > maxKeys {
			return fmt.Errorf("a root without a role %s", name)
		}
	}
	return nil
}

func checkKeys(keys map[string]*metadata.Key) error {
	if len(keys) > maxKeys*maxKeys {
		return fmt.Errorf("%d keys", len(keys))
	}
	for id, k := range keys {
		if k == nil || k.Type != metadata.KeyTypeEd25519 || k.Scheme != metadata.KeySchemeEd25519 || !isHash(k.Value.PublicKey, ed25519.PublicKeySize) {
			return fmt.Errorf("key %.80q is not an ed25519 key", id)
		}
		if own, err := k.ID(); err != nil || own != id {
			return fmt.Errorf("key %.80q has another id", id)
		}
	}
	return nil
}

func checkVersions(version int64, files map[string]*metadata.MetaFiles, need string) error {
	if version < 1 {
		return fmt.Errorf("version %d", version)
	}
	for name, f := range files {
		if f == nil || f.Version < 1 || f.Length < 0 {
			return fmt.Errorf("says nothing of %.80q", name)
		}
	}
	if files[need+".json"] == nil {
		return fmt.Errorf("does not name %s.json", need)
	}
	return nil
}

func checkTargets(s *metadata.TargetsType) error {
	if s.Version < 1 {
		return fmt.Errorf("version %d", s.Version)
	}
	for path, f := range s.Targets {
		if f == nil || f.Length < 0 || len(f.Hashes["sha256"]) != sha256.Size {
			return fmt.Errorf("target %.200q has no length and SHA-256", path)
		}
	}
	d := s.Delegations
	if d == nil {
		return nil
	}
	if r := d.SuccinctRoles; r != nil && (r.BitLength < 1 || r.BitLength > 16 || len(r.KeyIDs) > maxKeys || d.Roles != nil) {
		return errors.New("delegates to bins that are none")
	}
	for _, r := range d.Roles {
		if len(r.KeyIDs) > maxKeys {
			return fmt.Errorf("%d keys for role %.80q", len(r.KeyIDs), r.Name)
		}
	}
	return checkKeys(d.Keys)
}

// describeTarget is what a role says of a target with these bytes.
func describeTarget(data []byte) *metadata.TargetFiles {
	h := sha256.Sum256(data)
	return &metadata.TargetFiles{Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": h[:]}}
}

// custom is what a role says of a target beyond length and hash: {"withdrawn": why} of a release that was taken back.
type custom struct {
	Withdrawn string `json:"withdrawn,omitempty"`
}

func customOf(f *metadata.TargetFiles) custom {
	var c custom
	if f.Custom != nil {
		_ = json.Unmarshal(*f.Custom, &c) // other words are other programs'
	}
	return c
}

// describeMeta is what a snapshot or timestamp says of a file with these bytes.
func describeMeta(version int64, data []byte) *metadata.MetaFiles {
	h := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": h[:]}}
}

func sha256Hex(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Fingerprint is what people compare of a root: the SHA-256 of its file, as sha256sum prints it.
func Fingerprint(root []byte) string { return sha256Hex(root) }

// metaName is where version of a role's metadata lies below public.
func metaName(role string, version int64) string {
	return fmt.Sprintf("metadata/%d.%s.json", version, role)
}

const timestampName = "metadata/timestamp.json"

// expiry is when what is signed now ends to hold.
func expiry(now time.Time, life time.Duration) time.Time {
	return now.UTC().Add(life).Truncate(time.Second)
}

// keyIDs of a role, wherever it is delegated.
func findDelegation(m *targetsMeta, role string) *metadata.DelegatedRole {
	if m.Signed.Delegations == nil {
		return nil
	}
	for i := range m.Signed.Delegations.Roles {
		if r := &m.Signed.Delegations.Roles[i]; r.Name == role {
			return r
		}
	}
	return nil
}

// isBin says whether a role is one of an app's bins, and whose.
func binApp(role string) (app string, ok bool) {
	rest, ok := strings.CutPrefix(role, "bin-")
	if !ok || len(rest) < 4 || rest[len(rest)-3] != '-' {
		return "", false
	}
	return rest[:len(rest)-3], true
}
