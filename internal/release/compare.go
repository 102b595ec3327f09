package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Outgoing is what a publisher's repository has that another one has not.
type Outgoing struct {
	Roles []PushedRole
	Files []string // documents, metainfo and roles, by their public path
	// Contents are those of releases and patches that are new there. They may be there all the same.
	Contents []*Live
}

// Compare finds out what has to be pushed to the repository that t has just refreshed, beginning with its first root. That something else was published there where
// something was published here is an ErrConflict; what others have published besides is none, and Adopt takes it over.
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
	o := &Outgoing{}
	if err := o.compareRoot(tx, t); err != nil {
		return nil, err
	}
	for _, role := range slices.Sorted(maps.Keys(tx.newest)) {
		if !isPushed(role) {
			continue
		}
		p, err := tx.outgoing(t, role)
		if err != nil {
			return nil, err
		}
		if p != nil {
			o.Roles = append(o.Roles, *p)
			o.Files = append(o.Files, metaName(role, p.Version))
		}
	}
	fresh, err := tx.fresh(o.Roles)
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(fresh)) {
		o.Files = append(o.Files, hashedFile(path, fresh[path]))
	}
	if len(fresh) == 0 {
		return o, nil
	}
	live, err := r.Live(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range live {
		if fresh[releasePath(l.App, l.Version, l.Platform)] != nil || fresh[metainfoPath(l.Artefact.V2)] != nil {
			o.Contents = append(o.Contents, l)
		}
	}
	return o, nil
}

// fresh are the targets that roles have and those that they follow have not.
func (tx *Tx) fresh(roles []PushedRole) (map[string]*metadata.TargetFiles, error) {
	old, fresh := map[string]*metadata.TargetFiles{}, map[string]*metadata.TargetFiles{}
	for _, p := range roles {
		if p.Role == roleRoot {
			continue
		}
		m, err := tx.role(p.Role)
		if err != nil {
			return nil, err
		}
		maps.Copy(fresh, m.Signed.Targets)
		if p.BaseVersion == 0 {
			continue
		}
		b, err := readFile(tx.ctx, tx.r.Files(), metaName(p.Role, p.BaseVersion), maxTargets)
		if err != nil {
			return nil, err
		}
		was, err := parseMeta[metadata.TargetsType](b, maxTargets)
		if err != nil {
			return nil, err
		}
		maps.Copy(old, was.Signed.Targets)
	}
	maps.DeleteFunc(fresh, func(path string, f *metadata.TargetFiles) bool { return old[path] != nil && old[path].Equal(*f) })
	return fresh, nil
}

// compareRoot finds the roots that are new here. Of two that were made from one root each only one can go on.
func (o *Outgoing) compareRoot(tx *Tx, t *Trust) error {
	there, here := t.set.Root.Signed.Version, tx.newest[roleRoot]
	common := min(there, here)
	ours, err := readFile(tx.ctx, tx.r.Files(), metaName(roleRoot, common), maxRoot)
	if err != nil {
		return err
	}
	theirs, err := readFile(tx.ctx, t.cfg.Files, metaName(roleRoot, common), maxRoot)
	if err != nil {
		return err
	}
	if !bytes.Equal(ours, theirs) {
		return fmt.Errorf("root: %w: version %d there is not ours", ErrConflict, common)
	}
	if here <= there {
		return nil
	}
	o.Roles = append(o.Roles, PushedRole{Role: roleRoot, Version: here, BaseVersion: there, Base: sha256Hex(theirs)})
	for version := there + 1; version <= here; version++ {
		o.Files = append(o.Files, metaName(roleRoot, version))
	}
	return nil
}

// outgoing says what is to be pushed of a role; nil: nothing was signed here that is not there.
func (tx *Tx) outgoing(t *Trust, role string) (*PushedRole, error) {
	p := &PushedRole{Role: role, Version: tx.newest[role]}
	there := t.set.Snapshot.Signed.Meta[role+".json"]
	if there == nil {
		return p, nil
	}
	p.BaseVersion = there.Version
	p.Base = fmt.Sprintf("%x", []byte(there.Hashes["sha256"]))
	conflict := fmt.Errorf("%s: %w: version %d there is not one of ours", role, ErrConflict, there.Version)
	common := min(p.Version, there.Version)
	ours, err := readFile(tx.ctx, tx.r.Files(), metaName(role, common), maxTargets)
	if errors.Is(err, ErrAbsent) {
		return nil, conflict
	}
	if err != nil {
		return nil, err
	}
	hash := p.Base
	if common < there.Version { // what is newest here was published there, or is not the one that was
		theirs, err := readFile(tx.ctx, t.cfg.Files, metaName(role, common), maxTargets)
		if err != nil && !errors.Is(err, ErrAbsent) {
			return nil, err
		}
		hash = sha256Hex(theirs)
	}
	switch {
	case sha256Hex(ours) != hash:
		return nil, conflict
	case p.Version <= p.BaseVersion:
		return nil, nil
	}
	return p, nil
}
