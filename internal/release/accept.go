package release

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrConflict says that somebody else has published meanwhile: what was to be published does not follow from what is.
var ErrConflict = errors.New("somebody else has published meanwhile")

// PushedRole is a version of a role that a publisher brings to the machine with the online keys.
type PushedRole struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	// Base is the SHA-256 in hex of the version before that the publisher began with, which must still be the newest here; "" if there was none.
	// Of the role root the versions between come along: each must follow from the one before.
	Base string `json:"base"`
	// BaseVersion is its number; 0 if there was none.
	BaseVersion int64 `json:"base_version"`
}

// Accepted is a content that a push brings, with its metainfo.
type Accepted struct {
	Ref      Ref
	Platform string
	Artefact Artefact
	Packed   []byte
}

// Accept takes over roles that were signed elsewhere, whose files and documents lie in incoming under their public paths. It checks all of them, and that they follow
// from what is here, and returns the contents that are new. Nothing is written before the Update ends well.
func (tx *Tx) Accept(incoming Files, pushed []PushedRole) ([]*Accepted, error) {
	pushed = slices.Clone(pushed)
	slices.SortFunc(pushed, func(a, b PushedRole) int { return readRank(a.Role) - readRank(b.Role) })
	before := map[string]*targetsMeta{} // read first: under what is pushed their keys may count no more
	for _, p := range pushed {
		if isPushed(p.Role) && tx.newest[p.Role] > 0 {
			m, err := tx.role(p.Role)
			if err != nil {
				return nil, err
			}
			before[p.Role] = m
		}
	}
	for _, p := range pushed {
		if p.Role == roleRoot {
			if err := tx.acceptRoot(incoming, p); err != nil {
				return nil, err
			}
			continue
		}
		if err := tx.acceptRole(incoming, p); err != nil {
			return nil, err
		}
	}
	if err := tx.verify(roleTargets, tx.roles[roleTargets]); err != nil { // under another root it may count no more
		return nil, err
	}
	// What moved from a role to its bins is not new.
	old := map[string]*metadata.TargetFiles{}
	for _, m := range before {
		if m != nil {
			maps.Copy(old, m.Signed.Targets)
		}
	}
	var accepted []*Accepted
	for _, p := range pushed {
		app, ok := strings.CutPrefix(p.Role, "app-")
		if !ok {
			if app, ok = binApp(p.Role); !ok {
				continue
			}
		}
		for _, path := range slices.Sorted(maps.Keys(tx.roles[p.Role].Signed.Targets)) {
			f := tx.roles[p.Role].Signed.Targets[path]
			was := old[path]
			if was != nil && was.Equal(*f) {
				continue
			}
			a, err := tx.acceptTarget(incoming, app, path, f, was)
			if err != nil {
				return nil, err
			}
			accepted = append(accepted, a...)
		}
	}
	if err := tx.withMetainfo(accepted); err != nil {
		return nil, err
	}
	return accepted, tx.canPublish()
}

// isPushed says whether a role is signed by publishers, besides root.
func isPushed(role string) bool {
	_, bin := binApp(role)
	return bin || role == roleTargets || strings.HasPrefix(role, "app-")
}

// readRank is the order in which roles are read: who delegates comes first.
func readRank(role string) int {
	_, bin := binApp(role)
	switch {
	case role == roleRoot:
		return 0
	case role == roleTargets:
		return 1
	case bin:
		return 3
	}
	return 2
}

