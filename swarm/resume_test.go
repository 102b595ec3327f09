package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/internal/disk"
	"shoal/piece"
)

// until polls for something that is about to happen.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func fetched(s Stats) (n int64) {
	for c, x := range s.From {
		if Class(c) != Reuse {
			n += x
		}
	}
	return n
}

// half fetches a good part of a torrent into dir and stops.
func half(t testing.TB, tor *piece.Torrent, dir string, peers ...string) Stats {
	t.Helper()
	m := newMachine(t, Config{LimitDown: 16 << 20})
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: peers})
	until(t, "a part of it", func() bool { s := tr.Stats(); return s.Have > s.Wanted/4 })
	tr.Close()
	s := tr.Stats()
	m.stop()
	if s.Have == s.Wanted {
		t.Fatal("it was too fast to be stopped in the middle")
	}
	return s
}

// owedSHA1 is of how many pieces of a hybrid SHA-1 had not been checked yet when the fetch was stopped: these are
// hashed again.
func owedSHA1(t testing.TB, tor *piece.Torrent, journal string) int64 {
	t.Helper()
	if !tor.HasV2 {
		return 0
	}
	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	state, err := parseJournal(b, tor.V2, disk.BootID(), tor.NumPieces())
	if err != nil {
		t.Fatal(err)
	}
	return int64(state.suspect.set)
}

// again fetches the rest, and checks all of it.
func again(t testing.TB, cfg Config, tor *piece.Torrent, dir string, want tree, peers ...string) Stats {
	t.Helper()
	m := newMachine(t, cfg)
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: peers})
	wait(t, tr, 30*time.Second)
	tr.Close()
	want.equal(t, readTree(t, filepath.Join(dir, tor.Name)))
	leftovers(t, dir, tor.Name)
	return tr.Stats()
}

func TestStopsAtAnyMoment(t *testing.T) {
	x := mixed()
	x["big"] = random(12<<20, 99)
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: 64 << 10})
			o := seed(t, Spec{Torrent: tor, Content: path})
			dir := t.TempDir()
			var got, reused int64
			rounds := 0
			for done := false; !done; rounds++ {
				m := newMachine(t, Config{LimitDown: 24 << 20})
				tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
				goal := reused + rand.Int64N(4<<20)
				until(t, "progress", func() bool {
					select {
					case <-tr.Done():
						done = true
					default:
					}
					return done || tr.Stats().Have >= goal
				})
				if err := tr.Err(); err != nil {
					t.Fatal(err)
				}
				tr.Close()
				s := tr.Stats()
				// Hashed are a hybrid's pieces that wait for their SHA-1, longer on a busy computer, and what has its name already.
				if s.From[Reuse] < reused || s.Checked > 4<<20 && reused < tor.Length {
					t.Errorf("round %d: %d reused and %d hashed again; the last round had verified %d", rounds, s.From[Reuse], s.Checked, reused)
				}
				reused = s.Have
				got += fetched(s)
				m.stop()
			}
			t.Logf("%d rounds, %d bytes fetched of %d", rounds, got, tor.Length)
			if most := tor.Length + int64(rounds)*8<<20; got > most {
				t.Errorf("fetched %d bytes, want at most %d", got, most)
			}
			x.equal(t, readTree(t, filepath.Join(dir, "tree")))
			sound(t, tor.Info, filepath.Join(dir, "tree"))
			leftovers(t, dir, "tree")
		})
	}
}

