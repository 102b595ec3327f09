package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxRootSteps is how many root rotations a client follows in one go.
const maxRootSteps = 1024

// Refresh brings root, timestamp, snapshot, targets and the log's checkpoint up to date, in that order, as TUF's client workflow has it (specification 5.3
// to 5.6). What is verified is kept at once. With nothing new it asks twice: for the next root, which is not there, and for the timestamp, which is
// unchanged.
func (t *Trust) Refresh(ctx context.Context) error {
	if err := t.refreshRoot(ctx); err != nil {
		return err
	}
	if err := t.refreshTimestamp(ctx); err != nil {
		return err
	}
	// With nothing new, what was found out last time holds (see recall), and the rest is only read when somebody asks for something else.
	if !t.unchanged || len(t.known.Resolved) == 0 {
		if err := t.complete(ctx); err != nil {
			return err
		}
	}
	if err := t.refreshCheckpoint(ctx); err != nil {
		return err
	}
	return t.remember("")
}

// complete reads snapshot and targets, if that was not done yet.
func (t *Trust) complete(ctx context.Context) error {
	if t.set.Targets[roleTargets] != nil {
		return nil
	}
	if err := t.refreshSnapshot(ctx); err != nil {
		return err
	}
	_, err := t.targets(ctx, roleTargets, roleRoot)
	return err
}

// snapshotVersion is that which the timestamp names.
func (t *Trust) snapshotVersion() int64 {
	return t.set.Timestamp.Signed.Meta[roleSnapshot+".json"].Version
}

// refreshRoot follows the chain of roots to the newest, and keeps it.
func (t *Trust) refreshRoot(ctx context.Context) error {
	steps := 0
	for ; steps < maxRootSteps; steps++ {
		next := t.set.Root.Signed.Version + 1
		b, err := readFile(ctx, t.cfg.Files, metaName(roleRoot, next), maxRoot)
		if errors.Is(err, ErrAbsent) {
			break
		}
		if err != nil {
			return err
		}
		m, err := parseMeta[metadata.RootType](b, maxRoot)
		if err != nil {
			return refused(fmt.Sprintf("root %d", next), err)
		}
		x, err := extraOf(m)
		if err != nil {
			return refused("root", err)
		}
		if x.Repository != t.extra.Repository {
			return t.otherRepository(x)
		}
		if _, err := t.set.UpdateRoot(b); err != nil {
			return refused(fmt.Sprintf("root %d", next), err)
		}
		t.extra, t.rootBytes = x, b
		if err := t.keep("root.json", b); err != nil {
			return err
		}
	}
	if t.cfg.Root != nil {
		if err := t.meetsPinned(); err != nil {
			return err
		}
	}
	if steps == 0 {
		kept, err := t.read("root.json")
		if err == nil && kept == nil {
			err = t.keep("root.json", t.rootBytes)
		}
		if err != nil {
			return err
		}
	}
	return t.expired(t.set.Root.Signed.Expires, "root") // TUF specification 5.3.10
}

// meetsPinned makes sure that a root that the user has brought is not newer than what the chain led to, or another of that version.
func (t *Trust) meetsPinned() error {
	switch now := t.set.Root.Signed.Version; {
	case t.pinned > now:
		return refuse(RuleRollback, "the repository has root %d, and the pinned one is %d", now, t.pinned)
	case t.pinned == now && Fingerprint(t.cfg.Root) != t.Fingerprint():
		return refuse(RuleOtherRoot, "the repository's root %d is not the pinned one", now)
	}
	return nil
}

