package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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

// binsFrom is how many releases and metainfos an app's role has before they are spread over bins: 256 roles bin-APP-XX, by the SHA-256 of the path (TUF's
// succinct hash bins). Then publishing and fetching one release touches a 256th, however many there are.
const (
	binsFrom = 256
	binBits  = 8
)

// appMeta returns an app's role; if it is new, it makes its key and has targets delegate to it.
func (tx *Tx) appMeta(app string) (*targetsMeta, error) {
	role := appRole(app)
	targets, err := tx.role(roleTargets)
	if err != nil {
		return nil, err
	}
	if findDelegation(targets, role) == nil {
		// A key may be left over from a publish that did not come to its end, or have come from elsewhere.
		i := slices.IndexFunc(tx.keys, func(k *Key) bool { return k.Role == role })
		var k *Key
		if i >= 0 {
			k = tx.keys[i]
		} else if k, err = tx.makeKey(role); err != nil {
			return nil, err
		}
		tx.delegate(metadata.DelegatedRole{Name: role, Threshold: 1,
			Paths: []string{"releases/" + app + "/*/*", "channels/" + app + "/*", "metainfo/*"}}, k)
		tx.changed(roleTargets)
	}
	if tx.newest[role] == 0 && tx.roles[role] == nil {
		tx.roles[role] = newTargets(tx.now)
		tx.changed(role)
	}
	return tx.role(role)
}

// holder returns the role that has (or would have) a target of the app.
func (tx *Tx) holder(app, path string) (string, *targetsMeta, error) {
	m, err := tx.role(appRole(app))
	if err != nil || m.Signed.Delegations == nil || strings.HasPrefix(path, "channels/") {
		return appRole(app), m, err
	}
	bin := m.Signed.Delegations.SuccinctRoles.GetRolesForTarget(path)[0].Name
	if tx.newest[bin] == 0 && tx.roles[bin] == nil {
		tx.roles[bin] = newTargets(tx.now)
	}
	b, err := tx.role(bin)
	return bin, b, err
}

// put sets or, with nil, removes a target of an app.
func (tx *Tx) put(app, path string, f *metadata.TargetFiles) error {
	role, m, err := tx.holder(app, path)
	if err != nil {
		return err
	}
	if f == nil {
		delete(m.Signed.Targets, path)
	} else {
		m.Signed.Targets[path] = f
	}
	tx.changed(role)
	if m.Signed.Delegations == nil && role == appRole(app) && len(m.Signed.Targets) > binsFrom {
		return tx.spread(app, m)
	}
	return nil
}

// spread moves an app's releases and metainfos to bins.
func (tx *Tx) spread(app string, m *targetsMeta) error {
	ids, threshold, err := tx.keyIDs(appRole(app))
	if err != nil {
		return err
	}
	targets, err := tx.role(roleTargets)
	if err != nil {
		return err
	}
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}, SuccinctRoles: &metadata.SuccinctRoles{KeyIDs: ids, Threshold: threshold, BitLength: binBits, NamePrefix: "bin-" + app}}
	for _, id := range ids {
		d.Keys[id] = targets.Signed.Delegations.Keys[id]
	}
	m.Signed.Delegations = d
	for _, bin := range d.SuccinctRoles.GetRoles() { // all of them at once: other TUF clients expect the empty ones too
		tx.roles[bin] = newTargets(tx.now)
		tx.changed(bin)
	}
	all := m.Signed.Targets
	m.Signed.Targets = map[string]*metadata.TargetFiles{}
	for path, f := range all {
		if err := tx.put(app, path, f); err != nil {
			return err
		}
	}
	return nil
}

