package release

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The transparency log is an append-only Merkle tree (RFC 6962) of all releases, in files as C2SP tlog-tiles has them:
//
//	log/checkpoint              a signed note: origin "shoal/REPOSITORY", size, root hash
//	log/tile/L/N[.p/W]          256 hashes of level L × 8, or W of them
//	log/tile/entries/N[.p/W]    the entries, each behind its length in 16 bits
//	log/index/XX                where entries stand: lines "HASH INDEX" of those whose hash begins with XX; a hint that is checked, not trusted
//
// An entry is the text "APP@VERSION PLATFORM SHA256", with the SHA-256 of the release document in hex: whoever reads the log sees what there is, and whoever
// has a release document can prove that it stands there.

const (
	tileHeight    = 8
	tileWidth     = 1 << tileHeight
	maxCheckpoint = 4 << 10
	maxIndexShard = 1 << 20
	maxEntry      = 256
	maxLog        = 1 << 32 // entries
)

func logOrigin(repository string) string { return "shoal/" + repository }

// LogEntry is one release in the log.
type LogEntry struct {
	App, Version, Platform string
	Document               string // SHA-256 of the release document, in hex
}

func (e LogEntry) String() string {
	return e.App + "@" + e.Version + " " + e.Platform + " " + e.Document
}

func (e LogEntry) hash() tlog.Hash { return tlog.RecordHash([]byte(e.String())) }

func parseEntry(b []byte) (LogEntry, error) {
	ref, rest, _ := strings.Cut(string(b), " ")
	platform, document, _ := strings.Cut(rest, " ")
	r, ok := ParseRef(ref)
	if !ok || r.Version == "" || !ValidPlatform(platform) || !isHash(document, 32) {
		return LogEntry{}, fmt.Errorf("%.300q is not an entry of the log", b)
	}
	return LogEntry{r.App, r.Version, platform, document}, nil
}

func tilePath(t tlog.Tile) string {
	// tlog says tile/8/L/N, C2SP tlog-tiles leaves the height out.
	return "log/tile/" + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", t.H))
}

// bundleTile is the tile that an entry bundle belongs to: L is -1, which tlog writes as data.
func bundlePath(n int64, width int) string {
	p := tlog.Tile{H: tileHeight, L: -1, N: n, W: width}.Path()
	return "log/tile/entries/" + strings.TrimPrefix(p, fmt.Sprintf("tile/%d/data/", tileHeight))
}

// bundles are the entry bundles of a log of that size.
func bundleWidth(n, size int64) int { return int(min(tileWidth, size-n*tileWidth)) }

// appendEntry appends an entry to a bundle.
func appendEntry(b []byte, e LogEntry) []byte {
	text := e.String()
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

// parseBundle takes a bundle apart, which must have exactly n entries.
func parseBundle(b []byte, n int) ([]LogEntry, error) {
	entries := make([]LogEntry, 0, min(n, tileWidth))
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, errors.New("an entry bundle that ends early")
		}
		length := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < length || length > maxEntry || len(entries) == n {
			return nil, errors.New("an entry bundle of another length")
		}
		e, err := parseEntry(b[:length])
		if err != nil {
			return nil, err
		}
		entries, b = append(entries, e), b[length:]
	}
	if len(entries) != n {
		return nil, fmt.Errorf("an entry bundle of %d entries, not %d", len(entries), n)
	}
	return entries, nil
}

// Checkpoint is the state of a log that its key has signed.
type Checkpoint struct {
	Size int64
	Hash tlog.Hash
	Note []byte // as it was read
}

func (c *Checkpoint) tree() tlog.Tree { return tlog.Tree{N: c.Size, Hash: c.Hash} }

func (c *Checkpoint) String() string {
	return fmt.Sprintf("%d releases, root %s", c.Size, base64.StdEncoding.EncodeToString(c.Hash[:]))
}

// logKey signs checkpoints; it is a note.Signer.
type logKey struct {
	note.Verifier
	private ed25519.PrivateKey
}

func (k logKey) Sign(message []byte) ([]byte, error) { return ed25519.Sign(k.private, message), nil }

// encodeCheckpoint writes a checkpoint as C2SP tlog-checkpoint has it, and signs it.
func encodeCheckpoint(origin string, tree tlog.Tree, keys ...*Key) ([]byte, error) {
	var signers []note.Signer
	for _, k := range keys {
		vkey, err := note.NewEd25519VerifierKey(origin, k.Public)
		if err != nil {
			return nil, err
		}
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, err
		}
		signers = append(signers, logKey{v, k.private()})
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, base64.StdEncoding.EncodeToString(tree.Hash[:]))
	return note.Sign(&note.Note{Text: text}, signers...)
}

// openCheckpoint checks the signature of a checkpoint and reads it.
func openCheckpoint(b []byte, x *extra) (*Checkpoint, error) {
	if len(b) > maxCheckpoint {
		return nil, refuse(RuleEndless, "a checkpoint of %d bytes", len(b))
	}
	var known []note.Verifier
	for _, vkey := range x.Log {
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, err
		}
		known = append(known, v)
	}
	n, err := note.Open(b, note.VerifierList(known...))
	if err != nil {
		if as[*note.UnverifiedNoteError](err) || as[*note.InvalidSignatureError](err) {
			return nil, refuse(RuleSignature, "the log's checkpoint is not signed by the log's key")
		}
		return nil, refuse(RuleMalformed, "the log's checkpoint: %v", err)
	}
	lines := strings.Split(n.Text, "\n") // more lines may follow the third
	if len(lines) < 4 || lines[0] != logOrigin(x.Repository) {
		return nil, refuse(RuleMalformed, "the checkpoint is not one of this log")
	}
	c := &Checkpoint{Note: b}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > maxLog || strconv.FormatInt(c.Size, 10) != lines[1] {
		return nil, refuse(RuleMalformed, "the checkpoint has the size %.40q", lines[1])
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return nil, refuse(RuleMalformed, "the checkpoint has the root %.80q", lines[2])
	}
	copy(c.Hash[:], hash)
	return c, nil
}

