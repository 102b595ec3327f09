package release

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var errStop = errors.New("stopped here")

// Every role's key is replaced while clients look on, and one sleeps through all of it.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{RootKeys: 2, RootThreshold: 2})
	r.publish("app", "1", "stable")
	sleeper, awake := r.client(), r.client()
	sleeper.gets(r.Files(), "app:stable", "1")
	awake.gets(r.Files(), "app:stable", "1")
	for i, role := range []string{"root", "targets", "snapshot", "timestamp", "rollout", "log", "item", "app"} {
		r.clock.at = r.clock.at.AddDate(0, 0, 1)
		version := fmt.Sprint(i + 2)
		r.update(func(tx *Tx) error {
			id := ""
			if role == "root" {
				id = tx.root.Signed.Roles[roleRoot].KeyIDs[0]
			}
			old, k, err := tx.RotateKey(role, id)
			if err == nil && old == k.ID {
				t.Errorf("%s: the key has stayed", role)
			}
			return err
		})
		awake.gets(r.Files(), "app@1", "1")
		r.publish("app", version, "stable")
		awake.gets(r.Files(), "app:stable", version)
		// Who is new begins with the root of now, or with the first one.
		r.client().gets(r.Files(), "app:stable", version)
	}
	sleeper.gets(r.Files(), "app:stable", "9")
	// What the old keys sign counts for nothing.
	keys, err := readKeys(r.offlineDir(), r.onlineDir())
	if err != nil {
		t.Fatal(err)
	}
	counting := map[string]bool{}
	o, err := r.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range o.Keys {
		counting[k.ID] = true
	}
	retired := 0
	for _, k := range keys {
		if !counting[k.ID] {
			retired++
			if err := os.Remove(k.Path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if retired != 8 {
		t.Errorf("%d keys have been retired, want 8", retired)
	}
	r.publish("app", "last", "stable")
	sleeper.gets(r.Files(), "app:stable", "last")
}

// A client that was asleep during three rotations of each role's key still updates.
func TestSleptThroughThreeRotations(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	c := r.client()
	c.gets(r.Files(), "app:stable", "1")
	for range 3 {
		r.clock.at = r.clock.at.AddDate(0, 1, 0)
		for _, role := range []string{"root", "timestamp", "snapshot", "targets", "rollout", "log", "item", "app"} {
			r.update(func(tx *Tx) error { _, _, err := tx.RotateKey(role, ""); return err })
		}
	}
	r.publish("app", "2", "stable")
	c.gets(r.Files(), "app:stable", "2")
}

func TestRotationOfBins(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.update(func(tx *Tx) error {
		for v := range 150 {
			rel := content("app", fmt.Sprint(v), AnyPlatform)
			if _, err := tx.Add(rel, metainfoOf(rel)); err != nil {
				return err
			}
		}
		_, err := tx.Promote("app", "149", "stable")
		return err
	})
	c := r.client()
	c.gets(r.Files(), "app:stable", "149")
	r.update(func(tx *Tx) error { _, _, err := tx.RotateKey("app", ""); return err })
	c.gets(r.Files(), "app:stable", "149")
	c.gets(r.Files(), "app@7", "7")
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	_, err := r.Update(t.Context(), func(tx *Tx) error { _, err := tx.RevokeKey("app", ""); return err })
	if err == nil || !strings.Contains(err.Error(), "rotate") {
		t.Fatalf("revoking the only key: %v, want to be told to rotate", err)
	}
	_, err = r.Update(t.Context(), func(tx *Tx) error { return tx.SetThreshold("app", 2) })
	if err == nil {
		t.Fatal("a threshold of 2 with one key was taken")
	}
	first := r.key("app-app")
	r.update(func(tx *Tx) error { _, err := tx.AddKey("app"); return err })
	r.update(func(tx *Tx) error { _, err := tx.RevokeKey("app", first.ID[:8]); return err })
	if err := os.Remove(first.Path); err != nil {
		t.Fatal(err)
	}
	r.publish("app", "2", "stable")
	r.client().gets(r.Files(), "app:stable", "2")
}

func TestRenew(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	c := r.client()
	r.clock.at = r.clock.at.Add(offlineLife / 2)
	r.update(func(tx *Tx) error {
		left, err := tx.Renew()
		if len(left) > 0 {
			t.Errorf("left %q", left)
		}
		return err
	})
	o, err := r.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range o.Roles {
		life := offlineLife
		switch role.Role {
		case roleSnapshot:
			life = snapshotLife
		case roleTimestamp:
			life = timestampLife
		}
		if want := expiry(r.clock.at, life); !role.Expires.Equal(want) {
			t.Errorf("%s expires %v, want %v", role.Role, role.Expires, want)
		}
	}
	c.gets(r.Files(), "app:stable", "1")
}

// Many publishers at once, of one app and of several: each release is there in the end.
func TestConcurrentPublish(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.publish("a", "0", "stable")
	r.publish("b", "0", "stable")
	var g sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		g.Go(func() {
			again, err := Open(r.Dir(), Config{Now: r.clock.now})
			if err == nil {
				_, err = again.Update(t.Context(), func(tx *Tx) error {
					rel := content([]string{"a", "b"}[i%2], fmt.Sprint(i+1), AnyPlatform)
					_, err := tx.Add(rel, metainfoOf(rel))
					return err
				})
			}
			errs[i] = err
		})
	}
	g.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	c := r.client()
	for i := range errs {
		version := fmt.Sprint(i + 1)
		c.gets(r.Files(), []string{"a", "b"}[i%2]+"@"+version, version)
	}
	if got := c.gets(r.Files(), "a:stable", "0"); got.LogIndex != 0 {
		t.Errorf("log index %d", got.LogIndex)
	}
}

// A publish that ends at any point leaves what was published as it was, and the next one finishes or repeats it.
func TestPublishStopsAnywhere(t *testing.T) {
	t.Parallel()
	base := newRepo(t, InitConfig{})
	base.publish("app", "1", "stable")
	before := base.copy()
	done := base.twin()
	done.publish("app", "2", "stable")
	after := done.copy()
	var written []string // by the publish, in the order of writing: that of the modification times is too coarse, so by the rules
	for path := range after.files {
		if string(before.files[path]) != string(after.files[path]) {
			written = append(written, path)
		}
	}
	rank := func(path string) int {
		for i, prefix := range []string{"targets/", "metadata/2.app-app", "log/tile", "log/index", "log/checkpoint", "metadata/3.snapshot", "metadata/timestamp"} {
			if strings.HasPrefix(path, prefix) {
				return i
			}
		}
		t.Fatalf("%s was written, of which the order says nothing", path)
		return 0
	}
	for stop := 0; stop <= 7; stop++ {
		r := base.twin()
		for _, path := range written {
			if rank(path) < stop {
				if err := writePublic(r.Public(), path, after.files[path]); err != nil {
					t.Fatal(err)
				}
			}
		}
		c := &client{t, t.TempDir(), base.root(), base.clock}
		want := "1"
		if stop == 7 {
			want = "2"
		}
		c.gets(r.Files(), "app:stable", want)
		r.publish("app", "2", "stable")
		c.gets(r.Files(), "app:stable", "2")
		r.publish("app", "3", "stable")
		f := c.gets(r.Files(), "app:stable", "3")
		if f.LogIndex != 2 {
			t.Errorf("stopped before step %d: version 3 is entry %d of the log, want 2", stop, f.LogIndex)
		}
	}
}

// An Update whose change fails writes nothing public.
func TestFailedChange(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	before := r.copy()
	_, err := r.Update(t.Context(), func(tx *Tx) error {
		rel := content("app", "1", AnyPlatform)
		if _, err := tx.Add(rel, metainfoOf(rel)); err != nil {
			return err
		}
		return errStop
	})
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	after := r.copy()
	if len(after.files) != len(before.files) {
		t.Errorf("%d files, want %d as before", len(after.files), len(before.files))
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), MarkerName)); err != nil {
		t.Error(err)
	}
}

