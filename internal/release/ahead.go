package release

import (
	"context"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// ReadAhead reads from Files, so many at once, what Apps, App and Release of everything will read one after another: for a Files that remembers, far from its
// repository. What cannot be read, or is not right, is for those to find. Refresh comes first.
func (t *Trust) ReadAhead(ctx context.Context, atOnce int) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	read := func(path string, limit int64) {
		g.Go(func() error { readFile(ctx, t.cfg.Files, path, limit); return ctx.Err() })
	}
	for name, want := range t.set.Snapshot.Signed.Meta {
		read(metaName(strings.TrimSuffix(name, ".json"), want.Version), maxTargets)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	apps, err := t.Apps(ctx)
	if err != nil {
		return err
	}
	releases := 0
	for _, app := range apps {
		t.each(ctx, app, func(path string, f *metadata.TargetFiles) error {
			_, _, _, release := parseReleasePath(path)
			if release {
				releases++
			}
			if (release || strings.HasPrefix(path, "channels/")) && f.Length <= maxDocument {
				read(hashedFile(path, f), f.Length)
			}
			return nil
		})
	}
	if releases >= 256 { // most parts of the log's index will be needed
		for i := range 256 {
			read(indexPath(tlog.Hash{byte(i)}), maxIndexShard)
		}
	}
	return g.Wait()
}
