package release

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// What a change of a repository can be refused for.
var (
	// ErrPublished says that a version is there already with other content. A version never changes.
	ErrPublished = errors.New("is published already, with other content")
	// ErrInUse says that a version cannot go, because a channel has it.
	ErrInUse = errors.New("is in use")
	// ErrNoRelease says that there is no such release in the repository.
	ErrNoRelease = errors.New("is not in the repository")
)

// withdrawnError is that a version was withdrawn, and so can be neither published again nor given to a channel: kind is ErrPublished or ErrNoRelease.
type withdrawnError struct {
	ref  Ref
	why  string
	kind error
}

func (e *withdrawnError) Error() string { return fmt.Sprintf("%s was withdrawn: %s", e.ref, e.why) }
func (e *withdrawnError) Unwrap() error { return e.kind }

// Find returns a release, or nil if there is none of that platform. withdrawn says why it was taken back.
func (tx *Tx) Find(app, version, platform string) (rel *Release, withdrawn string, err error) {
	f, b, err := tx.lookUp(app, releasePath(app, version, platform))
	if err != nil || f == nil {
		return nil, "", err
	}
	rel, err = parseRelease(b)
	return rel, customOf(f).Withdrawn, err
}

// Add publishes a release with the metainfo of each of its artefacts, a .torrent compressed with zstd. What is published already stays as it is: then added is
// false if the content is the same, and the error ErrPublished if it is not.
func (tx *Tx) Add(rel Release, metainfo ...[]byte) (added bool, err error) {
	if len(metainfo) != len(rel.Artefacts) {
		return false, fmt.Errorf("%d artefacts with %d metainfos", len(rel.Artefacts), len(metainfo))
	}
	rel.Format = 1
	rel.Published = tx.now.UTC().Truncate(time.Second)
	if _, err := tx.appMeta(rel.App); err != nil {
		return false, err
	}
	was, withdrawn, err := tx.Find(rel.App, rel.Version, rel.Platform)
	if err != nil {
		return false, err
	}
	if was != nil {
		switch a, b := was.Tree(), rel.Tree(); {
		case withdrawn != "":
			return false, &withdrawnError{rel.Ref(), withdrawn, ErrPublished}
		case a.V2 != b.V2 || a.Name != b.Name:
			return false, fmt.Errorf("%s for %s %w", rel.Ref(), rel.Platform, ErrPublished)
		}
		return false, nil
	}
	b, err := rel.encode()
	if err != nil {
		return false, err
	}
	for i, a := range rel.Artefacts {
		if err := tx.document(rel.App, metainfoPath(a.V2), metainfo[i]); err != nil {
			return false, err
		}
	}
	return true, tx.document(rel.App, releasePath(rel.App, rel.Version, rel.Platform), b)
}

// AddMetainfo has the app's role name the metainfo of a content, a .torrent compressed with zstd. One that is signed already, and lost, is only written.
func (tx *Tx) AddMetainfo(app, v2 string, packed []byte) error {
	return tx.document(app, metainfoPath(v2), packed)
}

// document writes a target's file and has its app's role name it. What the role names already is only written, and nothing is signed for it: it may be lost.
func (tx *Tx) document(app, path string, b []byte) error {
	tx.documents = append(tx.documents, document{path, b})
	was, err := tx.find(app, path)
	if err != nil {
		return err
	}
	is := describeTarget(b)
	if was != nil && was.Custom == nil && bytes.Equal(was.Hashes["sha256"], is.Hashes["sha256"]) {
		return nil
	}
	return tx.put(app, path, is)
}

// platforms are those a version of an app is published for.
func (tx *Tx) platforms(app, version string) (live, withdrawn []string, err error) {
	err = tx.each(app, func(path string, f *metadata.TargetFiles) error {
		if a, v, p, ok := parseReleasePath(path); ok && a == app && v == version {
			if customOf(f).Withdrawn != "" {
				withdrawn = append(withdrawn, p)
			} else {
				live = append(live, p)
			}
		}
		return nil
	})
	slices.Sort(live)
	slices.Sort(withdrawn)
	return live, withdrawn, err
}
