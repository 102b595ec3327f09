package release

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"shoal/internal/disk"
)

// maxRootSteps is how many root rotations a client follows in one go.
const maxRootSteps = 1024

// TrustConfig says what a machine trusts and where it remembers that.
type TrustConfig struct {
	// Files is where the repository's files come from.
	Files Files
	// Dir is the directory of all that this machine trusts; each repository has one below it, by its id. "": nothing is remembered.
	Dir string
	// Evidence is where proof of a forked log is kept, as in Dir; "": in Dir.
	Evidence string
	// Root is a root.json to pin. Nil: the one that is remembered for Name.
	Root []byte
	// FirstUse takes the root that the repository itself has, if there is no other.
	FirstUse bool
	// Name is what the user calls the repository, such as its URL: under it the pinned root is found again. May be empty if Root is given.
	Name string
	// ID is what the repository claims to be: its pinned root is found under it as well. May be empty.
	ID string
	// Carried says that Files were made at some time and carried here, as a bundle is: what would have expired since in timestamp and snapshot is
	// taken, and Trust.Age tells.
	Carried bool
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// Trust is what this machine knows of a repository. It is not safe for concurrent use; several processes may share one Dir.
type Trust struct {
	cfg   TrustConfig
	dir   string // below cfg.Dir; "": nothing is kept
	proof string // below cfg.Evidence, or dir; "": it is not kept
	extra *extra

	set        *trustedmetadata.TrustedMetadata
	rootBytes  []byte
	pinned     int64 // version of the root that the user has brought
	known      state
	checkpoint *Checkpoint
	fresh      bool // the first use of this repository by this machine
	age        time.Time
	unchanged  bool
}

// state is kept as trust/ID/state.json beside root.json, timestamp.json, snapshot.json, ROLE.json and checkpoint.
type state struct {
	Names        []string `json:"names"`         // what users have called it
	Apps         []string `json:"apps"`          // that were asked for
	TimestampTag string   `json:"timestamp_tag"` // of the web server whose timestamp is kept, to ask whether there is another
	TagName      string   `json:"tag_name"`      // the name whose server that is
	Logged       int64    `json:"logged"`        // the version of the snapshot that the kept checkpoint was read after
	Proven       []proven `json:"proven"`        // entries that were found in the log

	Resolved []resolved `json:"resolved"` // what releases were found, for as long as nothing is new
}

type proven struct {
	Entry string `json:"entry"`
	Index int64  `json:"index"`
}

const maxNames = 100

// NewTrust finds what is known of the repository, and pins its root if that is new. It asks Files only where FirstUse says so.
func NewTrust(ctx context.Context, c TrustConfig) (*Trust, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	t := &Trust{cfg: c}
	pinned := c.Root
	if pinned == nil && c.Dir != "" {
		id, err := findTrust(c.Dir, func(s *state) bool { return slices.Contains(s.Names, c.Name) })
		if err != nil {
			return nil, err
		}
		if id == "" && isHash(c.ID, 16) {
			id = c.ID
		}
		if id != "" {
			if pinned, err = os.ReadFile(filepath.Join(c.Dir, id, "root.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	if pinned == nil {
		if !c.FirstUse {
			r := refuse(RuleUnpinned, "nothing is known yet about who signs the releases of %s", c.Name)
			r.Hint = "pin its root with --root root.json, or take the one it has now with --trust-on-first-use"
			return nil, r
		}
		b, err := readFile(ctx, c.Files, metaName(roleRoot, 1), maxRoot)
		if errors.Is(err, ErrAbsent) {
			return nil, fmt.Errorf("%s is not a repository of releases: %w", c.Name, ErrAbsent)
		}
		if err != nil {
			return nil, err
		}
		pinned, t.fresh = b, true
	}
	if err := t.pin(pinned); err != nil {
		return nil, err
	}
	return t, nil
}

// findTrust looks through what is remembered; "" if nothing matches.
func findTrust(dir string, is func(*state) bool) (id string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "state.json"))
		var s state
		if err != nil || json.Unmarshal(b, &s) != nil {
			continue
		}
		if is(&s) {
			return e.Name(), nil
		}
	}
	return "", nil
}

// NameOf is what a repository is called that this machine has fetched the app from before; "" if there is none, or more than one.
func NameOf(dir, app string) (string, error) {
	var names []string
	_, err := findTrust(dir, func(s *state) bool {
		if slices.Contains(s.Apps, app) && len(s.Names) > 0 {
			names = append(names, s.Names[len(s.Names)-1])
		}
		return false
	})
	if err != nil || len(names) != 1 {
		return "", err
	}
	return names[0], nil
}

// KnownRoot is the pinned root of the repository that is called name, or, without one, of the only one that app was asked for from; nil if none is known.
func KnownRoot(dir, name, app string) ([]byte, error) {
	var ids []string
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		var s state
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "state.json"))
		if err != nil || json.Unmarshal(b, &s) != nil {
			continue
		}
		if name != "" && slices.Contains(s.Names, name) || name == "" && slices.Contains(s.Apps, app) {
			ids = append(ids, e.Name())
		}
	}
	if len(ids) != 1 {
		return nil, nil
	}
	return os.ReadFile(filepath.Join(dir, ids[0], "root.json"))
}

// RootOfItem is the pinned root that names a key (in hex) of a DHT item; nil if none does.
func RootOfItem(dir, key string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "root.json"))
		if err != nil {
			continue
		}
		if _, items, err := RepositoryOf(b); err == nil && slices.Contains(items, key) {
			return b, nil
		}
	}
	return nil, nil
}

