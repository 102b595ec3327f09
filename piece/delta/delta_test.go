package delta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"shoal/piece"
)

// TestRealPair: a patch between real releases leads to the new one, and is as small as it was once seen to be.
func TestRealPair(t *testing.T) {
	old, new := describe(t, "testdata/pair/old"), describe(t, "testdata/pair/new")
	patch := diff(t, old, new, Options{})
	mustApply(t, old, new, patch)
	if most := 9000; len(patch) > most {
		t.Errorf("the patch has %d bytes, want at most %d", len(patch), most)
	}
}

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	one, two, three := pattern(100, 1), pattern(100, 2), pattern(200, 3)
	old := version(t, dir, map[string][]byte{"same": one, "changed": two, "was": three, "gone": pattern(50, 4), "empty": nil, "link@": []byte("same"), "becomes": nil})
	new := version(t, dir, map[string][]byte{"same": one, "changed": one[:99], "is": three, "again": one, "added": pattern(50, 5), "empty": nil, "link@": []byte("same"), "becomes": one[:98], "nothing": nil})
	c := Compare(old.Info, new.Info)
	got := map[string]Change{}
	for i := range new.Info.Files {
		got[pathOf(new.Info, i)] = c.Files[i]
	}
	at := func(name string) int {
		return slices.IndexFunc(old.Info.Files, func(f piece.File) bool { return f.Path[0] == name })
	}
	for name, want := range map[string]Change{
		"same": {Same, at("same")}, "changed": {Changed, at("changed")}, "is": {Renamed, at("was")}, "again": {Renamed, at("same")}, "added": {Added, -1},
		"empty": {Same, at("empty")}, "link": {Same, at("link")}, "becomes": {Changed, at("becomes")}, "nothing": {Added, -1},
	} {
		if got[name] != want {
			t.Errorf("%s: %+v, want %+v", name, got[name], want)
		}
	}
	if want := []int{at("gone")}; !slices.Equal(c.Removed, want) {
		t.Errorf("removed %v, want %v", c.Removed, want)
	}
}

// TestLittleMemory: where old files do not fit, they are looked at in parts, and the patch still leads to the new version.
func TestLittleMemory(t *testing.T) {
	dir := t.TempDir()
	big := pattern(5<<20, 1)
	shifted := slices.Concat(pattern(1000, 2), big[:3<<20], pattern(500, 3), big[3<<20:])
	old := version(t, dir, map[string][]byte{"big": big, "lib-1.0": pattern(1<<20, 4)})
	new := version(t, dir, map[string][]byte{"big": shifted, "lib-1.1": append(pattern(1<<20, 4), "more"...)})
	patch := diff(t, old, new, Options{Memory: MinMemory})
	mustApply(t, old, new, patch)
	if most := 10_000; len(patch) > most {
		t.Errorf("the patch has %d bytes, want at most %d", len(patch), most)
	}
	if _, err := Diff(ctx, old, new, io.Discard, Options{Memory: MinMemory - 1}); err == nil {
		t.Error("less memory than can do is no error")
	}
}

// TestProgress: it begins before anything is done, since who waits wants to see that something is.
func TestProgress(t *testing.T) {
	dir := t.TempDir()
	content := pattern(4<<20, 1)
	old := version(t, dir, map[string][]byte{"a": content})
	shifted := append(content[len(content)/2:], content[:len(content)/2]...) // as code that has moved
	for i := 64 << 10; i+128<<10 <= len(shifted); i += 128 << 10 {
		shifted = slices.Concat(shifted[:i], shifted[i+64<<10:][:64<<10], shifted[i:][:64<<10], shifted[i+128<<10:])
	}
	new := version(t, dir, map[string][]byte{"a": shifted})
	var told []int64
	diff(t, old, new, Options{Progress: func(done, total int64) {
		if total != 4<<20 {
			t.Errorf("%d bytes in all, want 4 MiB", total)
		}
		told = append(told, done)
	}})
	if !slices.IsSorted(told) || len(told) < 5 || told[0] != 0 || told[len(told)-1] != 4<<20 {
		t.Errorf("told of %d bytes, want nought first, then each MiB or so, and all at the end", told)
	}
}

