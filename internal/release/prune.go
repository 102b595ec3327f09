package release

import (
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Prune forgets versions of an app that no channel has or may fall back to, but for the newest keep of them by time of publishing. It returns them. Their
// entries in the log stay.
func (tx *Tx) Prune(app string, keep int, pinned []string) (gone []*Release, err error) {
	channels, err := tx.Channels(app)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, v := range pinned {
		used[v] = true
	}
	for _, c := range channels {
		used[c.Version] = true
		back, err := tx.fallbacks(c, "")
		if err != nil {
			return nil, err
		}
		for _, v := range back[:min(1, len(back))] {
			used[v] = true
		}
	}
	var all []*Release
	err = tx.each(app, func(path string, _ *metadata.TargetFiles) error {
		a, v, p, ok := parseReleasePath(path)
		if !ok {
			return nil
		}
		rel, _, err := tx.Find(a, v, p)
		if err == nil {
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b *Release) int { return b.Published.Compare(a.Published) })
	newest := map[string]bool{}
	for _, rel := range all {
		if used[rel.Version] || newest[rel.Version] {
			continue
		}
		if len(newest) < keep {
			newest[rel.Version] = true
			continue
		}
		gone = append(gone, rel)
	}
	if err := tx.dropReleases(app, all, gone); err != nil {
		return nil, err
	}
	if len(gone) == 0 {
		return nil, nil
	}
	// A channel must not offer to fall back to what is gone.
	for _, c := range channels {
		kept, err := tx.fallbacks(c, "")
		if err != nil {
			return nil, err
		}
		if err := tx.forget(c, kept); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// dropReleases forgets those of an app's releases that are gone, with their patches and all metainfo that no other release needs.
func (tx *Tx) dropReleases(app string, all, gone []*Release) error {
	needed := map[string]bool{}
	for _, rel := range all {
		if slices.Contains(gone, rel) {
			continue
		}
		list, err := tx.contents(rel)
		if err != nil {
			return err
		}
		for _, a := range list {
			needed[a.V2] = true
		}
	}
	for _, rel := range gone {
		list, err := tx.contents(rel)
		if err != nil {
			return err
		}
		if err := tx.dropPatches(app, rel.Version, rel.Platform); err != nil {
			return err
		}
		if err := tx.put(app, releasePath(app, rel.Version, rel.Platform), nil); err != nil {
			return err
		}
		for _, a := range list {
			if needed[a.V2] {
				continue
			}
			if err := tx.put(app, metainfoPath(a.V2), nil); err != nil {
				return err
			}
		}
	}
	return nil
}