// Publishing without the online keys is finished where they are.
func TestOnlineKeysElsewhere(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	away := t.TempDir()
	if err := os.Rename(r.onlineDir(), filepath.Join(away, "online")); err != nil {
		t.Fatal(err)
	}
	if d := r.publish("app", "2", "stable"); !d.Unfinished {
		t.Errorf("got %+v, want unfinished", d)
	}
	c := r.client()
	c.gets(r.Files(), "app:stable", "1")
	online, err := Open(r.Dir(), Config{Now: r.clock.now, KeyDirs: []string{filepath.Join(away, "online")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := online.Update(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.gets(r.Files(), "app:stable", "2")
}

// A repository is copied file by file in the documented order, after keys of all roles were rotated and more was published: at each moment a machine that was there
// before, and one that is new, get the state before or the one after.
func TestCopiedFileByFile(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	there, old := r.copy(), r.client()
	old.gets(there, "app:stable", "1")
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "rollout", "log", "item", "app"} {
		r.update(func(tx *Tx) error { _, _, err := tx.RotateKey(role, ""); return err })
	}
	r.publish("app", "2", "stable")
	r.publish("app", "3", "stable")
	r.publish("other", "1", "stable")
	after := r.copy()
	step := func(path string) int { // as the README has it
		switch {
		case strings.HasSuffix(path, ".root.json"):
			return 3
		case path == timestampName:
			return 2
		case path == "log/checkpoint" || strings.HasPrefix(path, "metadata/"):
			return 1
		}
		return 0
	}
	var changed []string
	for path, b := range after.files {
		if string(there.files[path]) != string(b) {
			changed = append(changed, path)
		}
	}
	slices.SortFunc(changed, func(a, b string) int { // within a step rsync goes by names
		return cmp.Or(step(a)-step(b), strings.Compare(a, b))
	})
	newest := "1"
	for _, path := range changed {
		there.files[path] = after.files[path]
		if path == timestampName {
			newest = "3"
		}
		old.clone().gets(there, "app:stable", newest)
		r.client().withRoot(after.files[metaName(roleRoot, 1)]).gets(there, "app:stable", newest)
		if step(path) == 3 {
			old.gets(there, "app:stable", newest)
		}
	}
	old.gets(there, "app@1", "1")
	r.client().gets(there, "other:stable", "1")
}

// A change of keys that cannot be signed says which key it lacks, and leaves nothing behind: no key, and no metadata.
func TestFailedKeyChangeLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRepo(t, InitConfig{RootKeys: 3, RootThreshold: 2})
	r.publish("app", "1", "stable")
	all := func() (list []string) {
		t.Helper()
		err := filepath.WalkDir(r.Dir(), func(path string, d fs.DirEntry, err error) error {
			list = append(list, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	o, err := r.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var roots []KeyInfo
	for _, k := range o.Keys {
		if k.Role == roleRoot {
			roots = append(roots, k)
		}
	}
	for here := len(roots) - 1; here >= 0; here-- {
		if err := os.Remove(roots[here].Path); err != nil {
			t.Fatal(err)
		}
		if here >= 2 { // as many as must sign
			continue
		}
		before := all()
		for what, change := range map[string]func(*Tx) error{
			"rotating root":      func(tx *Tx) error { _, _, err := tx.RotateKey("root", roots[0].ID); return err },
			"rotating timestamp": func(tx *Tx) error { _, _, err := tx.RotateKey("timestamp", ""); return err },
			"rotating targets":   func(tx *Tx) error { _, _, err := tx.RotateKey("targets", ""); return err },
			"rotating log":       func(tx *Tx) error { _, _, err := tx.RotateKey("log", ""); return err },
			"adding to root":     func(tx *Tx) error { _, err := tx.AddKey("root"); return err },
			"another threshold": func(tx *Tx) error {
				if _, err := tx.AddKey("root"); err != nil {
					return err
				}
				return tx.SetThreshold("root", 9)
			},
		} {
			_, err := r.Update(t.Context(), change)
			missing, ok := errors.AsType[*KeysMissingError](err)
			if !ok && what != "another threshold" {
				t.Errorf("%s with %d root keys: %v, want KeysMissingError", what, here, err)
			}
			if ok && (missing.Role != roleRoot || missing.Have != here || missing.Need != 2 || len(missing.Missing) != 3-here || !strings.Contains(err.Error(), roots[2].ID[:16])) {
				t.Errorf("%s with %d root keys: %v (%+v), want to be told that %d of 2 are here, and which are not", what, here, err, missing, here)
			}
			if after := all(); !slices.Equal(after, before) {
				t.Errorf("%s has failed, and leaves %q, want %q as before", what, after, before)
			}
		}
	}
}
