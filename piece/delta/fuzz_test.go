package delta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"shoal/piece"
)

// counted is a Sink that only counts.
type counted struct{ n int64 }

func (c *counted) Begin(*piece.Info, Changes) error   { return nil }
func (c *counted) Create(int) (io.WriteCloser, error) { return nopCloser{c}, nil }
func (c *counted) Write(b []byte) (int, error)        { c.n += int64(len(b)); return len(b), nil }

// FuzzApply: whatever a patch says, it makes exactly as many bytes as the signed info says, or fails with ErrBadPatch and not more; and it is no error
// of the old content.
func FuzzApply(f *testing.F) {
	dir := f.TempDir()
	old := version(f, dir, map[string][]byte{"a": bytes.Repeat([]byte("some old text. "), 300), "b": pattern(5000, 1), "gone": pattern(300, 2)})
	new := version(f, dir, map[string][]byte{"a": bytes.Repeat([]byte("some new text; "), 301), "b": append(pattern(4990, 1), "more"...), "c": pattern(300, 3)})
	patch := diff(f, old, new, Options{})
	f.Add(patch)
	head := headLength(f, patch)
	for _, i := range []int{head, head + 1, head + 3, head + 9, len(patch) - 2} {
		broken := bytes.Clone(patch)
		broken[i] ^= 0x55
		f.Add(broken)
		f.Add(patch[:i])
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		var c counted
		err := Apply(context.Background(), old, bytes.NewReader(patch), wanted(new.Info), &c)
		changes := Compare(old.Info, new.Info)
		want := countChanges(new.Info, &changes).PatchedBytes
		switch {
		case err == nil && c.n != want:
			t.Errorf("it made %d bytes, want %d", c.n, want)
		case err != nil && !errors.Is(err, ErrBadPatch) && !errors.Is(err, ErrWrongOld):
			t.Errorf("error %v, want ErrBadPatch", err)
		case c.n > want:
			t.Errorf("it made %d bytes, at most %d are wanted", c.n, want)
		}
	})
}

// headLength is where the sections of content begin.
func headLength(t fataler, patch []byte) int {
	t.Helper()
	n := len(magic) + 32
	_, m := binary.Uvarint(patch[n:])
	n += m
	var head [4]uint64
	for i := range head {
		v, m := binary.Uvarint(patch[n:])
		head[i] = v
		n += m
	}
	return n + int(head[1]+head[2]>>1)
}

// FuzzMatch: ops found for any bytes make these bytes again.
func FuzzMatch(f *testing.F) {
	f.Add([]byte("the old text"), []byte("the new text"), 0)
	f.Add(bytes.Repeat([]byte("ab"), 100), bytes.Repeat([]byte("ba"), 99), 7)
	f.Add([]byte{}, []byte("x"), 0)
	f.Add(pattern(500, 1), append(pattern(300, 2), pattern(500, 1)...), 499)
	f.Add(pattern(20000, 1), append(pattern(20000, 2), pattern(20000, 1)[700:1300]...), 0)
	f.Fuzz(func(t *testing.T, old, new []byte, expect int) {
		if expect < 0 || expect > len(old) {
			return
		}
		at := 0
		err := newIndex(old).match(context.Background(), new, expect, func() {}, func(o op) {
			if o.copied < 0 || o.new < 0 || o.copied+o.new == 0 || at+o.copied+o.new > len(new) {
				t.Fatalf("op %+v at %d of %d", o, at, len(new))
			}
			if o.copied > 0 && (o.pos < 0 || o.pos+int64(o.copied) > int64(len(old))) {
				t.Fatalf("op %+v copies from outside of %d old bytes", o, len(old))
			}
			at += o.copied + o.new
		})
		if err != nil {
			t.Fatal(err)
		}
		if at != len(new) {
			t.Errorf("ops make %d bytes, want %d", at, len(new))
		}
	})
}
