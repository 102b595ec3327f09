package seeder

import (
	"context"
	"path/filepath"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/piece"
)

// settle notes where the content is that was brought: at path, or in the repository, where it may not have been before.
func settle(tx *release.Tx, r *release.Repository, v2, path string, inPlace bool) error {
	if inPlace {
		return tx.SetInPlace(v2, path)
	}
	m, err := r.InPlace()
	if err != nil || m[v2] == "" {
		return err
	}
	return tx.SetInPlace(v2, "")
}

// losses are what a repository has not of a release, or not as it was signed.
type losses struct {
	content  bool
	metainfo bool          // of the content
	archive  *release.Live // nil: it is there, or there is none
}

// findLosses looks for what is lost of a release that t is to be published as, whose content lies at path. Of one that is withdrawn or has other content nothing is: it is refused.
func findLosses(ctx context.Context, r *release.Repository, rel *release.Release, t *piece.Torrent, path string) (lost losses, err error) {
	if a := rel.Tree(); a.V2 != t.Key() || a.Name != t.Name {
		return lost, nil
	}
	all, err := r.Live(ctx)
	if err != nil {
		return lost, err
	}
	for _, l := range all {
		if l.App != rel.App || l.Version != rel.Version || l.Platform != rel.Platform {
			continue
		}
		switch l.Artefact.Kind {
		case "T":
			if _, err := l.Metainfo(); err != nil {
				lost.metainfo = true
			}
			at, _, err := placeOf(r, &l.Artefact)
			if err != nil {
				return lost, err
			}
			if at == path {
				continue // it was read just now
			}
			whole, err := isWhole(ctx, t, at)
			if lost.content = !whole; err != nil {
				return lost, err
			}
		case "F":
			whole, err := holds(ctx, r, l)
			if err != nil {
				return lost, err
			}
			if !whole {
				lost.archive = l
			}
		}
	}
	return lost, nil
}

// placeOf is where a repository has a content.
func placeOf(r *release.Repository, a *release.Artefact) (path string, inPlace bool, err error) {
	m, err := r.InPlace()
	if err != nil {
		return "", false, err
	}
	if m[a.V2] != "" {
		return m[a.V2], true, nil
	}
	return filepath.Join(r.ContentDir(a.V2), a.Name), false, nil
}

// holds says whether a repository has a content, and its metainfo, as they were signed.
func holds(ctx context.Context, r *release.Repository, l *release.Live) (bool, error) {
	path, _, err := placeOf(r, &l.Artefact)
	if err != nil {
		return false, err
	}
	packed, err := l.Metainfo()
	if err != nil {
		return false, ctx.Err()
	}
	t, err := deliver.UnpackMetainfo(packed, &l.Artefact)
	if err != nil {
		return false, ctx.Err()
	}
	return isWhole(ctx, t, path)
}

// isWhole says whether content lies at path as it was described.
func isWhole(ctx context.Context, t *piece.Torrent, path string) (bool, error) {
	report, err := piece.Verify(ctx, t.Info, path, piece.VerifyConfig{})
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return err == nil && report.OK(), nil // an error is as bad as what it hides
}
