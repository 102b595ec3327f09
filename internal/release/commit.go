package release

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"shoal/internal/disk"
)

// keepVersions is how many versions of a role's metadata stay: clients that are reading need the last ones. Roots stay for ever.
const keepVersions = 32

// parseMetaName takes N.ROLE.json apart.
func parseMetaName(name string) (role string, version int64, ok bool) {
	number, rest, ok := strings.Cut(name, ".")
	role, isJSON := strings.CutSuffix(rest, ".json")
	version, err := strconv.ParseInt(number, 10, 64)
	return role, version, ok && isJSON && err == nil && version > 0 && number == strconv.FormatInt(version, 10) && role != ""
}

// commit signs and writes what has changed. Each step is complete on the disk before the next begins, and nothing that was published is written again:
// Before the first it makes sure that all keys are here that publishers sign with, and writes those that are new: what is published is signed with them.
//
//  1. documents and metainfo;
//  2. N.ROLE.json: targets, then the bins of apps, then apps and rollout: nobody reads them before a snapshot names them;
//  3. the log: tiles, index, checkpoint;
//  4. N.snapshot.json and timestamp.json: now it is published;
//  5. N.root.json. Roles that got other keys were signed with the old ones too, and are for a while, so that they are good under either root.
//
// A next Update finishes 3 and 4 for roles that were written and not published.
func (tx *Tx) commit() error {
	if err := tx.canSign(); err != nil {
		return err
	}
	if err := tx.writeKeys(); err != nil {
		return err
	}
	for _, d := range tx.documents {
		if err := tx.place(targetFile(d.path, sha256Hex(d.data)), d.data); err != nil {
			return err
		}
	}
	if err := tx.sync(); err != nil {
		return err
	}
	slices.SortStableFunc(tx.accepted, func(a, b acceptedFile) int { return writeRank(a.role) - writeRank(b.role) })
	for _, a := range tx.accepted {
		if err := tx.write(metaName(a.role, a.version), a.data); err != nil {
			return err
		}
		tx.newest[a.role] = a.version
		tx.signed(a.role, a.version)
	}
	for _, role := range tx.order() {
		if err := tx.writeRole(role); err != nil {
			return err
		}
	}
	if err := tx.sync(); err != nil {
		return err
	}
	rootBytes, err := tx.signRoot()
	if err != nil {
		return err
	}
	if err := tx.publish(); err != nil {
		return err
	}
	if rootBytes != nil {
		tx.roots = append(tx.roots, acceptedFile{roleRoot, tx.root.Signed.Version, rootBytes})
	}
	return tx.writeRoots()
}

// canSign says whether what has changed can be signed here, but for snapshot and timestamp, which may be signed elsewhere.
func (tx *Tx) canSign() error {
	for _, role := range tx.order() {
		if _, err := tx.signers(role); err != nil {
			return err
		}
	}
	if tx.dirty[roleRoot] {
		_, err := tx.rootSigners()
		return err
	}
	return nil
}

