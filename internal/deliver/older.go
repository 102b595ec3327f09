package deliver

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/internal/release"
	"shoal/swarm"
)

// dropOlder removes what fetches into the same directory have left that were stopped, of older versions of the release: it is complete now, and nobody goes on with those. That is what the
// signed documents of the versions that there is a patch from name, and which were published before. What another process fetches stays, and what was touched since this fetch began;
// so does all of which it is not certain what it is.
func (s *stager) dropOlder(ctx context.Context) {
	left := s.leftovers()
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	for i := range s.survey.patches {
		p := &s.survey.patches[i]
		if len(left) == 0 {
			return
		}
		if p.Kind != "P" {
			continue
		}
		old, err := s.Release.Trust.Document(ctx, s.Release.Found, p.From)
		if err != nil || old.Tree().V2 != p.Base || old.Published.After(s.Release.Published) {
			continue
		}
		patches, _ := s.Release.Trust.Patches(ctx, &release.Found{Release: old})
		for _, a := range append(patches, old.Artefacts...) {
			v2, err := parseV2(a.V2)
			if err != nil || !left[a.V2[:prefixLen]] {
				continue
			}
			delete(left, a.V2[:prefixLen])
			swarm.DropParts(s.Dir, v2) // what cannot be removed does no harm
		}
	}
}

// dropTime is how long the repository may take to say what older versions are: the release is here already.
const dropTime = 5 * time.Second

// prefixLen is how many hex digits of an info hash name what is left of a fetch.
const prefixLen = 12

// leftovers are the working directories beside the release's own that were not touched since this fetch began, by the beginnings of their info hashes.
func (s *stager) leftovers() map[string]bool {
	found := map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(quoteGlob(s.Dir), ".shoal-"+strings.Repeat("?", prefixLen)))
	if err != nil {
		return nil
	}
	for _, path := range paths {
		if st, err := os.Stat(filepath.Join(path, "journal")); err == nil && st.ModTime().Before(s.began) {
			found[strings.TrimPrefix(filepath.Base(path), ".shoal-")] = true
		}
	}
	for _, a := range append(s.survey.patches[:len(s.survey.patches):len(s.survey.patches)], s.Release.Artefacts...) {
		if len(a.V2) >= prefixLen {
			delete(found, a.V2[:prefixLen])
		}
	}
	return found
}
