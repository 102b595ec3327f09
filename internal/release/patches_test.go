package release

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withPatch is a repository with two versions and a small patch between them.
func withPatch(t *testing.T) (*Repository, *Trust, *Found) {
	t.Helper()
	r, err := Init(t.Context(), t.TempDir()+"/repo", InitConfig{}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	base := strings.Repeat("1", 64)
	small := Patch{Artefact: Artefact{Kind: "P", From: "1", Base: base, Name: "patch", Bytes: 5}, Data: []byte("patch")}
	if _, err := r.Update(t.Context(), func(tx *Tx) error {
		for i, v2 := range []string{base, strings.Repeat("2", 64)} {
			rel := Release{App: "app", Version: string(rune('1' + i)), Platform: AnyPlatform, Artefacts: []Artefact{{Kind: "T", Name: "app", V2: v2, Bytes: 10}}}
			if _, err := tx.Add(rel, []byte("metainfo")); err != nil {
				return err
			}
		}
		return tx.AddPatches("app", "2", AnyPlatform, []Patch{small})
	}); err != nil {
		t.Fatal(err)
	}
	trust, err := NewTrust(t.Context(), TrustConfig{Files: r.Files(), FirstUse: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := trust.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := trust.Release(t.Context(), Ref{App: "app", Version: "2"}, []string{AnyPlatform})
	if err != nil {
		t.Fatal(err)
	}
	return r, trust, found
}

// A patch is found from the release, and the release is the one that it was: the log has two entries, and nothing else.
func TestPatches(t *testing.T) {
	r, trust, found := withPatch(t)
	list, err := trust.Patches(t.Context(), found)
	if err != nil || len(list) != 1 || list[0].From != "1" {
		t.Fatalf("patches %v, %v, want the one from 1", list, err)
	}
	if b, err := trust.Beside(t.Context(), found, &list[0]); err != nil || string(b) != "patch" {
		t.Errorf("%q, %v, want the patch", b, err)
	}
	if trust.Checkpoint().Size != 2 {
		t.Errorf("%d entries in the log, want 2: patches are not in it", trust.Checkpoint().Size)
	}
	before, err := r.Lookup(t.Context(), "app", "2", AnyPlatform)
	if err != nil || len(before.Artefacts) != 1 {
		t.Errorf("the release has become %+v, %v", before, err)
	}
	if _, err := r.Update(t.Context(), func(tx *Tx) error { return tx.AddPatches("app", "3", AnyPlatform, nil) }); !errors.Is(err, ErrNoRelease) {
		t.Errorf("patches of a release that there is not: %v", err)
	}
}

// A patch whose file is lost is added again as it was: it is there again, and nothing is signed anew.
func TestLostPatchIsWrittenAgain(t *testing.T) {
	r, _, found := withPatch(t)
	list, err := r.Patches(t.Context(), found.Release)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	files, err := filepath.Glob(filepath.Join(r.Public(), "targets", "releases", "app", "2", "*.patch"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if b, err := r.Beside(t.Context(), found.Release, &list[0]); err == nil {
		t.Fatalf("%q, want that it is lost", b)
	}
	add := func(data string) *Done {
		t.Helper()
		p := Patch{Artefact: list[0], Data: []byte(data)}
		done, err := r.Update(t.Context(), func(tx *Tx) error { return tx.AddPatches("app", "2", AnyPlatform, []Patch{p}) })
		if err != nil {
			t.Fatal(err)
		}
		if b, err := r.Beside(t.Context(), found.Release, &list[0]); err != nil || string(b) != data {
			t.Errorf("%q, %v, want %s", b, err, data)
		}
		return done
	}
	if done := add("patch"); len(done.Signed) > 0 {
		t.Errorf("the same again: signed %v, want nothing", done.Signed)
	}
	if done := add("other"); len(done.Signed) == 0 {
		t.Error("another one: nothing was signed")
	}
}

// A patch that is replaced or removed leaves no metainfo behind that keeps its content for ever.
func TestPatchIsTakenBack(t *testing.T) {
	r, _, found := withPatch(t)
	patch := func(from, v2 string) Patch {
		return Patch{Artefact: Artefact{Kind: "P", From: from, Base: strings.Repeat("0", 64), Name: "large", V2: strings.Repeat(v2, 64), Bytes: 2 << 20}, Metainfo: []byte("metainfo")}
	}
	for _, change := range []func(tx *Tx) error{
		func(tx *Tx) error {
			return tx.AddPatches("app", "2", AnyPlatform, []Patch{patch("0", "a"), patch("1", "b")})
		},
		func(tx *Tx) error { return tx.AddPatches("app", "2", AnyPlatform, []Patch{patch("0", "c")}) },
		func(tx *Tx) error { return tx.RemovePatch("app", "2", AnyPlatform, "1") },
	} {
		if _, err := r.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := r.Patches(t.Context(), found.Release); err != nil || len(list) != 1 || list[0].V2 != strings.Repeat("c", 64) {
		t.Errorf("patches %v, %v, want the second from 0 alone", list, err)
	}
	if _, err := r.Update(t.Context(), func(tx *Tx) error {
		for v2, want := range map[string]bool{"1": true, "2": true, "a": false, "b": false, "c": true} {
			if f, err := tx.find("app", metainfoPath(strings.Repeat(v2, 64))); err != nil || (f != nil) != want {
				t.Errorf("metainfo of %s: %v, %v, want that it is there: %v", v2, f, err, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// With a release its patches go, and what they were made of.
func TestPrunePatches(t *testing.T) {
	r, _, _ := withPatch(t)
	large := Patch{Artefact: Artefact{Kind: "P", From: "0", Base: strings.Repeat("0", 64), Name: "large", V2: strings.Repeat("a", 64), Bytes: 2 << 20}, Metainfo: []byte("metainfo")}
	if _, err := r.Update(t.Context(), func(tx *Tx) error { return tx.AddPatches("app", "2", AnyPlatform, []Patch{large}) }); err != nil {
		t.Fatal(err)
	}
	live, err := r.Live(t.Context())
	if err != nil || len(live) != 3 {
		t.Fatalf("%d contents, %v, want two trees and a patch", len(live), err)
	}
	if _, err := r.Update(t.Context(), func(tx *Tx) error { _, err := tx.Prune("app", 0, nil); return err }); err != nil {
		t.Fatal(err)
	}
	if live, err = r.Live(t.Context()); err != nil || len(live) != 0 {
		t.Errorf("%d contents after all was pruned, %v", len(live), err)
	}
	if freed, err := r.Sweep(t.Context()); err != nil || freed == 0 {
		t.Errorf("%d bytes swept, %v", freed, err)
	}
}

// What a newer publisher offers besides is left out, and takes nothing away from what is known. A patch or an index that lacks something still refuses all.
func TestPatchesOfUnknownKind(t *testing.T) {
	hash := strings.Repeat("0", 64)
	document := func(more string) []byte {
		return []byte(`{"format":1,"app":"a","version":"1","platform":"any","v2":"` + hash + `","artefacts":[` + more + `,{"kind":"P","from":"0","base":"` + hash + `","name":"n","bytes":3}]}`)
	}
	p, err := parsePatches(document(`{"kind":"Q","name":"a/b","bytes":-1}`))
	if err != nil || len(p.Artefacts) != 1 || p.Artefacts[0].Kind != "P" {
		t.Errorf("with an unknown kind: %+v, %v, want the patch alone", p, err)
	}
	if p, err := parsePatches(document(`{"kind":"P","name":"n","bytes":3}`)); err == nil {
		t.Errorf("with a patch from nothing: %+v, want an error", p)
	}
}

// FuzzPatches holds that what is read as a document of patches is written as one that says the same.
func FuzzPatches(f *testing.F) {
	hash := strings.Repeat("0", 64)
	f.Add([]byte(`{"format":1,"app":"a","version":"1","platform":"any","v2":"` + hash + `","artefacts":[{"kind":"P","from":"0","base":"` + hash + `","name":"n","bytes":3}]}`))
	f.Add([]byte(`{"format":1,"app":"a","version":"1","platform":"any","v2":"` + hash + `","artefacts":[{"kind":"P","from":"0","base":"` + hash + `","name":"n","v2":"` + hash + `","bytes":3}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePatches(b)
		if err != nil {
			return
		}
		one, err := p.encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := parsePatches(one)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := again.encode(); err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s became %s, %v", one, two, err)
		}
	})
}
