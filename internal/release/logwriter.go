package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"shoal/internal/disk"
)

// logWriter appends to the log in a repository's public directory. Tiles and the index are written first, the checkpoint last; what a crash
// leaves is written again by the next append.
type logWriter struct {
	dir     string // public
	tree    tlog.Tree
	written []string // since the last sync
}

// readAt reads hashes of the tree, and of what is about to be appended.
type pendingHashes struct {
	old tlog.HashReader
	new map[int64]tlog.Hash
}

func (p *pendingHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var missing, at []int64
	for i, n := range indexes {
		if h, ok := p.new[n]; ok {
			out[i] = h
			continue
		}
		missing, at = append(missing, n), append(at, int64(i))
	}
	if len(missing) == 0 {
		return out, nil
	}
	found, err := p.old.ReadHashes(missing)
	if err != nil {
		return nil, err
	}
	for i, h := range found {
		out[at[i]] = h
	}
	return out, nil
}

// add appends entries and returns the new tree. The checkpoint is the caller's to write.
func (w *logWriter) add(ctx context.Context, entries []LogEntry) (tlog.Tree, error) {
	files := Dir(w.dir)
	pending := &pendingHashes{tlog.TileHashReader(w.tree, &tiles{ctx: ctx, files: files}), map[int64]tlog.Hash{}}
	size := w.tree.N
	for _, e := range entries {
		stored, err := tlog.StoredHashesForRecordHash(size, e.hash(), pending)
		if err != nil {
			return tlog.Tree{}, err
		}
		for i, h := range stored {
			pending.new[tlog.StoredHashIndex(0, size)+int64(i)] = h
		}
		size++
	}
	hash, err := tlog.TreeHash(size, pending)
	if err != nil {
		return tlog.Tree{}, err
	}
	for _, t := range tlog.NewTiles(tileHeight, w.tree.N, size) {
		b, err := tlog.ReadTileData(t, pending)
		if err != nil {
			return tlog.Tree{}, err
		}
		if err := w.write(tilePath(t), b); err != nil {
			return tlog.Tree{}, err
		}
	}
	if err := w.addBundles(ctx, entries, size); err != nil {
		return tlog.Tree{}, err
	}
	if err := w.addIndex(ctx, entries); err != nil {
		return tlog.Tree{}, err
	}
	return tlog.Tree{N: size, Hash: hash}, nil
}

// addBundles writes the entry bundles that have become longer.
func (w *logWriter) addBundles(ctx context.Context, entries []LogEntry, size int64) error {
	for n := w.tree.N / tileWidth; n*tileWidth < size; n++ {
		var b []byte
		if had := w.tree.N - n*tileWidth; had > 0 {
			var err error
			if b, err = readFile(ctx, Dir(w.dir), bundlePath(n, int(had)), tileWidth*(maxEntry+2)); err != nil {
				return err
			}
		}
		for i := max(n*tileWidth, w.tree.N); i < min(size, (n+1)*tileWidth); i++ {
			b = appendEntry(b, entries[i-w.tree.N])
		}
		if err := w.write(bundlePath(n, bundleWidth(n, size)), b); err != nil {
			return err
		}
	}
	return nil
}

