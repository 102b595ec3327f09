package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublishAndGet(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	c := r.client()
	first := c.gets(r.Files(), "app:stable", "1")
	if first.LogIndex != 0 || first.Channel == nil {
		t.Errorf("got %+v", first)
	}
	r.publish("app", "2", "stable")
	r.publish("other", "7", "")
	c.gets(r.Files(), "app:stable", "2")
	c.gets(r.Files(), "app@1", "1")
	if f := c.gets(r.Files(), "other@7", "7"); f.LogIndex != 2 {
		t.Errorf("log index %d, want 2", f.LogIndex)
	}
	c.refuses(r.Files(), "app@3", RuleUnknown)
	c.refuses(r.Files(), "app:beta", RuleUnknown)
	c.refuses(r.Files(), "none:stable", RuleUnknown)
}

func TestPublishTwice(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	before := r.copy()
	if d := r.publish("app", "1", "stable"); len(d.Signed) != 0 {
		t.Errorf("publishing the same again has signed %q, want nothing", d.Signed)
	}
	after := r.copy()
	for path, b := range after.files {
		if string(before.files[path]) != string(b) {
			t.Errorf("publishing the same again has changed %s", path)
		}
	}
	_, err := r.Update(t.Context(), func(tx *Tx) error {
		rel := content("app", "1", AnyPlatform)
		rel.Artefacts[0].V2 = sha256Hex([]byte("other"))
		_, err := tx.Add(rel, metainfoOf(rel))
		return err
	})
	if !errors.Is(err, ErrPublished) {
		t.Errorf("publishing other content as the same version: %v, want ErrPublished", err)
	}
	r.client().gets(r.Files(), "app:stable", "1")
}

func TestPlatformIsChosen(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.update(func(tx *Tx) error {
		for _, p := range []string{"any", "plan9-mips", ThisPlatform()} {
			rel := content("app", "1", p)
			if _, err := tx.Add(rel, metainfoOf(rel)); err != nil {
				return err
			}
		}
		rel := content("app", "2", "plan9-mips")
		_, err := tx.Add(rel, metainfoOf(rel))
		return err
	})
	trust, err := r.client().trust(r.Files())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ version, told, want string }{{"1", "", ThisPlatform()}, {"1", "plan9-mips", "plan9-mips"}, {"1", "solaris-sparc", "any"}, {"1", "any", "any"}, {"2", "plan9-mips", "plan9-mips"}} {
		f, err := trust.Release(t.Context(), Ref{App: "app", Version: tt.version}, Platforms(tt.told))
		if err != nil || f.Platform != tt.want {
			t.Errorf("version %s told %q: %+v, %v, want %s", tt.version, tt.told, f, err, tt.want)
		}
	}
	for _, told := range []string{"", "solaris-sparc"} {
		_, err = trust.Release(t.Context(), Ref{App: "app", Version: "2"}, Platforms(told))
		wantRefusal(t, "a version for another platform", err, RuleUnknown)
		if r, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(r.Hint, "plan9-mips") {
			t.Errorf("told %q: %+v, want a hint that names the platform that there is", told, err)
		}
	}
	// What was told is not made up for by what this machine is.
	r.update(func(tx *Tx) error {
		rel := content("app", "3", ThisPlatform())
		_, err := tx.Add(rel, metainfoOf(rel))
		return err
	})
	if trust, err = r.client().trust(r.Files()); err != nil {
		t.Fatal(err)
	}
	_, err = trust.Release(t.Context(), Ref{App: "app", Version: "3"}, Platforms("plan9-mips"))
	wantRefusal(t, "a version for this machine, and not for the platform that was told", err, RuleUnknown)
}

func TestWithdraw(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	_, err := r.Update(t.Context(), func(tx *Tx) error { _, err := tx.Withdraw("app", "1", "bad"); return err })
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("withdrawing what a channel has nothing else for: %v, want ErrInUse", err)
	}
	r.publish("app", "2", "stable")
	c := r.client()
	c.gets(r.Files(), "app@2", "2")
	r.update(func(tx *Tx) error {
		moved, err := tx.Withdraw("app", "2", "it eats data")
		if err == nil && (len(moved) != 1 || moved[0].Version != "1") {
			t.Errorf("withdraw moved %+v, want stable back to 1", moved)
		}
		return err
	})
	c.gets(r.Files(), "app:stable", "1")
	if refusal := c.refuses(r.Files(), "app@2", RuleWithdrawn); !strings.Contains(refusal.Message, "it eats data") {
		t.Errorf("got %q, want the reason in it", refusal.Message)
	}
	_, err = r.Update(t.Context(), func(tx *Tx) error {
		rel := content("app", "2", AnyPlatform)
		_, err := tx.Add(rel, metainfoOf(rel))
		return err
	})
	if !errors.Is(err, ErrPublished) || err.Error() != "app@2 was withdrawn: it eats data" {
		t.Errorf("publishing again what was withdrawn: %v, want ErrPublished, which says that it was", err)
	}
	_, err = r.Update(t.Context(), func(tx *Tx) error { _, err := tx.Promote("app", "2", "stable"); return err })
	if !errors.Is(err, ErrNoRelease) || err.Error() != "app@2 was withdrawn: it eats data" {
		t.Errorf("promoting what was withdrawn: %v, want ErrNoRelease, which says that it was", err)
	}
}

