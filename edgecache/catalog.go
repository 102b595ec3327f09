package edgecache

import (
	"context"
	"path"
	"slices"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

// known is a content that an origin has on offer.
type known struct {
	key                    string // its info hash in hex, see deliver.WebSeed
	name                   string
	bytes                  int64
	app, version, platform string   // empty for a content that is no release
	channels               []string // that have this version
	published              time.Time
	artefact               *release.Artefact // what it is of a release: the tree itself, its archive, a patch to it, or the index of its blocks; nil if it is none
	file                   string            // of the repository, if it is one as well
	tree                   string            // key of the release's tree, if it is not a content of its own: see isFile
	from                   source
}

// isTree says whether it is what users name: not an archive of that, nor a patch to it.
func (k *known) isTree() bool { return k.artefact == nil || k.artefact.Kind == "T" }

func (k *known) release() release.Ref { return release.Ref{App: k.app, Version: k.version} }

// source is where a content comes from: a repository, or an origin of one content.
type source interface {
	// find makes sure of what the content is, and says where its origin has it. It may ask the origin.
	find(ctx context.Context, k *known) (*deliver.Found, error)
	// redirect is where its origin serves a file of it over HTTP, by its path below the content's key.
	redirect(k *known, file string) string
}

// ref is what users call it.
func (k *known) ref() string {
	if k.app == "" {
		return k.name
	}
	return k.app + "@" + k.version
}

// followed says whether it is to be here without being asked for: the newest version of a channel of an app that is followed.
func (k *known) followed(apps []string) bool {
	if k.app == "" {
		return true
	}
	return len(k.channels) > 0 && slices.ContainsFunc(apps, func(pattern string) bool {
		ok, _ := path.Match(pattern, k.app) // checked
		return ok
	})
}

// catalog is all that one origin has on offer, at one time. It does not change.
type catalog struct {
	id        string // of the repository; empty for a single content
	version   int64  // of its timestamp
	byKey     map[string]*known
	byRef     map[string][]*known // APP@VERSION: one for each platform
	ways      map[string][]*known // APP@VERSION: archives, patches and indices, with which the same comes of less
	files     map[string]*known   // by file of the repository: small patches and indices
	channels  map[string]string   // APP:CHANNEL: the version
	withdrawn map[string]bool     // by key
}

func newCatalog(id string, version int64) *catalog {
	return &catalog{id: id, version: version, byKey: map[string]*known{}, byRef: map[string][]*known{}, ways: map[string][]*known{}, files: map[string]*known{}, channels: map[string]string{}, withdrawn: map[string]bool{}}
}

// releases is how many there are, each of all its platforms, archives and patches, and contents that are none.
func (c *catalog) releases() int {
	n := len(c.byRef)
	for _, k := range c.byKey {
		if k.app == "" {
			n++
		}
	}
	return n
}

func (c *catalog) add(k *known) {
	c.byKey[k.key] = k
	if k.file != "" {
		c.files[k.file] = k
	}
	switch {
	case k.app == "":
	case k.isTree():
		c.byRef[k.ref()] = append(c.byRef[k.ref()], k)
	default:
		c.ways[k.ref()] = append(c.ways[k.ref()], k)
	}
}

// forPlatform chooses among the platforms of a release: the one that is named, else the one for all, else the only one; nil if it cannot be told.
func forPlatform(list []*known, platform string) *known {
	for _, k := range list {
		if k.platform == platform || platform == "" && (k.platform == "any" || len(list) == 1) {
			return k
		}
	}
	return nil
}