// tiles reads the tiles of a log from files; it is a tlog.TileReader. What it reads is checked by tlog against the root hash.
type tiles struct {
	ctx   context.Context
	files Files
	err   error // the first that was not about the log
}

func (t *tiles) Height() int                     { return tileHeight }
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range list {
		b, err := readFile(t.ctx, t.files, tilePath(tile), int64(tile.W*tlog.HashSize))
		if err != nil {
			if t.err == nil {
				t.err = err
			}
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// hashes reads a log's hashes, checked against its checkpoint.
func hashes(c *Checkpoint, t *tiles) tlog.HashReader { return tlog.TileHashReader(c.tree(), t) }

// logFailure tells what the network did from what the log says.
func (t *tiles) failure(rule Rule, format string, args ...any) error {
	if t.err != nil && !errors.Is(t.err, ErrAbsent) {
		return t.err
	}
	return refuse(rule, format, args...)
}

// continues checks that the log of now has that of old as its beginning.
func continues(ctx context.Context, files Files, old, now *Checkpoint) error {
	switch {
	case old.Size == 0: // every log begins so; also that of a machine that has seen none
		return nil
	case now.Size < old.Size:
		return refuse(RuleFork, "the log has shrunk: %d releases, and this machine has seen %d", now.Size, old.Size)
	case now.Size == old.Size && now.Hash != old.Hash:
		return refuse(RuleFork, "the log has forked: another history of the same %d releases", now.Size)
	case now.Size == old.Size:
		return nil
	}
	t := &tiles{ctx: ctx, files: files}
	proof, err := tlog.ProveTree(now.Size, old.Size, hashes(now, t))
	if err == nil {
		err = tlog.CheckTree(proof, now.Size, now.Hash, old.Size, old.Hash)
	}
	if err != nil {
		return t.failure(RuleFork, "the log has forked: its %d releases do not begin with the %d that this machine has seen", now.Size, old.Size)
	}
	return nil
}

// includes checks that an entry stands in the log, and returns its index.
func includes(ctx context.Context, files Files, c *Checkpoint, e LogEntry) (int64, error) {
	h := e.hash()
	n, err := lookUp(ctx, files, h)
	if err != nil {
		return 0, err
	}
	if n < 0 || n >= c.Size {
		return 0, refuse(RuleNotLogged, "%s@%s for %s does not stand in the log", e.App, e.Version, e.Platform)
	}
	t := &tiles{ctx: ctx, files: files}
	proof, err := tlog.ProveRecord(c.Size, n, hashes(c, t))
	if err == nil {
		err = tlog.CheckRecord(proof, c.Size, c.Hash, n, h)
	}
	if err != nil {
		return 0, t.failure(RuleNotLogged, "%s@%s for %s is not entry %d of the log", e.App, e.Version, e.Platform, n)
	}
	return n, nil
}

func indexPath(h tlog.Hash) string { return "log/index/" + hex.EncodeToString(h[:1]) }

// lookUp finds out where an entry is said to stand; -1: nowhere.
func lookUp(ctx context.Context, files Files, h tlog.Hash) (int64, error) {
	b, err := readFile(ctx, files, indexPath(h), maxIndexShard)
	if errors.Is(err, ErrAbsent) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	want := hex.EncodeToString(h[:])
	for line := range strings.Lines(string(b)) {
		if hash, at, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && hash == want {
			if n, err := strconv.ParseInt(at, 10, 64); err == nil {
				return n, nil
			}
		}
	}
	return -1, nil
}

// ReadLog calls each with all entries from the first on, checked against the checkpoint.
func readLog(ctx context.Context, files Files, c *Checkpoint, each func(n int64, e LogEntry) error) error {
	t := &tiles{ctx: ctx, files: files}
	reader := hashes(c, t)
	for n := int64(0); n*tileWidth < c.Size; n++ {
		w := bundleWidth(n, c.Size)
		b, err := readFile(ctx, files, bundlePath(n, w), int64(w*(maxEntry+2)))
		if errors.Is(err, ErrAbsent) {
			return refuse(RuleIncomplete, "the log's entries from %d on are not there", n*tileWidth)
		}
		if err != nil {
			return err
		}
		entries, err := parseBundle(b, w)
		if err != nil {
			return refuse(RuleMalformed, "the log: %v", err)
		}
		indexes := make([]int64, len(entries))
		for i := range entries {
			indexes[i] = tlog.StoredHashIndex(0, n*tileWidth+int64(i))
		}
		want, err := reader.ReadHashes(indexes)
		if err != nil {
			return t.failure(RuleTampered, "the log's tiles do not add up to its checkpoint: %v", err)
		}
		for i, e := range entries {
			if e.hash() != want[i] {
				return refuse(RuleTampered, "entry %d of the log is not the one that was signed", n*tileWidth+int64(i))
			}
			if err := each(n*tileWidth+int64(i), e); err != nil {
				return err
			}
		}
	}
	return nil
}