// TestNewFileInSections: a new file is cut, however large, because decoders accept so much code in a section and no more.
func TestNewFileInSections(t *testing.T) {
	dir := t.TempDir()
	old := version(t, dir, map[string][]byte{"a": []byte("one")})
	new := version(t, dir, map[string][]byte{"a": []byte("one"), "zeros": make([]byte, 9<<20)})
	patch := diff(t, old, new, Options{section: limits{output: 1 << 30, ops: 1 << 20, fresh: 1 << 20}})
	mustApply(t, old, new, patch)
	sections := 0
	for rest := patch[headLength(t, patch):]; len(rest) > 0; sections++ {
		var head [4]uint64
		for i := range head {
			v, n := binary.Uvarint(rest)
			head[i], rest = v, rest[n:]
		}
		rest = rest[head[1]+head[2]>>1:]
	}
	if sections != 9 {
		t.Errorf("9 MiB are in %d sections, want 9", sections)
	}
}

// TestNoise: new bytes that cannot be coded shorter cost what they are, and may be repeated later.
func TestNoise(t *testing.T) {
	dir := t.TempDir()
	old := version(t, dir, map[string][]byte{"a": []byte("one")})
	noise := pattern(1<<20, 4)
	text := bytes.Repeat([]byte("a text before and after it. "), 1000)
	new := version(t, dir, map[string][]byte{"a": slices.Concat(text, noise, text, noise)})
	patch := diff(t, old, new, Options{})
	mustApply(t, old, new, patch)
	if most := len(noise) + 30_000; len(patch) > most {
		t.Errorf("the patch has %d bytes, want at most %d", len(patch), most)
	}
}

// TestRefused: what was not signed, and what does not fit, is refused before the sink hears of it.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	old := version(t, dir, map[string][]byte{"a": []byte("one")})
	new := version(t, dir, map[string][]byte{"a": []byte("two")})
	other := version(t, dir, map[string][]byte{"a": []byte("three")})
	patch := diff(t, old, new, Options{})
	for _, c := range []struct {
		name  string
		old   Tree
		patch []byte
		want  Want
		err   error
	}{
		{"for another old version", other, patch, wanted(new.Info), ErrWrongOld},
		{"to another new version", old, patch, wanted(other.Info), ErrBadPatch},
		{"of another length", old, patch, Want{new.Info.V2, new.Info.Length + 1}, ErrBadPatch},
		{"empty", old, nil, wanted(new.Info), ErrBadPatch},
		{"in another format", old, bytes.Replace(patch, []byte("delta 4"), []byte("delta 3"), 1), wanted(new.Info), ErrBadPatch},
		{"something else", old, bytes.Repeat([]byte("x"), 500), wanted(new.Info), ErrBadPatch},
	} {
		m := &memory{}
		if err := Apply(ctx, c.old, bytes.NewReader(c.patch), c.want, m); !errors.Is(err, c.err) || m.info != nil {
			t.Errorf("%s: %v, began: %v; want %v before it begins", c.name, err, m.info != nil, c.err)
		}
	}
	for _, broken := range [][]byte{patch[:len(patch)-3], append(bytes.Clone(patch), 0)} {
		if err := Apply(ctx, old, bytes.NewReader(broken), wanted(new.Info), &memory{}); !errors.Is(err, ErrBadPatch) {
			t.Errorf("%d of %d bytes: %v, want ErrBadPatch", len(broken), len(patch), err)
		}
	}
}

// skipping is a sink that has every file already.
type skipping struct{ memory }

func (s *skipping) Create(int) (io.WriteCloser, error) { return nil, nil }

// full is a sink on a full disk.
type full struct{ memory }

var errFull = errors.New("disk full")

func (f *full) Create(int) (io.WriteCloser, error) { return nopCloser{f}, nil }
func (f *full) Write([]byte) (int, error)          { return 0, errFull }

func TestSinks(t *testing.T) {
	dir := t.TempDir()
	old := version(t, dir, map[string][]byte{"a": pattern(300, 1)})
	new := version(t, dir, map[string][]byte{"a": pattern(300, 1)[1:], "b": pattern(300, 2)})
	patch := diff(t, old, new, Options{})
	if err := Apply(ctx, old, bytes.NewReader(patch), wanted(new.Info), &skipping{}); err != nil {
		t.Errorf("skipping every file: %v", err)
	}
	err := Apply(ctx, old, bytes.NewReader(patch), wanted(new.Info), &full{})
	if !errors.Is(err, errFull) || errors.Is(err, ErrBadPatch) {
		t.Errorf("with a full disk: %v, want %v alone", err, errFull)
	}
}

func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	old := version(t, dir, map[string][]byte{"a": pattern(300, 1)})
	new := version(t, dir, map[string][]byte{"a": pattern(300, 2)})
	patch := diff(t, old, new, Options{})
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Diff(ctx, old, new, io.Discard, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Diff: %v, want %v", err, context.Canceled)
	}
	if err := Apply(ctx, old, bytes.NewReader(patch), wanted(new.Info), &memory{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v, want %v", err, context.Canceled)
	}
}