// writeRoots writes the roots that are new.
func (tx *Tx) writeRoots() error {
	for _, a := range tx.roots {
		if err := tx.write(metaName(roleRoot, a.version), a.data); err != nil {
			return err
		}
		if err := tx.sync(); err != nil {
			return err
		}
		tx.signed(roleRoot, a.version)
		if err := disk.WriteFile(filepath.Join(tx.r.dir, "root.json"), a.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// write writes a public file that must be new.
func (tx *Tx) write(path string, b []byte) error {
	full := filepath.Join(tx.r.Public(), filepath.FromSlash(path))
	if _, err := os.Lstat(full); err == nil {
		return fmt.Errorf("%s has appeared meanwhile: somebody who does not take the lock writes into the repository", full)
	}
	return tx.place(path, b)
}

// place writes a public file; sync makes it durable, before anything is written that names it.
func (tx *Tx) place(path string, b []byte) error {
	full, err := placePublic(tx.r.Public(), path, b)
	tx.written = append(tx.written, full)
	return err
}

func (tx *Tx) sync() error {
	err := disk.SyncFiles(tx.written)
	tx.written = nil
	return err
}

func (tx *Tx) signed(role string, version int64) {
	tx.done.Signed = append(tx.done.Signed, fmt.Sprintf("%s %d", role, version))
}

// writeRank is the order in which roles are written: an app that has moved releases to its bins must not be seen without them.
func writeRank(role string) int {
	if role == roleTargets {
		return 0
	}
	if _, bin := binApp(role); bin {
		return 1
	}
	return 2
}

// order lists the changed roles in the order to write them.
func (tx *Tx) order() []string {
	var list []string
	for role := range tx.dirty {
		if role != roleRoot && role != roleSnapshot && role != roleTimestamp && role != roleLog {
			list = append(list, role)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(writeRank(a), writeRank(b)), cmp.Compare(a, b)) })
	return list
}

// writeRole signs the next version of a role.
func (tx *Tx) writeRole(role string) error {
	m := tx.roles[role]
	keys, err := tx.signers(role)
	if err != nil {
		return err
	}
	m.Signed.Version = tx.newest[role] + 1
	m.Signed.Expires = expiry(tx.now, offlineLife)
	m.Signatures = nil
	for _, k := range keys {
		if err := addSignature(m, k); err != nil {
			return err
		}
	}
	if err := tx.verify(role, m); err != nil {
		return err
	}
	b, err := encodeMeta(m)
	if err != nil {
		return err
	}
	if len(b) > maxTargets {
		return fmt.Errorf("the metadata of %s would have %d bytes: at most %d", role, len(b), maxTargets)
	}
	if err := tx.write(metaName(role, m.Signed.Version), b); err != nil {
		return err
	}
	tx.newest[role] = m.Signed.Version
	tx.signed(role, m.Signed.Version)
	return nil
}

// signRoot signs the next root, if it has changed: with enough keys of the old root and of the new one.
func (tx *Tx) signRoot() ([]byte, error) {
	if !tx.dirty[roleRoot] {
		return nil, nil
	}
	tx.extra.put(tx.root)
	tx.root.Signed.Version = tx.newest[roleRoot] + 1
	tx.root.Signed.Expires = expiry(tx.now, offlineLife)
	tx.root.Signatures = nil
	keys, err := tx.rootSigners()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := addSignature(tx.root, k); err != nil {
			return nil, err
		}
	}
	if tx.oldRoot != nil {
		if err := tx.oldRoot.VerifyDelegate(roleRoot, tx.root); err != nil {
			return nil, refused("root", err)
		}
	}
	if err := tx.root.VerifyDelegate(roleRoot, tx.root); err != nil {
		return nil, refused("root", err)
	}
	b, err := encodeMeta(tx.root)
	if err != nil {
		return nil, err
	}
	_, err = parseMeta[metadata.RootType](b, maxRoot)
	return b, err
}

// current is what is published: the newest timestamp and the snapshot that it names. Both are nil in a new repository.
func (tx *Tx) current() (*timestampMeta, *snapshotMeta, error) {
	b, err := readFile(tx.ctx, tx.r.Files(), timestampName, maxTimestamp)
	if errors.Is(err, ErrAbsent) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	t, err := parseMeta[metadata.TimestampType](b, maxTimestamp)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", timestampName, err)
	}
	name := metaName(roleSnapshot, t.Signed.Meta[roleSnapshot+".json"].Version)
	if b, err = readFile(tx.ctx, tx.r.Files(), name, maxSnapshot); err != nil {
		return nil, nil, err
	}
	s, err := parseMeta[metadata.SnapshotType](b, maxSnapshot)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return t, s, nil
}