// find returns a target of an app, and nil if there is none.
func (tx *Tx) find(app, path string) (*metadata.TargetFiles, error) {
	_, m, err := tx.holder(app, path)
	if errors.Is(err, ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.Signed.Targets[path], nil
}

// read returns the bytes of a target.
func (tx *Tx) read(path string, f *metadata.TargetFiles) ([]byte, error) {
	for _, d := range tx.documents {
		if d.path == path && bytes.Equal(describeTarget(d.data).Hashes["sha256"], f.Hashes["sha256"]) {
			return d.data, nil
		}
	}
	b, err := readFile(tx.ctx, tx.r.Files(), hashedFile(path, f), max(f.Length, 0))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return b, refused(path, f.VerifyLengthHashes(b))
}

// lookUp finds a target of an app and reads it; nil if there is none.
func (tx *Tx) lookUp(app, path string) (f *metadata.TargetFiles, b []byte, err error) {
	if f, err = tx.find(app, path); err == nil && f != nil {
		b, err = tx.read(path, f)
	}
	return f, b, err
}

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
			return false, fmt.Errorf("%s was withdrawn: %w", rel.Ref(), ErrPublished)
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

// document writes a target's file and has its app's role name it.
func (tx *Tx) document(app, path string, b []byte) error {
	tx.documents = append(tx.documents, document{path, b})
	return tx.put(app, path, describeTarget(b))
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

// each calls f for all targets of an app.
func (tx *Tx) each(app string, f func(path string, f *metadata.TargetFiles) error) error {
	m, err := tx.role(appRole(app))
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	roles := []*targetsMeta{m}
	if d := m.Signed.Delegations; d != nil {
		for _, bin := range d.SuccinctRoles.GetRoles() {
			if tx.newest[bin] == 0 && tx.roles[bin] == nil {
				continue
			}
			b, err := tx.role(bin)
			if err != nil {
				return err
			}
			roles = append(roles, b)
		}
	}
	for _, m := range roles {
		for _, path := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
			if err := f(path, m.Signed.Targets[path]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Channel reads a channel; nil if there is none.
func (tx *Tx) Channel(app, channel string) (*Channel, error) {
	f, b, err := tx.lookUp(app, channelPath(app, channel))
	if err != nil || f == nil {
		return nil, err
	}
	return parseChannel(b)
}

// Promote has a channel point to a version, which must be published, for all machines at once. It reports whether that is new.
func (tx *Tx) Promote(app, version, channel string) (bool, error) {
	return tx.Start(app, version, channel, nil)
}

// Start is Promote by a rollout: machines come in the policy's waves. It may also change the policy of the version that the channel has; the rollout then begins
// anew, with no machine being sent back.
func (tx *Tx) Start(app, version, channel string, policy *Policy) (bool, error) {
	live, _, err := tx.platforms(app, version)
	if err != nil {
		return false, err
	}
	if len(live) == 0 {
		return false, fmt.Errorf("%s@%s %w", app, version, ErrNoRelease)
	}
	c, err := tx.Channel(app, channel)
	if err != nil {
		return false, err
	}
	if c == nil {
		c = &Channel{Format: 1, App: app, Channel: channel}
	}
	if c.Version == version && reflect.DeepEqual(c.Rollout, policy) {
		return false, nil
	}
	if c.Version != "" && c.Version != version {
		c.Previous = append([]string{c.Version}, c.Previous...)
	}
	c.Previous = slices.DeleteFunc(c.Previous, func(v string) bool { return v == version })
	return true, tx.point(c, version, policy)
}

func (tx *Tx) point(c *Channel, version string, policy *Policy) error {
	c.Previous = c.Previous[:min(len(c.Previous), maxPrevious)]
	c.Rollout, c.Version, c.At = policy, version, tx.now.UTC().Truncate(time.Second)
	b, err := c.encode()
	if err != nil {
		return err
	}
	return tx.document(c.App, channelPath(c.App, c.Channel), b)
}

// Channels lists an app's channels.
func (tx *Tx) Channels(app string) (list []*Channel, err error) {
	err = tx.each(app, func(path string, _ *metadata.TargetFiles) error {
		if _, name, ok := parseChannelPath(path); ok {
			c, err := tx.Channel(app, name)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	return list, err
}

// Withdraw takes a version back on all platforms: clients refuse it from then on. Channels that have it go back to the newest version they had before; it
// returns them. Where there is none the version cannot go.
func (tx *Tx) Withdraw(app, version, why string) (moved []*Channel, err error) {
	live, withdrawn, err := tx.platforms(app, version)
	if err != nil {
		return nil, err
	}
	if len(live) == 0 {
		if len(withdrawn) > 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("%s@%s %w", app, version, ErrNoRelease)
	}
	channels, err := tx.Channels(app)
	if err != nil {
		return nil, err
	}
	for _, c := range channels {
		had := len(c.Previous)
		c.Previous = slices.DeleteFunc(c.Previous, func(v string) bool { return v == version })
		if c.Version != version {
			if len(c.Previous) < had {
				if err := tx.point(c, c.Version, c.Rollout); err != nil {
					return nil, err
				}
			}
			continue
		}
		if len(c.Previous) == 0 {
			return nil, fmt.Errorf("%s@%s %w: channel %s has it and had nothing before", app, version, ErrInUse, c.Channel)
		}
		back := c.Previous[0]
		c.Previous = c.Previous[1:]
		if err := tx.point(c, back, nil); err != nil {
			return nil, err
		}
		moved = append(moved, c)
	}
	note, err := json.Marshal(custom{Withdrawn: why})
	if err != nil {
		return nil, err
	}
	for _, platform := range live {
		path := releasePath(app, version, platform)
		f, err := tx.find(app, path)
		if err != nil {
			return nil, err
		}
		marked := *f
		raw := json.RawMessage(note)
		marked.Custom = &raw
		if err := tx.put(app, path, &marked); err != nil {
			return nil, err
		}
	}
	return moved, nil
}

// Prune forgets versions of an app that no channel has or may fall back to, but for the newest keep of them by time of publishing. It returns them. Their
// entries in the log stay.
func (tx *Tx) Prune(app string, keep int, pinned []string) (gone []*Release, err error) {
	channels, err := tx.Channels(app)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, v := range pinned {
		used[v] = true
	}
	for _, c := range channels {
		used[c.Version] = true
		for _, v := range c.Previous[:min(1, len(c.Previous))] {
			used[v] = true
		}
	}
	var all []*Release
	err = tx.each(app, func(path string, _ *metadata.TargetFiles) error {
		a, v, p, ok := parseReleasePath(path)
		if !ok {
			return nil
		}
		rel, _, err := tx.Find(a, v, p)
		if err == nil {
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b *Release) int { return b.Published.Compare(a.Published) })
	newest := map[string]bool{}
	for _, rel := range all {
		if used[rel.Version] || newest[rel.Version] {
			continue
		}
		if len(newest) < keep {
			newest[rel.Version] = true
			continue
		}
		gone = append(gone, rel)
	}
	if err := tx.dropReleases(app, all, gone); err != nil {
		return nil, err
	}
	if len(gone) == 0 {
		return nil, nil
	}
	// A channel must not offer to fall back to what is gone.
	for _, c := range channels {
		kept := slices.DeleteFunc(slices.Clone(c.Previous), func(v string) bool { return slices.ContainsFunc(gone, func(r *Release) bool { return r.Version == v }) })
		if len(kept) < len(c.Previous) {
			c.Previous = kept
			if err := tx.point(c, c.Version, c.Rollout); err != nil {
				return nil, err
			}
		}
	}
	return gone, nil
}

// dropReleases forgets those of an app's releases that are gone, with their patches and all metainfo that no other release needs.
func (tx *Tx) dropReleases(app string, all, gone []*Release) error {
	needed := map[string]bool{}
	for _, rel := range all {
		if slices.Contains(gone, rel) {
			continue
		}
		list, err := tx.contents(rel)
		if err != nil {
			return err
		}
		for _, a := range list {
			needed[a.V2] = true
		}
	}
	for _, rel := range gone {
		list, err := tx.contents(rel)
		if err != nil {
			return err
		}
		if err := tx.dropPatches(app, rel.Version, rel.Platform); err != nil {
			return err
		}
		if err := tx.put(app, releasePath(app, rel.Version, rel.Platform), nil); err != nil {
			return err
		}
		for _, a := range list {
			if needed[a.V2] {
				continue
			}
			if err := tx.put(app, metainfoPath(a.V2), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Apps are the names of all apps.
func (tx *Tx) Apps() ([]string, error) {
	targets, err := tx.role(roleTargets)
	if err != nil {
		return nil, err
	}
	var apps []string
	for _, d := range targets.Signed.Delegations.Roles {
		if app, ok := strings.CutPrefix(d.Name, "app-"); ok {
			apps = append(apps, app)
		}
	}
	return apps, nil
}

// Sweep removes documents, metainfo and content that no role names any longer, and returns how many bytes that were. It takes the lock.
func (r *Repository) Sweep(ctx context.Context) (freed int64, err error) {
	l, err := r.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return 0, err
	}
	apps, err := tx.Apps()
	if err != nil {
		return 0, err
	}
	files, contents := map[string]bool{}, map[string]bool{}
	for _, app := range apps {
		if err := tx.each(app, func(path string, f *metadata.TargetFiles) error {
			files[hashedFile(path, f)] = true
			if v2, ok := strings.CutSuffix(strings.TrimPrefix(path, "metainfo/"), ".torrent.zst"); ok {
				contents[v2] = true
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	if m, err := tx.role(roleRollout); err == nil {
		for path, f := range m.Signed.Targets {
			files[hashedFile(path, f)] = true
		}
	} else if !errors.Is(err, ErrAbsent) {
		return 0, err
	}
	remove := func(path string) error {
		freed += sizeOf(path)
		return os.RemoveAll(path)
	}
	for _, kind := range []string{"releases", "channels", "metainfo", "rollouts"} {
		root := filepath.Join(r.Public(), "targets", kind)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			if rel, err := filepath.Rel(r.Public(), path); err != nil || files[filepath.ToSlash(rel)] {
				return err
			}
			return remove(path)
		})
		if err != nil {
			return freed, err
		}
	}
	entries, err := os.ReadDir(filepath.Join(r.Public(), "content"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return freed, err
	}
	for _, e := range entries {
		if isHash(e.Name(), 32) && !contents[e.Name()] {
			if err := remove(filepath.Join(r.Public(), "content", e.Name())); err != nil {
				return freed, err
			}
		}
	}
	inPlace, err := r.InPlace()
	if err != nil {
		return freed, err
	}
	for v2 := range inPlace {
		if !contents[v2] {
			if err := tx.SetInPlace(v2, ""); err != nil {
				return freed, err
			}
		}
	}
	abandoned, err := r.RemoveAbandoned()
	return freed + abandoned, err
}

// sizeOf adds up the files at and below path.
func sizeOf(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