// acceptRole checks a role and puts it in place of the one that is here.
func (tx *Tx) acceptRole(incoming Files, p PushedRole) error {
	if !isPushed(p.Role) {
		return refuse(RuleMalformed, "%.80q is not a role that is pushed", p.Role)
	}
	here := tx.newest[p.Role]
	if p.BaseVersion != here {
		return fmt.Errorf("%s: %w: version %d is here, and version %d was what this one follows", p.Role, ErrConflict, here, p.BaseVersion)
	}
	if here > 0 {
		b, err := readFile(tx.ctx, tx.r.Files(), metaName(p.Role, here), maxTargets)
		if err != nil {
			return err
		}
		if sha256Hex(b) != p.Base {
			return fmt.Errorf("%s: %w: there is another version %d", p.Role, ErrConflict, here)
		}
	}
	b, err := readFile(tx.ctx, incoming, metaName(p.Role, p.Version), maxTargets)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Role, err)
	}
	m, err := parseMeta[metadata.TargetsType](b, maxTargets)
	if err != nil {
		return refused(p.Role, err)
	}
	if m.Signed.Version != p.Version || p.Version <= here {
		return refuse(RuleRollback, "%s is version %d, and version %d is here", p.Role, m.Signed.Version, here)
	}
	if m.Signed.IsExpired(tx.now) {
		return refused(p.Role, &metadata.ErrExpiredMetadata{Msg: "it has expired"})
	}
	if err := tx.verify(p.Role, m); err != nil {
		return err
	}
	tx.roles[p.Role] = m
	tx.accepted = append(tx.accepted, acceptedFile{p.Role, p.Version, b})
	return nil
}

type acceptedFile struct {
	role    string
	version int64
	data    []byte
}

// acceptTarget checks a target that is new or has changed, and takes its file over; it returns the contents that it names.
func (tx *Tx) acceptTarget(incoming Files, app, path string, f, was *metadata.TargetFiles) ([]*Accepted, error) {
	if limit := targetLimit(path); f.Length > limit {
		return nil, refuse(RuleEndless, "%s has %d bytes: at most %d", path, f.Length, limit)
	}
	b, err := readFile(tx.ctx, incoming, hashedFile(path, f), f.Length)
	if errors.Is(err, ErrAbsent) {
		return nil, refuse(RuleIncomplete, "%s is signed and was not brought", path)
	}
	if err != nil {
		return nil, err
	}
	if err := f.VerifyLengthHashes(b); err != nil {
		return nil, refused(path, err)
	}
	tx.documents = append(tx.documents, document{path, b})
	if a, channel, ok := parseChannelPath(path); ok {
		c, err := parseChannel(b)
		if err != nil {
			return nil, refused(path, err)
		}
		if a != app || c.App != a || c.Channel != channel {
			return nil, refuse(RuleMismatch, "%s is signed for %s:%s", path, c.App, c.Channel)
		}
		return nil, nil
	}
	if _, _, _, ok := parsePatchesPath(path); ok {
		return tx.acceptPatches(app, path, b)
	}
	a, version, platform, ok := parseReleasePath(path)
	if !ok {
		return nil, nil
	}
	rel, err := parseRelease(b)
	if err != nil {
		return nil, refused(path, err)
	}
	if a != app || rel.App != a || rel.Version != version || rel.Platform != platform {
		return nil, refuse(RuleMismatch, "%s is signed for %s@%s for %s", path, rel.App, rel.Version, rel.Platform)
	}
	if was != nil {
		return nil, fmt.Errorf("%s for %s %w", rel.Ref(), platform, ErrPublished)
	}
	if customOf(f).Withdrawn != "" {
		return nil, nil // taken back before it was ever here: nobody gets its content
	}
	var list []*Accepted
	for _, x := range rel.Artefacts {
		list = append(list, &Accepted{Ref: rel.Ref(), Platform: platform, Artefact: x})
	}
	return list, nil
}

// withMetainfo adds the metainfo of each content, which must be signed too.
func (tx *Tx) withMetainfo(list []*Accepted) error {
	for _, a := range list {
		path := metainfoPath(a.Artefact.V2)
		f, err := tx.find(a.Ref.App, path)
		if err != nil {
			return err
		}
		if f == nil {
			return refuse(RuleIncomplete, "the metainfo of %s is not signed", a.Ref)
		}
		if a.Packed, err = tx.read(path, f); err != nil {
			return err
		}
	}
	return nil
}
