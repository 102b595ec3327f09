package release

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A repository's state is a bundle without content: everything that proves what its channels have, for machines that cannot reach its origin. It travels as a torrent of one
// file, and a mutable item of the DHT (BEP 44) says which: its key is the newest item key of the root, its salt is ItemSalt, its sequence number the version of the
// timestamp, and its value {"ih": 20 bytes} the v1 info hash (BEP 46). The item is no proof of anything; what it leads to is checked like every other source.

// ItemSalt is the salt of the item.
const ItemSalt = "releases"

// MaxState bounds a state, in bytes.
const MaxState = 256 << 20

// Item is a signed item of the DHT (BEP 44).
type Item struct {
	Key       ed25519.PublicKey
	Salt      []byte
	Seq       int64
	Value     []byte // bencoded
	Signature []byte
}

// itemMessage is what is signed: BEP 44, "mutable items".
func itemMessage(salt []byte, seq int64, value []byte) []byte {
	var b bytes.Buffer
	if len(salt) > 0 {
		fmt.Fprintf(&b, "4:salt%d:%s", len(salt), salt)
	}
	fmt.Fprintf(&b, "3:seqi%de1:v", seq)
	b.Write(value)
	return b.Bytes()
}

// Check verifies the signature.
func (i *Item) Check() error {
	if len(i.Key) != ed25519.PublicKeySize || !ed25519.Verify(i.Key, itemMessage(i.Salt, i.Seq, i.Value), i.Signature) {
		return refuse(RuleSignature, "the DHT's item is not signed by its key")
	}
	return nil
}

const itemPrefix, itemSuffix = "d2:ih20:", "e"

// InfoHash is the v1 info hash that the item points to.
func (i *Item) InfoHash() (ih [20]byte, err error) {
	rest, ok := bytes.CutPrefix(i.Value, []byte(itemPrefix))
	if !ok || len(rest) < 21 || rest[20] != 'e' && (rest[20] < '0' || rest[20] > '9') { // BEP 46 allows more keys to follow
		return ih, refuse(RuleMalformed, "the DHT's item does not name a torrent")
	}
	return [20]byte(rest[:20]), nil
}

// SignItem signs an item that points to a state, with the newest item key, which must be here.
func (r *Repository) SignItem(ctx context.Context, infoHash [20]byte, seq int64) (*Item, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	want := tx.extra.Item[len(tx.extra.Item)-1]
	for _, k := range tx.keys {
		if k.Role == roleItem && hex.EncodeToString(k.Public) == want {
			if err := tx.open(k); err != nil {
				return nil, err
			}
			i := &Item{Key: k.Public, Salt: []byte(ItemSalt), Seq: seq, Value: []byte(itemPrefix + string(infoHash[:]) + itemSuffix)}
			i.Signature = k.sign(itemMessage(i.Salt, i.Seq, i.Value))
			return i, nil
		}
	}
	missing := &KeysMissingError{Role: roleItem, Need: 1}
	if public, err := hex.DecodeString(want); err == nil {
		if id, err := keyID(public); err == nil {
			missing.Missing = []string{id}
		}
	}
	return nil, missing
}

// WriteState writes the repository's state, and returns the version of the timestamp that is in it.
func (r *Repository) WriteState(ctx context.Context, w io.Writer) (version int64, err error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return 0, err
	}
	apps, err := tx.Apps()
	if err != nil {
		return 0, err
	}
	root, err := os.ReadFile(filepath.Join(r.dir, "root.json"))
	if err != nil {
		return 0, err
	}
	rec := &Recorder{r.Files(), map[string][]byte{}}
	t, err := NewTrust(ctx, TrustConfig{Files: rec, Root: root, Now: r.cfg.Now})
	if err != nil {
		return 0, err
	}
	if err := t.Refresh(ctx); err != nil {
		return 0, err
	}
	for _, app := range apps {
		channels, err := tx.Channels(app)
		if err != nil {
			return 0, err
		}
		for _, c := range channels {
			live, _, err := tx.platforms(app, c.Version)
			if err != nil {
				return 0, err
			}
			for _, platform := range live {
				var found []*Found
				if err := t.prove(ctx, Ref{App: app, Channel: c.Channel}, platform, &found); err != nil {
					return 0, err
				}
				if err := t.describeAll(ctx, found[0]); err != nil {
					return 0, err
				}
			}
		}
	}
	if err := t.ReadAround(ctx); err != nil {
		return 0, err
	}
	b, err := NewBundle(w, r.id, Ref{}, rec.Seen)
	if err != nil {
		return 0, err
	}
	return t.set.Timestamp.Signed.Version, b.Close()
}

// describeAll reads how a release's archive and patches are described, so that neighbours who have them can give them.
func (t *Trust) describeAll(ctx context.Context, f *Found) error {
	patches, err := t.Patches(ctx, f)
	if err != nil {
		return err
	}
	for _, a := range append(patches, f.Artefacts...) {
		if a.isTorrent() && a.Kind != "T" {
			if _, err := t.MetainfoOf(ctx, f, a.V2); err != nil {
				return err
			}
		}
	}
	return nil
}

// prove follows the chain down to one release, and appends it to found.
func (t *Trust) prove(ctx context.Context, ref Ref, platform string, found *[]*Found) error {
	f, err := t.Release(ctx, ref, []string{platform})
	if err != nil {
		return err
	}
	if f.Packed, err = t.Metainfo(ctx, f); err == nil && found != nil {
		*found = append(*found, f)
	}
	return err
}

// isUnknown says whether an error is that something is not published.
func isUnknown(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Rule == RuleUnknown
}
