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
	// Copy answers, once something was read from Files, whether they are a copy of the repository, which may be behind: an older timestamp of the right keys is then
	// nothing new, where it would be refused from the origin. Nil: they are no copy.
	Copy func() bool
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// ErrBehind is that a copy of the repository does not have yet what this machine knows to exist.
var ErrBehind = errors.New("the copy is behind")

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
	behind     bool // Files are a copy that has not got what is known
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
	if pinned == nil {
		var err error
		if pinned, err = remembers(c); err != nil {
			return nil, err
		}
	}
	if pinned == nil {
		if !c.FirstUse {
			r := refuse(RuleUnpinned, "nothing is known yet about who signs the releases of %s", c.called())
			r.Hint = "pin its root with --root root.json, or take the one it has now with --trust-on-first-use"
			return nil, r
		}
		b, err := readFile(ctx, c.Files, metaName(roleRoot, 1), maxRoot)
		if errors.Is(err, ErrAbsent) {
			return nil, fmt.Errorf("%s is not a repository of releases: %w", c.called(), ErrAbsent)
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

// called is what the user knows the repository by. A bundle has no name, but says which repository it comes from.
func (c *TrustConfig) called() string {
	if c.Name == "" && c.ID != "" {
		return "repository " + c.ID
	}
	return c.Name
}

// remembers is the root that is pinned for c.Name or, if nothing is called so, for c.ID; nil if there is none.
func remembers(c TrustConfig) ([]byte, error) {
	ids, _, err := findKnown(c.Dir, func(s *state) bool { return slices.Contains(s.Names, c.Name) })
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 && c.Dir != "" && isHash(c.ID, 16) {
		ids = []string{c.ID}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(c.Dir, ids[0], "root.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// pin begins with a root: the one given, or a later one that is kept already.
func (t *Trust) pin(root []byte) error {
	m, err := parseMeta[metadata.RootType](root, maxRoot)
	if err != nil {
		err := refused("root", err)
		if r, ok := errors.AsType[*Refusal](err); ok && t.cfg.Root != nil && r.Hint == "" {
			r.Hint = "a repository's root.json is expected: its publisher has it beside shoal.json"
		}
		return err
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

// Version is that of the timestamp that is trusted: of two states of a repository the one with the higher version is newer. Refresh comes first.
func (t *Trust) Version() int64 { return t.set.Timestamp.Signed.Version }

// Unchanged says whether Refresh has found nothing new.
func (t *Trust) Unchanged() bool { return t.unchanged }

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
