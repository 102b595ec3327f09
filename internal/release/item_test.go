package release

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// state writes a repository's state to a file and opens it.
func (r *testRepo) state() *Bundle {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "state")
	f, err := os.Create(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.WriteState(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
	b, err := OpenBundle(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { b.Close() })
	return b
}

// From a state alone a machine learns all that the channels have, be it new or one that has seen something before.
func TestState(t *testing.T) {
	r := newRepo(t, InitConfig{})
	r.publish("app", "1", "stable")
	r.publish("other", "7", "beta")
	c := r.client()
	c.gets(r.Files(), "app:stable", "1")
	r.update(func(tx *Tx) error { _, _, err := tx.RotateKey("root", ""); return err })
	r.publish("app", "2", "stable")
	r.publish("app", "3", "")
	state := r.state()
	c.gets(state, "app:stable", "2")
	r.client().gets(state, "other:beta", "7")
	c.gets(state, "app@2", "2")
	c.refuses(state, "app@3", RuleIncomplete) // no channel has it
	// It is as fresh as what is in it: an old one is refused where a newer one was seen, and by everybody once it has expired.
	r.publish("app", "4", "stable")
	c.gets(r.Files(), "app:stable", "4")
	c.refuses(state, "app:stable", RuleRollback)
	r.clock.at = r.clock.at.Add(timestampLife * 2)
	r.client().refuses(state, "app:stable", RuleExpired)
}

func TestItem(t *testing.T) {
	r := newRepo(t, InitConfig{})
	ih := [20]byte{1, 2, 3}
	i, err := r.SignItem(t.Context(), ih, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Check(); err != nil {
		t.Fatal(err)
	}
	if got, err := i.InfoHash(); err != nil || got != ih {
		t.Errorf("%x, %v, want %x", got, err, ih)
	}
	for name, change := range map[string]func(*Item){
		"seq":   func(i *Item) { i.Seq++ },
		"value": func(i *Item) { i.Value = bytes.ToUpper(i.Value) },
		"salt":  func(i *Item) { i.Salt = nil },
		"key":   func(i *Item) { i.Key = bytes.Repeat([]byte{9}, 32) },
	} {
		other := *i
		change(&other)
		wantRefusal(t, "another "+name, other.Check(), RuleSignature)
	}
	for _, value := range []string{"", "d2:ih20:", "d2:ih19:0123456789012345678e", "i1e", "d2:ih20:01234567890123456789"} {
		_, err := (&Item{Value: []byte(value)}).InfoHash()
		wantRefusal(t, value, err, RuleMalformed)
	}
}
