package swarm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// sets lists a state's pieces as s, t, d (synced, trusted, suspect) or -.
func sets(s *journalState) string {
	b := make([]byte, s.synced.n)
	for p := range b {
		b[p] = '-'
		for _, x := range []struct {
			set  *bitset
			name byte
		}{{&s.synced, 's'}, {&s.trusted, 't'}, {&s.suspect, 'd'}} {
			if x.set.has(p) {
				if b[p] != '-' {
					return "in two sets"
				}
				b[p] = x.name
			}
		}
	}
	return string(b)
}

func TestJournalSays(t *testing.T) {
	id := [32]byte{1}
	rec := func(kind byte, first, count int) func([]byte) []byte {
		return func(b []byte) []byte { return appendRun(b, kind, run{first, count}) }
	}
	synced := func(n int) func([]byte) []byte { return func(b []byte) []byte { return appendSynced(b, n) } }
	end := func(b []byte) []byte { return appendRecord(b, []byte{'C'}) }
	cases := []struct {
		name       string
		records    []func([]byte) []byte
		same, next string // in the same boot, and in another one
	}{
		{"nothing", nil, "--------", "--------"},
		{"runs", []func([]byte) []byte{rec('R', 0, 2), rec('R', 5, 1)}, "tt---t--", "dd---d--"},
		{"a sync mark covers what stood above when the sync began", []func([]byte) []byte{rec('R', 0, 2), rec('R', 5, 1), synced(1)}, "ss---t--", "ss---d--"},
		{"a hybrid's piece before SHA-1", []func([]byte) []byte{rec('L', 3, 1)}, "---d----", "---d----"},
		{"and after", []func([]byte) []byte{rec('L', 3, 1), rec('R', 3, 1)}, "---t----", "---d----"},
		{"and synced", []func([]byte) []byte{rec('L', 3, 1), rec('R', 3, 1), synced(2)}, "---s----", "---s----"},
		{"doubt", []func([]byte) []byte{rec('D', 0, 8), rec('R', 2, 1)}, "ddtddddd", "dddddddd"},
		{"doubt of what was synced", []func([]byte) []byte{rec('R', 0, 1), synced(1), rec('D', 0, 1)}, "d-------", "d-------"},
		{"a run behind the end", []func([]byte) []byte{rec('R', 0, 1), rec('R', 7, 2)}, "none", "none"},
		{"a mark for more than there is", []func([]byte) []byte{rec('R', 0, 1), synced(2)}, "none", "none"},
		{"an orderly end", []func([]byte) []byte{rec('R', 0, 1), end}, "t-------", "d-------"},
		{"an end that is none", []func([]byte) []byte{rec('R', 0, 1), end, rec('R', 1, 1)}, "none", "none"},
		{"an unknown record", []func([]byte) []byte{rec('R', 0, 1), rec('X', 0, 1)}, "none", "none"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := headerRecord(id, "boot")
			for _, f := range c.records {
				b = f(b)
			}
			for boot, want := range map[string]string{"boot": c.same, "other": c.next} {
				s, err := parseJournal(b, id, boot, 8)
				got := sets(&s)
				if err != nil {
					got = "none"
				}
				if got != want {
					t.Errorf("boot %q: got %s, want %s", boot, got, want)
				}
			}
			if _, err := parseJournal(b, [32]byte{2}, "boot", 8); err == nil {
				t.Error("taken for another torrent's")
			}
		})
	}
}

// TestJournalOutlivesItself writes, reads and writes anew.
func TestJournalOutlivesItself(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	id := [32]byte{7}
	want := newJournalState(1000)
	for p := range 1000 {
		switch rand.IntN(4) {
		case 0:
			want.synced.add(p)
		case 1:
			want.trusted.add(p)
		case 2:
			want.suspect.add(p)
		}
	}
	for range 3 {
		j, err := newJournal(root, "journal", id, "boot", &want)
		if err != nil {
			t.Fatal(err)
		}
		n := j.length()
		p := rand.IntN(1000)
		if err := j.add('R', p); err != nil {
			t.Fatal(err)
		}
		if !want.synced.has(p) {
			want.suspect.remove(p)
			want.trusted.add(p)
		}
		if j.length() != n+1 {
			t.Errorf("%d runs, want %d", j.length(), n+1)
		}
		before := time.Now().Add(-time.Hour)
		root.Chtimes("journal", before, before)
		j.touch()
		j.close()
		got, known, err := readJournal(root, "journal", id, "boot", 1000)
		if err != nil || !known {
			t.Fatal(known, err)
		}
		if sets(&got) != sets(&want) {
			t.Errorf("got  %s\nwant %s", sets(&got), sets(&want))
		}
		if !got.closed {
			t.Error("closed, and does not say so")
		}
		if !got.written.After(before) {
			t.Error("touched, and not younger")
		}
	}
	j, err := newJournal(root, "journal", id, "boot", &want)
	if err != nil {
		t.Fatal(err)
	}
	j.forget()
	j.add('R', 1)
	j.touch()
	j.close()
	if got, known, err := readJournal(root, "journal", id, "boot", 1000); known || err != nil || got.trusted.set+got.synced.set > 0 {
		t.Errorf("a forgotten journal speaks: %v %v", known, err)
	}
}

// FuzzJournal: whatever the bytes, no piece is in two sets, nothing is trusted of another torrent,
// and what is read and written again reads the same.
func FuzzJournal(f *testing.F) {
	id := [32]byte{1}
	b := headerRecord(id, "boot")
	f.Add(b)
	b = appendRun(b, 'R', run{1, 3})
	b = appendSynced(b, 1)
	b = appendRun(b, 'L', run{9, 1})
	b = appendRun(b, 'D', run{20, 4})
	f.Add(b)
	f.Add(b[:len(b)-2])
	f.Fuzz(func(t *testing.T, b []byte) {
		const pieces = 40
		s, err := parseJournal(b, id, "boot", pieces)
		if err != nil {
			if s.synced.set+s.trusted.set+s.suspect.set > 0 {
				t.Fatal("an error, and pieces")
			}
			return
		}
		if !bytes.Contains(b, id[:]) {
			t.Fatal("taken for ours")
		}
		if sets(&s) == "in two sets" {
			t.Fatal("a piece in two sets")
		}
		again := headerRecord(id, "boot")
		again, n := appendSet(again, 'R', &s.synced)
		again = appendSynced(again, n)
		again, _ = appendSet(again, 'R', &s.trusted)
		again, _ = appendSet(again, 'D', &s.suspect)
		s2, err := parseJournal(again, id, "boot", pieces)
		if err != nil || sets(&s2) != sets(&s) {
			t.Fatalf("%v: %s became %s", err, sets(&s), sets(&s2))
		}
	})
}