// publish brings log, snapshot and timestamp up to what the roles say.
func (tx *Tx) publish() error {
	t, s, err := tx.current()
	if err != nil {
		return err
	}
	files, changed, err := tx.compare(s)
	if err != nil {
		return err
	}
	soon := func(expires time.Time, life time.Duration) bool { return expires.Sub(tx.now) < life }
	resign := tx.dirty[roleSnapshot] || s == nil || len(changed) > 0 || soon(s.Signed.Expires, snapshotLife/2)
	if !resign && !tx.dirty[roleTimestamp] && !soon(t.Signed.Expires, timestampLife-24*time.Hour) {
		return nil
	}
	for _, role := range []string{roleSnapshot, roleTimestamp} {
		_, err := tx.signers(role)
		var missing *KeysMissingError
		if errors.As(err, &missing) {
			tx.done.Unfinished = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	if resign {
		if err := tx.log(changed); err != nil {
			return err
		}
		if s, err = tx.writeSnapshot(files); err != nil {
			return err
		}
	}
	if err := tx.writeTimestamp(t, s); err != nil {
		return err
	}
	return tx.tidy()
}

// compare describes the newest files of all roles, and names those that the snapshot does not know.
func (tx *Tx) compare(s *snapshotMeta) (files map[string]*metadata.MetaFiles, changed []string, err error) {
	files = map[string]*metadata.MetaFiles{}
	targets, err := tx.role(roleTargets)
	if err != nil {
		return nil, nil, err
	}
	named := func(role string) bool {
		if app, ok := binApp(role); ok {
			a, err := tx.role(appRole(app))
			return err == nil && a.Signed.Delegations != nil && a.Signed.Delegations.SuccinctRoles != nil && a.Signed.Delegations.SuccinctRoles.IsDelegatedRole(role)
		}
		return role == roleTargets || findDelegation(targets, role) != nil
	}
	for _, role := range slices.Sorted(maps.Keys(tx.newest)) {
		if !named(role) {
			continue
		}
		version := tx.newest[role]
		if s != nil {
			if was := s.Signed.Meta[role+".json"]; was != nil && was.Version == version {
				files[role+".json"] = was
				continue
			}
		}
		if _, err := tx.role(role); err != nil { // also checks its signatures
			return nil, nil, err
		}
		b, err := readFile(tx.ctx, tx.r.Files(), metaName(role, version), maxTargets)
		if err != nil {
			return nil, nil, err
		}
		files[role+".json"] = describeMeta(version, b)
		changed = append(changed, role)
	}
	return files, changed, nil
}

func (tx *Tx) writeSnapshot(files map[string]*metadata.MetaFiles) (*snapshotMeta, error) {
	s := metadata.Snapshot(expiry(tx.now, snapshotLife))
	s.Signed.Version = tx.newest[roleSnapshot] + 1
	s.Signed.Meta = files
	keys, err := tx.signers(roleSnapshot)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := addSignature(s, k); err != nil {
			return nil, err
		}
	}
	b, err := encodeMeta(s)
	if err != nil {
		return nil, err
	}
	if err := tx.write(metaName(roleSnapshot, s.Signed.Version), b); err != nil {
		return nil, err
	}
	if err := tx.sync(); err != nil {
		return nil, err
	}
	tx.newest[roleSnapshot] = s.Signed.Version
	tx.signed(roleSnapshot, s.Signed.Version)
	return s, nil
}

func (tx *Tx) writeTimestamp(was *timestampMeta, s *snapshotMeta) error {
	t := metadata.Timestamp(expiry(tx.now, timestampLife))
	if was != nil {
		t.Signed.Version = was.Signed.Version + 1
	}
	b, err := readFile(tx.ctx, tx.r.Files(), metaName(roleSnapshot, s.Signed.Version), maxSnapshot)
	if err != nil {
		return err
	}
	t.Signed.Meta = map[string]*metadata.MetaFiles{roleSnapshot + ".json": describeMeta(s.Signed.Version, b)}
	keys, err := tx.signers(roleTimestamp)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := addSignature(t, k); err != nil {
			return err
		}
	}
	if b, err = encodeMeta(t); err != nil {
		return err
	}
	tx.signed(roleTimestamp, t.Signed.Version)
	return writePublic(tx.r.Public(), timestampName, b)
}

// tidy removes versions of metadata that nobody reads any longer.
func (tx *Tx) tidy() error {
	dir := filepath.Join(tx.r.Public(), "metadata")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		role, version, ok := parseMetaName(e.Name())
		if !ok || role == roleRoot || version > tx.newest[role]-keepVersions {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
