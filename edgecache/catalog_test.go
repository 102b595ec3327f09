package edgecache

import (
	"testing"

	"shoal/internal/release"
)

// A release counts once, however many platforms, archives and patches there are of it.
func TestReleasesAreCountedOnce(t *testing.T) {
	c := newCatalog("id", 1)
	for i, kind := range []string{"T", "T", "F", "P", "P"} {
		c.add(&known{key: string(rune('a' + i)), app: "app", version: "1.0", artefact: &release.Artefact{Kind: kind, V2: "v2"}})
	}
	c.add(&known{key: "x", app: "app", version: "2.0", artefact: &release.Artefact{Kind: "T", V2: "v2"}})
	c.add(&known{key: "y", name: "no release"})
	if got := c.releases(); got != 3 {
		t.Errorf("%d releases, want two and a content that is none", got)
	}
}