// refreshTimestamp asks for a newer timestamp than the kept one.
func (t *Trust) refreshTimestamp(ctx context.Context) error {
	kept, err := t.read("timestamp.json")
	if err != nil {
		return err
	}
	tag := ""
	if kept != nil {
		if m, err := parseMeta[metadata.TimestampType](kept, maxTimestamp); err == nil {
			t.forgive(m.Signed.Expires)
			_, err = t.set.UpdateTimestamp(kept)
			if err != nil && !as[*metadata.ErrExpiredMetadata](err) {
				kept = nil // signed with keys that have been replaced: it counts for nothing any more
			} else if t.known.TagName == t.cfg.Name {
				tag = t.known.TimestampTag
			}
		}
	}
	b, newTag, err := t.cfg.Files.Get(ctx, timestampName, maxTimestamp, tag)
	switch {
	case errors.Is(err, ErrUnchanged):
		t.unchanged = true
		return t.expired(t.set.Timestamp.Signed.Expires, "timestamp")
	case errors.Is(err, ErrAbsent):
		return refuse(RuleIncomplete, "%s is not there", timestampName)
	case err != nil:
		return err
	}
	m, err := parseMeta[metadata.TimestampType](b, maxTimestamp)
	if err != nil {
		return refused("timestamp", err)
	}
	t.forgive(m.Signed.Expires)
	before := t.set.Timestamp
	_, err = t.set.UpdateTimestamp(b)
	if as[*metadata.ErrEqualVersionNumber](err) {
		// A mirror may sign nothing new; but two timestamps of one version must not differ.
		if a, b := before.Signed.Meta[roleSnapshot+".json"], m.Signed.Meta[roleSnapshot+".json"]; a.Version != b.Version || !bytes.Equal(a.Hashes["sha256"], b.Hashes["sha256"]) {
			return refuse(RuleFork, "two timestamps of version %d name different snapshots", m.Signed.Version)
		}
		err = t.expired(before.Signed.Expires, "timestamp")
		t.unchanged = err == nil
	} else if as[*metadata.ErrBadVersionNumber](err) && before != nil && m.Signed.Version < before.Signed.Version && t.cfg.Copy != nil && t.cfg.Copy() {
		// It has the right signatures, or the error would be another. What is known counts on; for how long the origin may be hidden so, its expiry says.
		t.behind, t.unchanged = true, true
		return t.expired(before.Signed.Expires, "timestamp")
	} else if err == nil {
		err = t.keep("timestamp.json", b)
	}
	if as[*metadata.ErrUnsignedMetadata](err) {
		err = t.whose(ctx, err)
	}
	if err != nil {
		return refused("timestamp", err)
	}
	t.known.TimestampTag, t.known.TagName = newTag, t.cfg.Name
	return nil
}

// otherRepository refuses a repository that says of itself that it is another one than that of the trusted root.
func (t *Trust) otherRepository(x *extra) error {
	r := refuse(RuleOtherRoot, "it is repository %s, and the root that is trusted is of %s", x.Repository, t.ID())
	r.Hint = "bring the root.json of this repository, or ask for what you want where that root is from"
	return r
}

// whose explains a bad signature: who has brought the root of another repository is told so. The word of that repository, which nobody vouches for, chooses
// between two refusals and no more.
func (t *Trust) whose(ctx context.Context, bad error) error {
	b, err := readFile(ctx, t.cfg.Files, metaName(roleRoot, t.set.Root.Signed.Version), maxRoot)
	if err != nil {
		return bad
	}
	m, err := parseMeta[metadata.RootType](b, maxRoot)
	if err != nil {
		return bad
	}
	if x, err := extraOf(m); err == nil && x.Repository != t.ID() {
		return t.otherRepository(x)
	}
	return bad
}

// forgive moves the clock back for what was carried here.
func (t *Trust) forgive(expires time.Time) {
	if t.cfg.Carried && t.set.RefTime.After(expires) {
		t.age = expires
		t.set.RefTime = expires
	}
}

func (t *Trust) expired(expires time.Time, what string) error {
	if t.set.RefTime.After(expires) {
		return refused(what, &metadata.ErrExpiredMetadata{Msg: "it held until " + expires.Format(time.RFC3339)})
	}
	return nil
}