// TestNothingUnverifiedIsTrusted changes what a stopped fetch has left behind.
func TestNothingUnverifiedIsTrusted(t *testing.T) {
	x := tree{"big": random(5<<20, 7), "small": random(100_000, 8)}
	other, _ := makeTree(t, tree{"x": "other"}, piece.BuildConfig{})
	const size = 64 << 10
	type hint struct {
		dir  string // .shoal-…
		part string // of big
		tor  *piece.Torrent
	}
	patch := func(t *testing.T, path string, at int64, b []byte) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(t *testing.T, path string, f func(b []byte) []byte) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(b), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	// everywhere damages each piece of the part, verified or not.
	everywhere := func(t *testing.T, h hint) {
		st, err := os.Stat(h.part)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(100); at < st.Size(); at += size {
			patch(t, h.part, at, []byte("garbage"))
		}
	}
	cases := []struct {
		name string
		do   func(t *testing.T, h hint)
		cfg  Config
		// lost is how many verified pieces may have to be fetched again; -1: all.
		lost int
		// hashed says whether something must be hashed again.
		hashed bool
	}{
		{name: "nothing"},
		{name: "one verified byte", lost: 1, hashed: true, do: func(t *testing.T, h hint) {
			b, err := os.ReadFile(h.part)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(b); at += size {
				if end := min(at+size, len(b)); bytes.Equal(b[at:end], []byte(x["big"][at:end])) {
					patch(t, h.part, int64(at)+5, []byte{b[at+5] ^ 1})
					return
				}
			}
			t.Fatal("nothing verified")
		}},
		{name: "all pieces", do: everywhere, lost: -1, hashed: true},
		{name: "all pieces, and the time set back", lost: -1, hashed: true, do: func(t *testing.T, h hint) {
			st, err := os.Stat(h.part)
			if err != nil {
				t.Fatal(err)
			}
			everywhere(t, h)
			if err := os.Chtimes(h.part, st.ModTime(), st.ModTime()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "part cut", lost: -1, hashed: true, do: func(t *testing.T, h hint) {
			if err := os.Truncate(h.part, 3<<20); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "part too long", hashed: true, do: func(t *testing.T, h hint) {
			if err := os.Truncate(h.part, 9<<20); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "part gone", lost: -1, do: func(t *testing.T, h hint) {
			if err := os.Remove(h.part); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "part is a symlink", lost: -1, do: func(t *testing.T, h hint) {
			if err := errors.Join(os.Remove(h.part), os.Symlink("/etc/passwd", h.part)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no journal", hashed: true, do: func(t *testing.T, h hint) {
			if err := os.Remove(filepath.Join(h.dir, "journal")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no journal, and all pieces", lost: -1, hashed: true, do: func(t *testing.T, h hint) {
			everywhere(t, h)
			if err := os.Remove(filepath.Join(h.dir, "journal")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "torn journal", hashed: true, do: func(t *testing.T, h hint) {
			edit(t, filepath.Join(h.dir, "journal"), func(b []byte) []byte { return b[:len(b)-3] })
		}},
		{name: "a flipped bit in the journal", hashed: true, do: func(t *testing.T, h hint) {
			edit(t, filepath.Join(h.dir, "journal"), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}},
		{name: "journal of another torrent", hashed: true, do: func(t *testing.T, h hint) {
			edit(t, filepath.Join(h.dir, "journal"), func([]byte) []byte {
				return appendRun(headerRecord(other.V2, "boot"), 'R', run{0, h.tor.NumPieces()})
			})
		}},
		{name: "another boot", cfg: Config{boot: "another"}, hashed: true},
		{name: "no leaves", do: func(t *testing.T, h hint) { os.Remove(filepath.Join(h.dir, "leaves")) }},
		{name: "wrong leaves", do: func(t *testing.T, h hint) {
			os.WriteFile(filepath.Join(h.dir, "leaves"), []byte(random(20_000, 5)), 0o666)
		}},
	}
	for _, f := range []piece.Format{piece.Hybrid, piece.V1} {
		tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: size})
		o := seed(t, Spec{Torrent: tor, Content: path})
		for _, c := range cases {
			t.Run(fmt.Sprintf("%v, %s", f, c.name), func(t *testing.T) {
				dir := t.TempDir()
				before := half(t, tor, dir, o.addr)
				h := hint{dir: filepath.Join(dir, workDir(tor.Info)), tor: tor}
				h.part = filepath.Join(h.dir, "parts", "0")
				owed := owedSHA1(t, tor, filepath.Join(h.dir, "journal"))
				t.Logf("SHA-1 of %d pieces was still owed", owed)
				if c.do != nil {
					c.do(t, h)
				}
				s := again(t, c.cfg, tor, dir, x, o.addr)
				least := before.Have - int64(c.lost)*size
				if c.lost < 0 {
					least = 0
				}
				if s.From[Reuse] < least {
					t.Errorf("reused %d bytes of %d, want at least %d", s.From[Reuse], before.Have, least)
				}
				if c.hashed && s.Checked == 0 || !c.hashed && s.Checked > owed*size {
					t.Errorf("hashed %d bytes again, want any: %v; of %d pieces SHA-1 was not checked yet", s.Checked, c.hashed, owed)
				}
				if s.Bad > 0 || s.Bans > 0 {
					t.Errorf("the peer was blamed: %+v", s)
				}
			})
		}
	}
}

func TestOnlyOneAtATime(t *testing.T) {
	x := tree{"big": random(8<<20, 7)}
	tor, path := makeTree(t, x, piece.BuildConfig{})
	o := seed(t, Spec{Torrent: tor, Content: path})
	dir := t.TempDir()
	first := add(t, newMachine(t, Config{LimitDown: 1 << 20}), Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
	until(t, "a begin", func() bool { return first.Stats().Have > 0 })
	second := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
	<-second.Done()
	if err := second.Err(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two fetches into one directory: %v", err)
	}
	first.Close()
	again(t, Config{}, tor, dir, x, o.addr)
}

// TestDestination fetches to where something stands already.
func TestDestination(t *testing.T) {
	x := tree{"big": random(4<<20, 7), "bin/tool*": random(100_000, 8), "bin/link": "-> tool", "empty": ""}
	changed := tree{"big": x["big"][:2<<20] + random(2<<20, 9), "bin/tool": x["bin/tool*"]}
	const size = 64 << 10
	put := func(x tree) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { x.write(t, filepath.Join(dir, "tree")) }
	}
	link := func(target, name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "precious"), []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		do     func(t *testing.T, dir string)
		reused int64 // at least
		all    bool  // nothing may be fetched
		err    error // instead of success
	}{
		{name: "identical", do: put(x), all: true},
		{name: "partly equal", do: put(changed), reused: 2 << 20},
		{name: "longer", do: put(tree{"big": x["big"] + "and more"}), reused: 4 << 20},
		{name: "shorter", do: put(tree{"big": x["big"][:1<<20]}), reused: 1 << 20},
		{name: "all different", do: put(tree{"big": random(4<<20, 11), "empty": "not empty"})},
		{name: "a symlink in place of a file", do: link(filepath.Join(outside, "precious"), "tree/big")},
		{name: "a dangling symlink in place of a file", do: link("nowhere", "tree/big")},
		{name: "a file in place of a symlink", do: put(tree{"bin/link": "file"})},
		{name: "a directory in place of a file", do: put(tree{"big/x": ""}), err: syscall.EISDIR},
		{name: "a directory in place of a symlink", do: put(tree{"bin/link/x": ""}), err: syscall.EISDIR},
		{name: "a file in place of a directory", do: put(tree{"bin": "x"}), err: syscall.ENOTDIR},
		{name: "a file in place of the tree", do: func(t *testing.T, dir string) {
			os.WriteFile(filepath.Join(dir, "tree"), []byte("x"), 0o644)
		}, err: syscall.ENOTDIR},
		{name: "a symlink that leaves", do: link(outside, "tree"), err: errAny},
		{name: "a symlink that leaves, deeper", do: link(outside, "tree/bin"), err: errAny},
		{name: "a symlink that stays", do: link("..", "tree/bin"), err: errAny},
		{name: "a dangling symlink in place of a directory", do: link("nowhere", "tree/bin"), err: errAny},
	}
	for _, f := range []piece.Format{piece.Hybrid, piece.V1} {
		tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: size})
		o := seed(t, Spec{Torrent: tor, Content: path})
		for _, c := range cases {
			t.Run(fmt.Sprintf("%v, %s", f, c.name), func(t *testing.T) {
				dir := t.TempDir()
				c.do(t, dir)
				if c.err != nil {
					tr := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
					select {
					case <-tr.Done():
					case <-time.After(20 * time.Second):
						t.Fatal("no end")
					}
					err := tr.Err()
					var pe *fs.PathError
					if err == nil || !errors.As(err, &pe) || c.err != errAny && !errors.Is(err, c.err) {
						t.Errorf("got %v, want %v", err, c.err)
					}
					if n := fetched(tr.Stats()); n > 0 {
						t.Errorf("fetched %d bytes before it noticed", n)
					}
					tr.Close()
				} else {
					s := again(t, Config{}, tor, dir, x, o.addr)
					if got := fetched(s); c.all && got > 0 || s.From[Reuse] < c.reused-size || got+s.From[Reuse] != tor.Length {
						t.Errorf("reused %d, fetched %d of %d", s.From[Reuse], got, tor.Length)
					}
					sound(t, tor.Info, filepath.Join(dir, "tree"))
				}
				if got := readTree(t, outside); len(got) != 1 || got["precious"] != "precious" {
					t.Errorf("something was written outside: %v", got)
				}
			})
		}
	}
}

var errAny = errors.New("any")

// TestOldFileStays looks at a file that is being replaced: it is the old one or the new one.
func TestOldFileStays(t *testing.T) {
	old, next := random(4<<20, 1), random(4<<20, 2)
	next = next[:2<<20] + old[2<<20:]
	path := filepath.Join(t.TempDir(), "release.bin")
	if err := os.WriteFile(path, []byte(next), 0o644); err != nil {
		t.Fatal(err)
	}
	tor, _, err := piece.Build(context.Background(), path, piece.BuildConfig{PieceLength: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	o := seed(t, Spec{Torrent: tor, Content: path})
	dir := t.TempDir()
	dest := filepath.Join(dir, "release.bin")
	if err := os.WriteFile(dest, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, Config{LimitDown: 2 << 20})
	tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
	until(t, "progress", func() bool { return fetched(tr.Stats()) > 300_000 })
	sameFile(t, dest, []byte(old))
	tr.Close()
	sameFile(t, dest, []byte(old))
	tr = add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}})
	wait(t, tr, 20*time.Second)
	sameFile(t, dest, []byte(next))
	if s := tr.Stats(); s.From[Reuse] < 2<<20 {
		t.Errorf("reused %d bytes, want half and more", s.From[Reuse])
	}
}

// TestStopWhilePlacing has some files in place and others not.
func TestStopWhilePlacing(t *testing.T) {
	x := mixed()
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: 256 << 10})
			o := seed(t, Spec{Torrent: tor, Content: path})
			dir := t.TempDir()
			m := newMachine(t, Config{})
			tr := add(t, m, Spec{Torrent: tor, Dir: dir, Keep: true, Peers: []string{o.addr}})
			wait(t, tr, 20*time.Second)
			tr.Close()
			work := filepath.Join(dir, workDir(tor.Info))
			for i := range tor.Files { // what place does, up to the middle
				if i%2 == 1 || tor.Files[i].Length == 0 {
					continue
				}
				name := filepath.Join(dir, filepath.FromSlash(tor.Files[i].Name(tor.Info)))
				if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Rename(filepath.Join(work, "parts", fmt.Sprint(i)), name)); err != nil {
					t.Fatal(err)
				}
			}
			s := again(t, Config{}, tor, dir, x, o.addr)
			if n := fetched(s); n > 0 {
				t.Errorf("fetched %d bytes that were all here", n)
			}
			sound(t, tor.Info, filepath.Join(dir, "tree"))
		})
	}
}

