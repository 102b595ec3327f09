package release

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
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
		// A key may be left over from a publish that was killed, or have come from elsewhere.
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
