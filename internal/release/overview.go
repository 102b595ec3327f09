package release

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// KeyInfo is a key that counts for a role.
type KeyInfo struct {
	Role      string
	ID        string
	Threshold int
	Here      bool // its private key is
	Sealed    bool
	Path      string

	text string // as the root's x-shoal has it
}

// keyList lists the keys that count.
func (tx *Tx) keyList() []KeyInfo {
	var list []KeyInfo
	add := func(role, id string, threshold int, text string) {
		info := KeyInfo{Role: role, ID: id, Threshold: threshold, text: text}
		for _, k := range tx.keys {
			if k.ID == id {
				info.Here, info.Sealed, info.Path = true, k.Sealed(), k.Path
			}
		}
		list = append(list, info)
	}
	for role, r := range tx.root.Signed.Roles {
		for _, id := range r.KeyIDs {
			add(role, id, r.Threshold, "")
		}
	}
	if t := tx.roles[roleTargets]; t != nil && t.Signed.Delegations != nil {
		for _, d := range t.Signed.Delegations.Roles {
			for _, id := range d.KeyIDs {
				add(d.Name, id, d.Threshold, "")
			}
		}
	}
	for _, vkey := range tx.extra.Log {
		id := vkey
		for _, k := range tx.keys {
			if k.Role == roleLog && logVerifierKey(tx.extra.Repository, k) == vkey {
				id = k.ID
			}
		}
		add(roleLog, id, 1, vkey)
	}
	for _, public := range tx.extra.Item {
		raw, err := hex.DecodeString(public)
		if err != nil {
			continue
		}
		if id, err := keyID(raw); err == nil {
			add(roleItem, id, 1, public)
		}
	}
	rank := func(role string) int {
		return slices.Index([]string{roleRoot, roleTargets, roleSnapshot, roleTimestamp, roleRollout, roleLog, roleItem}, role)
	}
	slices.SortFunc(list, func(a, b KeyInfo) int {
		ra, rb := rank(a.Role), rank(b.Role)
		if ra < 0 {
			ra = 99
		}
		if rb < 0 {
			rb = 99
		}
		return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(a.Role, b.Role), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// RoleInfo is how a role's metadata stands.
type RoleInfo struct {
	Role    string
	Version int64
	Expires time.Time
}

// AppInfo is an app with its releases, newest first, and its channels.
type AppInfo struct {
	App      string
	Releases []ReleaseInfo
	Channels []*Channel
}

// ReleaseInfo is a release, and why it was withdrawn, if it was.
type ReleaseInfo struct {
	*Release
	Withdrawn string
	Halted    bool // the rollout of each channel that has it is halted: nobody is to spread it
}

// Overview is what a repository has.
type Overview struct {
	ID          string
	Fingerprint string // of the newest root
	Item        string // key of the DHT's item, in hex
	Roles       []RoleInfo
	Keys        []KeyInfo
	Apps        []AppInfo
	Log         *Checkpoint
	Unpublished bool // signed, but no snapshot names it yet
}

// Inspect reads everything. It takes no lock: what is published meanwhile may be missing.
func (r *Repository) Inspect(ctx context.Context) (*Overview, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	return tx.overview()
}

func (tx *Tx) overview() (*Overview, error) {
	rootBytes, err := readFile(tx.ctx, tx.r.Files(), metaName(roleRoot, tx.root.Signed.Version), maxRoot)
	if err != nil {
		return nil, err
	}
	o := &Overview{ID: tx.extra.Repository, Fingerprint: Fingerprint(rootBytes), Item: tx.extra.Item[len(tx.extra.Item)-1], Keys: tx.keyList()}
	t, s, err := tx.current()
	if err != nil {
		return nil, err
	}
	o.Roles = append(o.Roles, RoleInfo{roleRoot, tx.root.Signed.Version, tx.root.Signed.Expires})
	targets := tx.roles[roleTargets]
	o.Roles = append(o.Roles, RoleInfo{roleTargets, targets.Signed.Version, targets.Signed.Expires})
	if s != nil {
		o.Roles = append(o.Roles, RoleInfo{roleSnapshot, s.Signed.Version, s.Signed.Expires}, RoleInfo{roleTimestamp, t.Signed.Version, t.Signed.Expires})
	}
	_, changed, err := tx.compare(s)
	if err != nil {
		return nil, err
	}
	o.Unpublished = len(changed) > 0
	for _, d := range targets.Signed.Delegations.Roles {
		m, err := tx.role(d.Name)
		if errors.Is(err, ErrAbsent) {
			continue // delegated, and nothing in it yet
		}
		if err != nil {
			return nil, err
		}
		o.Roles = append(o.Roles, RoleInfo{d.Name, m.Signed.Version, m.Signed.Expires})
		if app, ok := strings.CutPrefix(d.Name, "app-"); ok {
			a, err := tx.appInfo(app)
			if err != nil {
				return nil, err
			}
			o.Apps = append(o.Apps, *a)
		}
	}
	o.Log, err = readCheckpoint(tx.ctx, tx.r.Files(), tx.extra)
	return o, err
}

func (tx *Tx) appInfo(app string) (*AppInfo, error) {
	a := &AppInfo{App: app}
	err := tx.each(app, func(path string, f *metadata.TargetFiles) error {
		_, v, p, ok := parseReleasePath(path)
		if !ok {
			return nil
		}
		rel, withdrawn, err := tx.Find(app, v, p)
		if err == nil {
			a.Releases = append(a.Releases, ReleaseInfo{rel, withdrawn, false})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(a.Releases, func(x, y ReleaseInfo) int { return y.Published.Compare(x.Published) })
	if a.Channels, err = tx.Channels(app); err != nil {
		return nil, err
	}
	return a, a.markHalted(func(c *Channel) (*Rollout, error) {
		_, r, err := tx.Rollout(app, c.Channel)
		return r, err
	})
}

// markHalted marks the releases that are not to be spread. rollout says how far a channel's rollout is; nil: nobody has steered it.
func (a *AppInfo) markHalted(rollout func(*Channel) (*Rollout, error)) error {
	halted, live := map[string]bool{}, map[string]bool{}
	for _, c := range a.Channels {
		var r *Rollout
		if c.Rollout != nil {
			var err error
			if r, err = rollout(c); err != nil {
				return err
			}
		}
		if r != nil && r.Halted {
			halted[c.Version] = true
		} else {
			live[c.Version] = true
		}
	}
	for i := range a.Releases {
		v := a.Releases[i].Version
		a.Releases[i].Halted = halted[v] && !live[v]
	}
	return nil
}

// Lookup returns a release for exactly that platform, withdrawn or not, and nil if there is none. It takes no lock.
func (r *Repository) Lookup(ctx context.Context, app, version, platform string) (*Release, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	if findDelegation(tx.roles[roleTargets], appRole(app)) == nil {
		return nil, nil
	}
	rel, _, err := tx.Find(app, version, platform)
	return rel, err
}

// Patches are those that there are to a release. It takes no lock.
func (r *Repository) Patches(ctx context.Context, rel *Release) ([]Artefact, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	p, err := tx.Patches(rel.App, rel.Version, rel.Platform)
	if err != nil || p == nil {
		return nil, err
	}
	return p.Artefacts, nil
}

// Beside reads a patch or an index that is a target (Artefact.IsTarget). What is not there as it was signed is an error. It takes no lock.
func (r *Repository) Beside(ctx context.Context, rel *Release, a *Artefact) ([]byte, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	path := besidePath(rel.App, rel.Version, rel.Platform, a)
	f, b, err := tx.lookUp(rel.App, path)
	if err == nil && f == nil {
		err = fmt.Errorf("%s is not signed: %w", path, ErrAbsent)
	}
	return b, err
}

// Checkpoint is the log's signed checkpoint, as it lies in the repository.
func (r *Repository) Checkpoint(ctx context.Context) ([]byte, error) {
	b, err := readFile(ctx, r.Files(), "log/checkpoint", maxCheckpoint)
	if errors.Is(err, ErrAbsent) {
		return nil, nil
	}
	return b, err
}

// Live is a content of a release that is published and not withdrawn.
type Live struct {
	*Release
	Artefact Artefact // of the release, or one of its patches
	Halted   bool     // see ReleaseInfo
	// Metainfo reads its metainfo, compressed.
	Metainfo func() ([]byte, error)
}

// Live lists the contents that are to be had: the artefacts of all releases, and their patches but for the small ones. It takes no lock.
func (r *Repository) Live(ctx context.Context) ([]*Live, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	apps, err := tx.Apps()
	if err != nil {
		return nil, err
	}
	var list []*Live
	for _, app := range apps {
		a, err := tx.appInfo(app)
		if err != nil {
			return nil, err
		}
		for _, rel := range a.Releases {
			if rel.Withdrawn != "" {
				continue
			}
			contents, err := tx.contents(rel.Release)
			if err != nil {
				return nil, err
			}
			for _, x := range contents {
				list = append(list, &Live{rel.Release, x, rel.Halted, func() ([]byte, error) { return tx.metainfo(app, x.V2) }})
			}
		}
	}
	return list, nil
}

// metainfo reads the metainfo of a content of an app.
func (tx *Tx) metainfo(app, v2 string) ([]byte, error) {
	path := metainfoPath(v2)
	f, b, err := tx.lookUp(app, path)
	if err == nil && f == nil {
		err = fmt.Errorf("%s of %s is not signed: %w", path, app, ErrAbsent)
	}
	return b, err
}