// addIndex notes where the entries stand.
func (w *logWriter) addIndex(ctx context.Context, entries []LogEntry) error {
	shards := map[string][]byte{}
	for i, e := range entries {
		h := e.hash()
		path := indexPath(h)
		b, ok := shards[path]
		if !ok {
			var err error
			if b, err = readFile(ctx, Dir(w.dir), path, maxIndexShard); err != nil && !errors.Is(err, ErrAbsent) {
				return err
			}
			// After a crash the lines of what was not signed are still there.
			var kept []byte
			for line := range bytes.Lines(b) {
				var at int64
				if _, err := fmt.Sscanf(string(line), "%64s %d", new(string), &at); err == nil && at < w.tree.N {
					kept = append(kept, line...)
				}
			}
			b = kept
		}
		shards[path] = fmt.Appendf(b, "%x %d\n", h[:], w.tree.N+int64(i))
	}
	for path, b := range shards {
		if err := w.write(path, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *logWriter) write(path string, b []byte) error {
	full, err := placePublic(w.dir, path, b)
	w.written = append(w.written, full)
	return err
}

// sync makes durable what was written.
func (w *logWriter) sync() error {
	err := disk.SyncFiles(w.written)
	w.written = nil
	return err
}

// keepPartial is how many widths of an unfinished tile stay: whoever has just read the checkpoint before may still ask for them.
const keepPartial = 8

// tidy removes unfinished tiles that are finished by now or long outgrown (C2SP tlog-tiles, "partial tiles").
func (w *logWriter) tidy(size int64) error {
	var errs []error
	for level := -1; level < 5; level++ {
		count := size
		for range max(level, 0) {
			count >>= tileHeight
		}
		last := count / tileWidth
		for n := max(0, last-1); n <= last; n++ {
			full := tilePath(tlog.Tile{H: tileHeight, L: max(level, 0), N: n, W: tileWidth})
			if level < 0 {
				full = bundlePath(n, tileWidth)
			}
			dir := filepath.Join(w.dir, filepath.FromSlash(full)+".p")
			if n < last {
				errs = append(errs, os.RemoveAll(dir))
				continue
			}
			width := int(count % tileWidth)
			for old := 1; old <= width-keepPartial; old++ {
				if err := os.Remove(filepath.Join(dir, fmt.Sprint(old))); err != nil && !os.IsNotExist(err) {
					errs = append(errs, err)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// placePublic writes a file below the public directory whose durability is the caller's business, and returns its path.
func placePublic(dir, path string, b []byte) (string, error) {
	full := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return full, err
	}
	return full, disk.ReplaceFile(full, b, 0o644)
}

// writePublic writes a file below the public directory.
func writePublic(dir, path string, b []byte) error {
	full := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	return disk.WriteFile(full, b, 0o644)
}

// readCheckpoint reads the checkpoint of a log in public; a log without one is empty.
func readCheckpoint(ctx context.Context, files Files, x *extra) (*Checkpoint, error) {
	b, err := readFile(ctx, files, "log/checkpoint", maxCheckpoint)
	if errors.Is(err, ErrAbsent) {
		empty, err := tlog.TreeHash(0, nil)
		return &Checkpoint{Hash: empty}, err
	}
	if err != nil {
		return nil, err
	}
	return openCheckpoint(b, x)
}

// log appends the releases of the changed roles that do not stand in the log yet.
func (tx *Tx) log(changed []string) error {
	files := tx.r.Files()
	known := *tx.extra
	known.Log = slices.Concat(known.Log, tx.retiredLog)
	slices.Sort(known.Log)
	known.Log = slices.Compact(known.Log)
	c, err := readCheckpoint(tx.ctx, files, &known)
	if err != nil {
		return err
	}
	var entries []LogEntry
	for _, role := range changed {
		m, err := tx.role(role)
		if err != nil {
			return err
		}
		for _, path := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
			app, version, platform, ok := parseReleasePath(path)
			if !ok {
				continue
			}
			e := LogEntry{app, version, platform, fmt.Sprintf("%x", []byte(m.Signed.Targets[path].Hashes["sha256"]))}
			if n, err := lookUp(tx.ctx, files, e.hash()); err != nil {
				return err
			} else if n < 0 || n >= c.Size {
				entries = append(entries, e)
			}
		}
	}
	if len(entries) == 0 && c.Size > 0 && !tx.dirty[roleLog] {
		return nil
	}
	keys, err := tx.logKeys()
	if err != nil {
		return err
	}
	w := &logWriter{dir: tx.r.Public(), tree: c.tree()}
	tree, err := w.add(tx.ctx, entries)
	if err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	b, err := encodeCheckpoint(logOrigin(tx.extra.Repository), tree, keys...)
	if err != nil {
		return err
	}
	if err := writePublic(tx.r.Public(), "log/checkpoint", b); err != nil {
		return err
	}
	tx.done.Logged = entries
	return w.tidy(tree.N)
}

// logKeys are the newest log key, and those that clients with a root from before know.
func (tx *Tx) logKeys() ([]*Key, error) {
	newest := tx.extra.Log[len(tx.extra.Log)-1]
	known := []string{newest}
	for _, vkey := range tx.retiredLog {
		if vkey != newest {
			known = append(known, vkey)
		}
	}
	var keys []*Key
	for _, vkey := range known {
		i := slices.IndexFunc(tx.keys, func(k *Key) bool { return k.Role == roleLog && logVerifierKey(tx.extra.Repository, k) == vkey })
		switch {
		case i >= 0:
			if err := tx.open(tx.keys[i]); err != nil {
				return nil, err
			}
			keys = append(keys, tx.keys[i])
		case vkey == newest:
			return nil, &KeysMissingError{Role: roleLog, Have: 0, Need: 1}
		}
	}
	return keys, nil
}