// RepositoryOf is the id that a root.json gives its repository, and its DHT item keys, newest last.
func RepositoryOf(root []byte) (id string, items []string, err error) {
	m, err := parseMeta[metadata.RootType](root, maxRoot)
	if err != nil {
		return "", nil, refused("root", err)
	}
	x, err := extraOf(m)
	if err != nil {
		return "", nil, refused("root", err)
	}
	return x.Repository, x.Item, nil
}

// pin begins with a root: the one given, or a later one that is kept already.
func (t *Trust) pin(root []byte) error {
	m, err := parseMeta[metadata.RootType](root, maxRoot)
	if err != nil {
		return refused("root", err)
	}
	if t.extra, err = extraOf(m); err != nil {
		return refused("root", err)
	}
	if t.cfg.Root != nil {
		t.pinned = m.Signed.Version
	}
	if at := cmp.Or(t.cfg.Evidence, t.cfg.Dir); at != "" {
		t.proof = filepath.Join(at, t.extra.Repository)
	}
	if t.cfg.Dir == "" {
		return t.setRoot(root)
	}
	t.dir = filepath.Join(t.cfg.Dir, t.extra.Repository)
	if b, err := os.ReadFile(filepath.Join(t.dir, "state.json")); err == nil {
		if err := json.Unmarshal(b, &t.known); err != nil {
			t.known = state{}
		}
	}
	kept, err := t.read("root.json")
	if kept == nil || err != nil {
		return errors.Join(err, t.setRoot(root))
	}
	t.fresh = false
	if bytes.Equal(kept, root) {
		return t.setRoot(kept)
	}
	if err := m.VerifyDelegate(roleRoot, m); err != nil {
		return refused("root", err)
	}
	k, err := parseMeta[metadata.RootType](kept, maxRoot)
	if err != nil {
		return refused("kept root", err)
	}
	if k.Signed.Version == m.Signed.Version {
		return refuse(RuleOtherRoot, "this root and the one that this machine has pinned claim to be version %d of the same repository and differ", m.Signed.Version)
	}
	return t.setRoot(kept) // a newer root must follow from the kept one, and an older one lead to it
}

func (t *Trust) setRoot(root []byte) error {
	set, err := trustedmetadata.New(root)
	if err != nil {
		return refused("root", err)
	}
	set.RefTime = t.cfg.Now().UTC()
	x, err := extraOf(set.Root)
	if err != nil {
		return refused("root", err)
	}
	t.set, t.rootBytes, t.extra = set, root, x
	return nil
}

// read reads a file that is kept; nil if there is none.
func (t *Trust) read(name string) ([]byte, error) {
	if t.dir == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(t.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (t *Trust) keep(name string, b []byte) error {
	if t.dir == "" {
		return nil
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return err
	}
	// What is lost with the power can be had again, but for the root that was pinned, and the checkpoint that a fork is told by.
	write := disk.ReplaceFile
	if name == "root.json" || name == "checkpoint" {
		write = disk.WriteFile
	}
	return write(filepath.Join(t.dir, name), b, 0o644)
}

// ID is the repository's.
func (t *Trust) ID() string { return t.extra.Repository }

// Fingerprint is that of the root that is trusted now.
func (t *Trust) Fingerprint() string { return Fingerprint(t.rootBytes) }

// FirstUse says whether this machine has taken the root from the repository itself, just now.
func (t *Trust) FirstUse() bool { return t.fresh }

// Age is when the metadata expired, if it has and Carried allowed it; else zero.
func (t *Trust) Age() time.Time { return t.age }

// Items are the keys of the repository's DHT item, in hex, newest last.
func (t *Trust) Items() []string { return t.extra.Item }

// Timestamp is the version of the newest timestamp that this machine has seen: what the repository says at one time has one.
func (t *Trust) Timestamp() int64 { return t.set.Timestamp.Signed.Version }

// Unchanged says whether Refresh has found nothing new.
func (t *Trust) Unchanged() bool { return t.unchanged }

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

// remember keeps what is known, with the name and an app that was asked for.
func (t *Trust) remember(app string) error {
	t.known.Names = remembered(t.known.Names, t.cfg.Name)
	t.known.Apps = remembered(t.known.Apps, app)
	b, err := json.Marshal(t.known)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if before, err := t.read("state.json"); err == nil && string(before) == string(b) {
		return nil
	}
	return t.keep("state.json", b)
}

func remembered(list []string, name string) []string {
	if name == "" || slices.Contains(list, name) {
		return list
	}
	list = append(list, name)
	return list[max(0, len(list)-maxNames):]
}

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
		if _, err := t.set.UpdateRoot(b); err != nil {
			return refused(fmt.Sprintf("root %d", next), err)
		}
		x, err := extraOf(m)
		if err != nil {
			return refused("root", err)
		}
		if x.Repository != t.extra.Repository {
			return refuse(RuleOtherRoot, "root %d is of another repository", next)
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
	} else if err == nil {
		err = t.keep("timestamp.json", b)
	}
	if err != nil {
		return refused("timestamp", err)
	}
	t.known.TimestampTag, t.known.TagName = newTag, t.cfg.Name
	return nil
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
		return nil, refuse(RuleIncomplete, "%s is not there", path)
	}
	if err != nil {
		return nil, err
	}
	return b, refused(path, want.VerifyLengthHashes(b))
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