func TestSelect(t *testing.T) {
	x := mixed()
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			tor, path := makeTree(t, x, piece.BuildConfig{Format: f, PieceLength: 128 << 10})
			o := seed(t, Spec{Torrent: tor, Content: path})
			dir := t.TempDir()
			var got int64
			var whole tree = tree{}
			for _, prefix := range []string{"share/many/01", "bin/", "share/"} {
				m := newMachine(t, Config{})
				tr := add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{o.addr}, InOrder: prefix == "bin/",
					Select: func(p string) bool { return strings.HasPrefix(p, "tree/"+prefix) }})
				wait(t, tr, 20*time.Second)
				s := tr.Stats()
				if s.Have != s.Wanted {
					t.Errorf("have %d of %d wanted", s.Have, s.Wanted)
				}
				got += fetched(s)
				for name, content := range x {
					if strings.HasPrefix(name, prefix) {
						whole[name] = content
					}
				}
				whole.equal(t, readTree(t, filepath.Join(dir, "tree")))
				leftovers(t, dir, "tree")

				// What is left of pieces that reach into other files is not given away.
				if f == piece.V1 {
					n := add(t, newMachine(t, Config{}), Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{m.addr, o.addr}})
					wait(t, n, 20*time.Second)
					if s := n.Stats(); s.Bad > 0 || s.Bans > 0 {
						t.Errorf("bad content from a machine that has a part: %+v", s)
					}
				}
				m.stop()
			}
			if most := tor.Length + 8*(128<<10); got > most {
				t.Errorf("fetched %d bytes of %d", got, tor.Length)
			}
		})
	}
}
