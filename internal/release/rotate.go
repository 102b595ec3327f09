package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// AddKey makes one more key for a role. The role is root, targets, snapshot, timestamp, rollout, log, item, or the name of an app.
func (tx *Tx) AddKey(role string) (*Key, error) {
	role, err := tx.roleNamed(role)
	if err != nil {
		return nil, err
	}
	return tx.addKey(role)
}

func (tx *Tx) addKey(role string) (*Key, error) {
	if role == roleRollout || strings.HasPrefix(role, "app-") {
		k, err := tx.makeKey(role)
		if err != nil {
			return nil, err
		}
		if err := tx.roles[roleTargets].Signed.AddKey(tufKey(k.Public), role); err != nil {
			return nil, err
		}
		tx.changed(roleTargets)
		return k, tx.resign(role)
	}
	if err := tx.addRootKey(role); err != nil {
		return nil, err
	}
	tx.changed(roleRoot)
	return tx.keys[len(tx.keys)-1], tx.resign(role)
}

// roleNamed finds the role that a user means.
func (tx *Tx) roleNamed(name string) (string, error) {
	switch name {
	case roleRoot, roleTargets, roleSnapshot, roleTimestamp, roleRollout, roleLog, roleItem:
		return name, nil
	}
	role := appRole(strings.TrimPrefix(name, "app-"))
	if findDelegation(tx.roles[roleTargets], role) == nil {
		return "", fmt.Errorf("no role or app %q in this repository", name)
	}
	return role, nil
}

// RotateKey replaces a key by a new one. id is the begin of the key's id; "" is the role's only key.
func (tx *Tx) RotateKey(name, id string) (old string, k *Key, err error) {
	role, err := tx.roleNamed(name)
	if err != nil {
		return "", nil, err
	}
	if old, err = tx.keyOf(role, id); err != nil {
		return "", nil, err
	}
	if k, err = tx.addKey(role); err != nil {
		return "", nil, err
	}
	return old, k, tx.drop(role, old)
}

// RevokeKey takes a key away from a role, which must keep as many as its threshold.
func (tx *Tx) RevokeKey(name, id string) (old string, err error) {
	role, err := tx.roleNamed(name)
	if err != nil {
		return "", err
	}
	if old, err = tx.keyOf(role, id); err != nil {
		return "", err
	}
	return old, tx.drop(role, old)
}

// SetThreshold changes how many keys of a role must sign.
func (tx *Tx) SetThreshold(name string, n int) error {
	role, err := tx.roleNamed(name)
	if err != nil {
		return err
	}
	ids, _, err := tx.keyIDs(role)
	if err != nil {
		return err
	}
	if n < 1 || n > len(ids) {
		return fmt.Errorf("%s has %d keys: a threshold of %d cannot be met", role, len(ids), n)
	}
	if r := tx.root.Signed.Roles[role]; r != nil {
		r.Threshold = n
		tx.changed(roleRoot)
	} else {
		findDelegation(tx.roles[roleTargets], role).Threshold = n
		tx.changed(roleTargets)
	}
	return tx.resign(role)
}

// keyOf finds the key of a role by the begin of its id.
func (tx *Tx) keyOf(role, id string) (string, error) {
	var ids []string
	switch role {
	case roleLog, roleItem:
		for _, k := range tx.keyList() {
			if k.Role == role {
				ids = append(ids, k.ID)
			}
		}
	default:
		var err error
		if ids, _, err = tx.keyIDs(role); err != nil {
			return "", err
		}
	}
	var found []string
	for _, one := range ids {
		if strings.HasPrefix(one, id) {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d keys of %s have an id that begins with %q: say which", len(found), role, id)
	}
	return found[0], nil
}

// drop takes a key away.
func (tx *Tx) drop(role, id string) error {
	switch role {
	case roleLog:
		return tx.dropExtra(role, id, &tx.extra.Log)
	case roleItem:
		return tx.dropExtra(role, id, &tx.extra.Item)
	}
	ids, threshold, err := tx.keyIDs(role)
	if err != nil {
		return err
	}
	if len(ids)-1 < threshold {
		return fmt.Errorf("%s would keep %d keys, and %d must sign: add one first, or rotate", role, len(ids)-1, threshold)
	}
	tx.also[role] = append(tx.also[role], id)
	if tx.root.Signed.Roles[role] != nil {
		if err := tx.root.Signed.RevokeKey(id, role); err != nil {
			return err
		}
		tx.changed(roleRoot)
	} else {
		if err := tx.roles[roleTargets].Signed.RevokeKey(id, role); err != nil {
			return err
		}
		tx.changed(roleTargets)
	}
	return tx.resign(role)
}

func (tx *Tx) dropExtra(role, id string, list *[]string) error {
	if len(*list) < 2 {
		return fmt.Errorf("%s would have no key: rotate it", role)
	}
	for _, k := range tx.keyList() {
		if k.Role == role && k.ID == id {
			*list = slices.DeleteFunc(*list, func(s string) bool { return s == k.text })
		}
	}
	tx.changed(roleRoot)
	if role == roleLog {
		tx.changed(roleLog, roleSnapshot) // a checkpoint with the new key, and a snapshot that tells clients to read it
	}
	return nil
}

// resign has a role signed again, because its keys have changed.
func (tx *Tx) resign(role string) error {
	switch role {
	case roleRoot, roleLog, roleItem:
		if role == roleLog {
			tx.changed(roleLog, roleSnapshot)
		}
		return nil
	case roleSnapshot, roleTimestamp:
		tx.changed(role)
		return nil
	}
	if _, err := tx.role(role); err != nil {
		return err
	}
	tx.changed(role)
	m := tx.roles[role]
	if !strings.HasPrefix(role, "app-") || m.Signed.Delegations == nil {
		return nil
	}
	// The bins are signed as the app is.
	ids, threshold, err := tx.keyIDs(role)
	if err != nil {
		return err
	}
	targets := tx.roles[roleTargets]
	s := m.Signed.Delegations.SuccinctRoles
	for _, bin := range s.GetRoles() {
		if tx.newest[bin] == 0 && tx.roles[bin] == nil {
			continue
		}
		if _, err := tx.role(bin); err != nil {
			return err
		}
		tx.also[bin] = append(tx.also[bin], tx.also[role]...)
		tx.changed(bin)
	}
	s.KeyIDs, s.Threshold = ids, threshold
	m.Signed.Delegations.Keys = map[string]*metadata.Key{}
	for _, id := range ids {
		m.Signed.Delegations.Keys[id] = targets.Signed.Delegations.Keys[id]
	}
	return nil
}

// Renew signs everything again whose keys are here, so that it expires later; what cannot be signed here is left as it is and named.
func (tx *Tx) Renew() (left []string, err error) {
	targets := tx.roles[roleTargets]
	roles := []string{roleRoot, roleTargets, roleSnapshot, roleTimestamp}
	for _, d := range targets.Signed.Delegations.Roles {
		roles = append(roles, d.Name)
	}
	for _, role := range roles {
		if _, err := tx.signers(role); as[*KeysMissingError](err) {
			left = append(left, role)
			continue
		} else if err != nil {
			return nil, err
		}
		if err := tx.resign(role); err != nil {
			return nil, err
		}
		tx.changed(role)
	}
	return left, nil
}
