package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrConflict says that somebody else has published meanwhile: what was to be published does not follow from what is.
var ErrConflict = errors.New("somebody else has published meanwhile")

// PushedRole is a version of a role that a publisher brings to the machine with the online keys.
type PushedRole struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	// Base is the SHA-256 in hex of the version before that the publisher began with, which must still be the newest here; "" if there was none.
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
	rank := func(p PushedRole) int {
		if p.Role == roleTargets {
			return 0
		}
		if _, bin := binApp(p.Role); bin {
			return 2
		}
		return 1
	}
	pushed = slices.Clone(pushed)
	slices.SortFunc(pushed, func(a, b PushedRole) int { return rank(a) - rank(b) }) // who delegates comes first
	before := map[string]*targetsMeta{}
	for _, p := range pushed {
		was, err := tx.acceptRole(incoming, p)
		if err != nil {
			return nil, err
		}
		before[p.Role] = was
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
	return accepted, tx.withMetainfo(accepted)
}

// acceptRole checks a role and puts it in place of the one that is here, which it returns.
func (tx *Tx) acceptRole(incoming Files, p PushedRole) (was *targetsMeta, err error) {
	_, isBin := binApp(p.Role)
	if !isBin && p.Role != roleTargets && !strings.HasPrefix(p.Role, "app-") {
		return nil, refuse(RuleMalformed, "%.80q is not a role that is pushed", p.Role)
	}
	here := tx.newest[p.Role]
	if p.BaseVersion != here {
		return nil, fmt.Errorf("%s: %w: version %d is here, and version %d was what this one follows", p.Role, ErrConflict, here, p.BaseVersion)
	}
	if here > 0 {
		if was, err = tx.role(p.Role); err != nil {
			return nil, err
		}
		b, err := readFile(tx.ctx, tx.r.Files(), metaName(p.Role, here), maxTargets)
		if err != nil {
			return nil, err
		}
		if sha256Hex(b) != p.Base {
			return nil, fmt.Errorf("%s: %w: there is another version %d", p.Role, ErrConflict, here)
		}
	}
	b, err := readFile(tx.ctx, incoming, metaName(p.Role, p.Version), maxTargets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Role, err)
	}
	m, err := parseMeta[metadata.TargetsType](b, maxTargets)
	if err != nil {
		return nil, refused(p.Role, err)
	}
	if m.Signed.Version != p.Version || p.Version <= here {
		return nil, refuse(RuleRollback, "%s is version %d, and version %d is here", p.Role, m.Signed.Version, here)
	}
	if m.Signed.IsExpired(tx.now) {
		return nil, refused(p.Role, &metadata.ErrExpiredMetadata{Msg: "it has expired"})
	}
	if err := tx.verify(p.Role, m); err != nil {
		return nil, err
	}
	tx.roles[p.Role] = m
	tx.accepted = append(tx.accepted, acceptedFile{p.Role, p.Version, b})
	return was, nil
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
	b, err := readFile(tx.ctx, incoming, targetFile(path, fmt.Sprintf("%x", []byte(f.Hashes["sha256"]))), f.Length)
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

// Outgoing is what a publisher's repository has that another one has not.
type Outgoing struct {
	Roles []PushedRole
	Files []string // documents, metainfo and roles, by their public path
	// Contents are all that the roles have; which of them is missing there is for the other side to say.
	Contents []*Live
}

// Compare finds out what has to be pushed to the repository that t has just refreshed. That something newer lies there is an ErrConflict.
func (r *Repository) Compare(ctx context.Context, t *Trust) (*Outgoing, error) {
	if t.ID() != r.ID() {
		return nil, refuse(RuleOtherRoot, "that is repository %s, and this is %s", t.ID(), r.ID())
	}
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	if err := t.complete(ctx); err != nil {
		return nil, err
	}
	if there, here := t.set.Root.Signed.Version, tx.root.Signed.Version; there != here {
		return nil, fmt.Errorf("the root there is version %d, and here it is %d: bring root and keys to the origin by hand: %w", there, here, ErrConflict)
	}
	o := &Outgoing{}
	apps := map[string]bool{}
	for _, role := range slices.Sorted(maps.Keys(tx.newest)) {
		app, ok := strings.CutPrefix(role, "app-")
		if !ok {
			app, ok = binApp(role)
		}
		if !ok && role != roleTargets {
			continue
		}
		p := PushedRole{Role: role, Version: tx.newest[role]}
		if there := t.set.Snapshot.Signed.Meta[role+".json"]; there != nil {
			p.BaseVersion = there.Version
			p.Base = fmt.Sprintf("%x", []byte(there.Hashes["sha256"]))
			b, err := readFile(ctx, r.Files(), metaName(role, there.Version), maxTargets)
			if err != nil && !errors.Is(err, ErrAbsent) {
				return nil, err
			}
			if err != nil || sha256Hex(b) != p.Base {
				return nil, fmt.Errorf("%s: %w: version %d there is not one of ours", role, ErrConflict, there.Version)
			}
		}
		if p.Version == p.BaseVersion {
			continue
		}
		m, err := tx.role(role)
		if err != nil {
			return nil, err
		}
		o.Roles = append(o.Roles, p)
		o.Files = append(o.Files, metaName(role, p.Version))
		for _, path := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
			o.Files = append(o.Files, targetFile(path, fmt.Sprintf("%x", []byte(m.Signed.Targets[path].Hashes["sha256"]))))
		}
		if ok {
			apps[app] = true
		}
	}
	live, err := r.Live(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range live {
		if apps[l.App] {
			o.Contents = append(o.Contents, l)
		}
	}
	return o, nil
}

// Adopt takes over log, snapshot and timestamp as they are in the repository that t has just refreshed, after a push: who has the online keys has signed them.
func (r *Repository) Adopt(ctx context.Context, t *Trust) error {
	l, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := t.complete(ctx); err != nil {
		return err
	}
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
	if err := writePublic(r.Public(), "log/checkpoint", t.checkpoint.Note); err != nil {
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
