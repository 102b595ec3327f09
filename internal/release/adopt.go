package release

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/tlog"

	"shoal/internal/disk"
)

// Adopt takes over what is newer in the repository that t has just refreshed, after a push: log, snapshot and timestamp, which who has the online keys has signed, and
// what other publishers have brought there; not the content of their releases.
func (r *Repository) Adopt(ctx context.Context, t *Trust) error {
	l, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := t.complete(ctx); err != nil {
		return err
	}
	if err := r.adoptRoles(ctx, t); err != nil {
		return err
	}
	if err := r.adoptLog(ctx, t); err != nil {
		return err
	}
	if err := r.adoptRoots(ctx, t); err != nil {
		return err
	}
	snapshot, err := t.file(ctx, metaName(roleSnapshot, t.snapshotVersion()), t.set.Timestamp.Signed.Meta[roleSnapshot+".json"], maxSnapshot)
	if err != nil {
		return err
	}
	timestamp, err := readFile(ctx, t.cfg.Files, timestampName, maxTimestamp)
	if err != nil {
		return err
	}
	if err := writePublic(r.Public(), metaName(roleSnapshot, t.snapshotVersion()), snapshot); err != nil {
		return err
	}
	return writePublic(r.Public(), timestampName, timestamp)
}

// adoptLog takes over the log's tiles, entries and index, and its checkpoint.
func (r *Repository) adoptLog(ctx context.Context, t *Trust) error {
	size := t.checkpoint.Size
	var paths []string
	for _, tile := range tlog.NewTiles(tileHeight, 0, size) {
		paths = append(paths, tilePath(tile))
	}
	for n := int64(0); n*tileWidth < size; n++ {
		paths = append(paths, bundlePath(n, bundleWidth(n, size)))
	}
	shards := map[string]bool{}
	if err := t.Log(ctx, func(_ int64, e LogEntry) error { shards[indexPath(e.hash())] = true; return nil }); err != nil {
		return err
	}
	paths = append(paths, slices.Sorted(maps.Keys(shards))...)
	// Tiles of a log that is the begin of that one are the same.
	same := false
	if old, err := readCheckpoint(ctx, r.Files(), t.extra); err == nil {
		same = continues(ctx, t.cfg.Files, old, t.checkpoint) == nil
	}
	for _, path := range paths {
		limit := int64(maxIndexShard)
		if _, err := os.Stat(filepath.Join(r.Public(), filepath.FromSlash(path))); err == nil && same && !strings.HasPrefix(path, "log/index/") {
			continue
		}
		b, err := readFile(ctx, t.cfg.Files, path, limit)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		if err != nil {
			return err
		}
		if err := writePublic(r.Public(), path, b); err != nil {
			return err
		}
	}
	return writePublic(r.Public(), "log/checkpoint", t.checkpoint.Note)
}

// adoptRoots takes over roots that are newer than those here.
func (r *Repository) adoptRoots(ctx context.Context, t *Trust) error {
	newest, err := newestVersions(r.Public())
	if err != nil {
		return err
	}
	for version := newest[roleRoot] + 1; version <= t.set.Root.Signed.Version; version++ {
		b, err := readFile(ctx, t.cfg.Files, metaName(roleRoot, version), maxRoot)
		if err != nil {
			return err
		}
		if version == t.set.Root.Signed.Version {
			b = t.rootBytes // the one that was verified
			if err := disk.WriteFile(filepath.Join(r.dir, "root.json"), b, 0o644); err != nil {
				return err
			}
		}
		if err := writePublic(r.Public(), metaName(roleRoot, version), b); err != nil {
			return err
		}
	}
	return nil
}

// adoptRoles takes over roles that are newer than those here, with what they name.
func (r *Repository) adoptRoles(ctx context.Context, t *Trust) error {
	newest, err := newestVersions(r.Public())
	if err != nil {
		return err
	}
	targets := t.set.Targets[roleTargets]
	parents := map[string]string{roleTargets: roleRoot}
	for _, d := range targets.Signed.Delegations.Roles {
		parents[d.Name] = roleTargets
	}
	names := slices.Collect(maps.Keys(t.set.Snapshot.Signed.Meta))
	slices.SortFunc(names, func(a, b string) int {
		return readRank(strings.TrimSuffix(a, ".json")) - readRank(strings.TrimSuffix(b, ".json"))
	})
	for _, name := range names {
		role := strings.TrimSuffix(name, ".json")
		want := t.set.Snapshot.Signed.Meta[name]
		parent := parents[role]
		if app, ok := binApp(role); ok && parents[appRole(app)] != "" {
			parent = appRole(app)
		}
		if parent == "" || want.Version <= newest[role] {
			continue
		}
		if err := r.adoptRole(ctx, t, role, parent, want); err != nil {
			return err
		}
	}
	return nil
}

// adoptRole takes over one role, and before it the documents that it names.
func (r *Repository) adoptRole(ctx context.Context, t *Trust, role, parent string, want *metadata.MetaFiles) error {
	b, err := t.file(ctx, metaName(role, want.Version), want, maxTargets)
	if err != nil {
		return err
	}
	m, err := t.targets(ctx, role, parent)
	if err != nil {
		return err
	}
	for path, f := range m.Signed.Targets {
		full := filepath.Join(r.Public(), filepath.FromSlash(hashedFile(path, f)))
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		doc, err := t.target(ctx, path, f, MaxMetainfo, "")
		if err != nil {
			return err
		}
		if err := writePublic(r.Public(), targetFile(path, sha256Hex(doc)), doc); err != nil {
			return err
		}
	}
	return writePublic(r.Public(), metaName(role, want.Version), b)
}
