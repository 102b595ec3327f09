package release

import (
	"errors"
	"fmt"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// acceptRoot takes over roots that were signed elsewhere, one after the other as clients follow them (TUF specification 5.3). They are written when
// everything else is: see commit.
func (tx *Tx) acceptRoot(incoming Files, p PushedRole) error {
	here := tx.newest[roleRoot]
	b, err := readFile(tx.ctx, tx.r.Files(), metaName(roleRoot, here), maxRoot)
	if err != nil {
		return err
	}
	if p.BaseVersion != here || p.Base != sha256Hex(b) {
		return fmt.Errorf("root: %w: version %d is here, and version %d was what this one follows", ErrConflict, here, p.BaseVersion)
	}
	if p.Version <= here || p.Version-here > maxRootSteps {
		return refuse(RuleRollback, "root is version %d, and version %d is here", p.Version, here)
	}
	for version := here + 1; version <= p.Version; version++ {
		b, err := readFile(tx.ctx, incoming, metaName(roleRoot, version), maxRoot)
		if errors.Is(err, ErrAbsent) {
			return refuse(RuleIncomplete, "root %d was not brought", version)
		}
		if err != nil {
			return err
		}
		what := fmt.Sprintf("root %d", version)
		m, err := parseMeta[metadata.RootType](b, maxRoot)
		if err != nil {
			return refused(what, err)
		}
		if m.Signed.Version != version {
			return refuse(RuleRollback, "what was brought as %s is version %d", what, m.Signed.Version)
		}
		x, err := extraOf(m)
		if err != nil {
			return refused(what, err)
		}
		if x.Repository != tx.extra.Repository {
			return refuse(RuleOtherRoot, "%s is of another repository", what)
		}
		if err := errors.Join(tx.root.VerifyDelegate(roleRoot, m), m.VerifyDelegate(roleRoot, m)); err != nil {
			return refuse(RuleSignature, "%s: it is not signed by enough keys of the root before, and of its own", what)
		}
		tx.root, tx.extra = m, x
		tx.roots = append(tx.roots, acceptedFile{roleRoot, version, b})
	}
	if tx.root.Signed.IsExpired(tx.now) {
		return refused("root", &metadata.ErrExpiredMetadata{Msg: "it has expired"})
	}
	// What online keys sign must be good under the new root, and until clients have it under the old one: signers sees to that.
	tx.changed(roleSnapshot, roleTimestamp, roleLog)
	return nil
}

// canPublish makes sure that what was accepted can take effect here: the online keys that the root names are here.
func (tx *Tx) canPublish() error {
	for _, role := range []string{roleSnapshot, roleTimestamp} {
		if _, err := tx.signers(role); err != nil {
			return err
		}
	}
	_, err := tx.logKeys()
	return err
}

// overlap is how long what a role of the root signs is also signed by keys that a newer root has replaced, if they are still here. Meanwhile it is good for
// who has the root from before: files that are copied in the documented order, a cached answer that there is no newer root, a publisher whose next push
// brings several rotations at once.
const overlap = snapshotLife

// readRetired finds the keys that roots named until lately, by role.
func (tx *Tx) readRetired() error {
	tx.retired, tx.retiredLog = map[string][]string{}, nil
	next := tx.root
	for version := tx.newest[roleRoot] - 1; version > 0 && tx.now.Sub(next.Signed.Expires.Add(-offlineLife)) < overlap; version-- {
		b, err := readFile(tx.ctx, tx.r.Files(), metaName(roleRoot, version), maxRoot)
		if errors.Is(err, ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := parseMeta[metadata.RootType](b, maxRoot)
		if err != nil {
			return fmt.Errorf("reading root %d: %w", version, err)
		}
		x, err := extraOf(m)
		if err != nil {
			return err
		}
		tx.retire(m, x)
		next = m
	}
	return nil
}

// retire notes the keys of a root that has been replaced, or is about to be.
func (tx *Tx) retire(m *rootMeta, x *extra) {
	for role, r := range m.Signed.Roles {
		if role != roleRoot {
			tx.retired[role] = append(tx.retired[role], r.KeyIDs...)
		}
	}
	for _, vkey := range x.Log {
		if !slices.Contains(tx.retiredLog, vkey) {
			tx.retiredLog = append(tx.retiredLog, vkey)
		}
	}
}