func TestPrune(t *testing.T) {
	r := newRepo(t, InitConfig{})
	for v := 1; v <= 6; v++ {
		channel := ""
		if v == 2 || v == 3 {
			channel = "stable"
		}
		r.clock.at = r.clock.at.AddDate(0, 0, 1)
		r.publish("app", fmt.Sprint(v), channel)
	}
	r.update(func(tx *Tx) error {
		gone, err := tx.Prune("app", 1, []string{"4"})
		var versions []string
		for _, g := range gone {
			versions = append(versions, g.Version)
		}
		if got := strings.Join(versions, " "); got != "5 1" { // 6 is the newest, 4 pinned, 3 in the channel, 2 what it falls back to
			t.Errorf("pruned %s, want 5 1", got)
		}
		return err
	})
	c := r.client()
	c.gets(r.Files(), "app:stable", "3")
	c.gets(r.Files(), "app@2", "2")
	c.gets(r.Files(), "app@4", "4")
	c.refuses(r.Files(), "app@5", RuleUnknown)
}

func TestSealedKeys(t *testing.T) {
	pass := "correct horse"
	config := Config{WorkFactor: 4, Passphrase: func(bool) (string, error) { return pass, nil }}
	dir := filepath.Join(t.TempDir(), "repo")
	r, err := Init(t.Context(), dir, InitConfig{RootKeys: 3, RootThreshold: 2}, config)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "keys", "*", "*.key"))
	if err != nil || len(keys) != 3+1+5 {
		t.Fatalf("%d keys (%v), want 3 of root, 1 of targets, 5 online", len(keys), err)
	}
	for _, path := range keys {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if offline := strings.Contains(path, "offline"); offline == strings.Contains(string(b), `"seed"`) {
			t.Errorf("%s: sealed %v: %s", path, !offline, b)
		}
	}
	add := func(tx *Tx) error {
		rel := content("app", "1", "any")
		_, err := tx.Add(rel, metainfoOf(rel))
		return err
	}
	pass = "wrong"
	if _, err := r.Update(t.Context(), add); !errors.Is(err, ErrPassphrase) {
		t.Fatalf("with a wrong passphrase: %v, want ErrPassphrase", err)
	}
	pass = "correct horse"
	// The root's keys may be anywhere else: publishing does not need them.
	for _, path := range keys {
		if strings.HasPrefix(filepath.Base(path), "root-") {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := r.Update(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	_, err = r.Update(t.Context(), func(tx *Tx) error { return tx.SetThreshold("root", 1) })
	if !as[*KeysMissingError](err) {
		t.Fatalf("changing the root without its keys: %v, want KeysMissingError", err)
	}
}

// A large app's releases lie in bins, and are found there.
func TestBins(t *testing.T) {
	r := newRepo(t, InitConfig{})
	c := r.client()
	batch := func(from, to int) {
		r.update(func(tx *Tx) error {
			for v := from; v < to; v++ {
				rel := content("app", fmt.Sprint(v), AnyPlatform)
				if _, err := tx.Add(rel, metainfoOf(rel)); err != nil {
					return err
				}
			}
			_, err := tx.Promote("app", fmt.Sprint(to-1), "stable")
			return err
		})
	}
	batch(0, 100)
	c.gets(r.Files(), "app:stable", "99")
	batch(100, 200)
	c.gets(r.Files(), "app:stable", "199")
	c.gets(r.Files(), "app@5", "5")
	d := r.publish("app", "200", "stable")
	if n := len(d.Signed); n > 5 { // two bins, the app, snapshot, timestamp
		t.Errorf("publishing one release has signed %q", d.Signed)
	}
	c.gets(r.Files(), "app:stable", "200")
	c.gets(r.Files(), "app@100", "100")
	c.refuses(r.Files(), "app@201", RuleUnknown)
}