func (t *Trust) refreshSnapshot(ctx context.Context) error {
	kept, err := t.read("snapshot.json")
	if err != nil {
		return err
	}
	if kept != nil {
		if _, err := parseMeta[metadata.SnapshotType](kept, maxSnapshot); err == nil {
			if _, err := t.set.UpdateSnapshot(kept, true); err == nil {
				return nil
			}
		}
	}
	want := t.set.Timestamp.Signed.Meta[roleSnapshot+".json"]
	b, err := t.file(ctx, metaName(roleSnapshot, want.Version), want, maxSnapshot)
	if err != nil {
		return err
	}
	m, err := parseMeta[metadata.SnapshotType](b, maxSnapshot)
	if err != nil {
		return refused("snapshot", err)
	}
	t.forgive(m.Signed.Expires)
	if _, err := t.set.UpdateSnapshot(b, false); err != nil {
		return refused("snapshot", err)
	}
	return t.keep("snapshot.json", b)
}

// file reads a file of metadata that another one names.
func (t *Trust) file(ctx context.Context, path string, want *metadata.MetaFiles, limit int64) ([]byte, error) {
	if want.Length > 0 {
		limit = min(limit, want.Length)
	}
	b, err := readFile(ctx, t.cfg.Files, path, limit)
	if errors.Is(err, ErrAbsent) {
		return nil, t.absent(path)
	}
	if err != nil {
		return nil, err
	}
	return b, refused(path, want.VerifyLengthHashes(b))
}

// absent is the error for a file that the metadata names, and that is not there.
func (t *Trust) absent(path string) error {
	if t.behind {
		return fmt.Errorf("%s: %w", path, ErrBehind)
	}
	return refuse(RuleIncomplete, "%s is not there", path)
}

// targets returns a role's metadata, from what is kept if that is still the one.
func (t *Trust) targets(ctx context.Context, role, parent string) (*targetsMeta, error) {
	if m := t.set.Targets[role]; m != nil {
		return m, nil
	}
	want := t.set.Snapshot.Signed.Meta[role+".json"]
	if want == nil {
		return nil, refuse(RuleUnknown, "the repository has no %s", role)
	}
	load := func(b []byte) (*targetsMeta, error) {
		if _, err := parseMeta[metadata.TargetsType](b, maxTargets); err != nil {
			return nil, err
		}
		return t.set.UpdateDelegatedTargets(b, role, parent)
	}
	if kept, err := t.read(role + ".json"); err != nil {
		return nil, err
	} else if kept != nil {
		if m, err := load(kept); err == nil {
			return m, nil
		}
	}
	b, err := t.file(ctx, metaName(role, want.Version), want, maxTargets)
	if err != nil {
		return nil, err
	}
	m, err := load(b)
	if err != nil {
		return nil, refused(role, err)
	}
	return m, t.keep(role+".json", b)
}

// refreshCheckpoint reads the log's checkpoint, if the metadata has changed or there is none yet.
func (t *Trust) refreshCheckpoint(ctx context.Context) error {
	old := &Checkpoint{}
	kept, err := t.read("checkpoint")
	if err != nil {
		return err
	}
	if kept != nil {
		if old, err = openCheckpoint(kept, t.extra); err != nil {
			old, t.known.Proven = &Checkpoint{}, nil // of a key that has been revoked: all begins anew
		}
	}
	if old.Note != nil && t.known.Logged == t.snapshotVersion() {
		t.checkpoint = old
		return nil
	}
	if t.behind { // its log is too
		return fmt.Errorf("log/checkpoint: %w", ErrBehind)
	}
	b, err := readFile(ctx, t.cfg.Files, "log/checkpoint", maxCheckpoint)
	if errors.Is(err, ErrAbsent) {
		return refuse(RuleNotLogged, "the transparency log is not there")
	}
	if err != nil {
		return err
	}
	now, err := openCheckpoint(b, t.extra)
	if err != nil {
		return err
	}
	if err := continues(ctx, t.cfg.Files, old, now); err != nil {
		return evidence(t.proof, err, old, now)
	}
	t.checkpoint, t.known.Logged = now, t.snapshotVersion()
	return t.keep("checkpoint", b)
}

// Checkpoint is the log's, as Refresh has verified it.
func (t *Trust) Checkpoint() *Checkpoint { return t.checkpoint }
