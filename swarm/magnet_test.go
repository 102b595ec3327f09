package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/piece"
)

// magnet is a Spec that knows no more than info hashes.
func magnet(tor *piece.Torrent, v1, v2 bool, spec Spec) Spec {
	if v1 {
		spec.V1, spec.HasV1 = tor.V1, true
	}
	if v2 {
		spec.V2, spec.HasV2 = tor.V2, true
	}
	return spec
}

func TestMagnet(t *testing.T) {
	many := mixed()
	for i := range 300 {
		many[fmt.Sprintf("a rather long directory name to make the metadata long/%d", i)] = random(20_000+i, byte(i))
	}
	trees := map[string]struct {
		tree tree
		size int64
	}{
		"a long file":    {tree{"big": random(20<<20, 1)}, 16 << 10}, // 1280 pieces: three requests for its layer
		"many files":     {many, 16 << 10},
		"pieces of 1 Mi": {tree{"big": random(5<<20+1, 1), "tool*": random(100, 2)}, 1 << 20},
	}
	for name, c := range trees {
		for _, f := range formats {
			tor, path := makeTree(t, c.tree, piece.BuildConfig{Format: f, PieceLength: c.size})
			for _, by := range []struct {
				name   string
				v1, v2 bool
			}{{"btih", true, false}, {"btmh", false, true}, {"both", true, true}} {
				if by.v1 && !tor.HasV1 || by.v2 && !tor.HasV2 {
					continue
				}
				t.Run(fmt.Sprintf("%s, %v, %s", name, f, by.name), func(t *testing.T) {
					o := seed(t, Spec{Torrent: tor, Content: path})
					m := newMachine(t, Config{})
					dir := t.TempDir()
					tr := add(t, m, magnet(tor, by.v1, by.v2, Spec{Dir: dir, Peers: []string{o.addr}}))
					wait(t, tr, 30*time.Second)
					s := tr.Stats()
					if s.From[Origin] != tor.Length || s.Wasted != 0 || s.Bans != 0 {
						t.Errorf("%d bytes of content: %+v", tor.Length, s)
					}
					if got := tr.Torrent(); !bytes.Equal(got.Bytes, tor.Bytes) {
						t.Error("the metadata is not what the seed has")
					}
					tr.Close()
					c.tree.equal(t, readTree(t, filepath.Join(dir, "tree")))
					leftovers(t, dir, "tree")
				})
			}
		}
	}
}

// TestMagnetAmongTheIgnorant has peers that do not know the metadata either, until a seed comes.
func TestMagnetAmongTheIgnorant(t *testing.T) {
	x := tree{"big": random(3<<20, 1)}
	tor, path := makeTree(t, x, piece.BuildConfig{})
	var trs []*Transfer
	var addrs []string
	for i := range 3 {
		m := newMachine(t, Config{})
		dir := t.TempDir()
		trs = append(trs, add(t, m, magnet(tor, i != 1, i != 0, Spec{Dir: dir, Peers: addrs})))
		addrs = append(addrs, m.addr)
	}
	until(t, "a connection between two that know nothing", func() bool { return trs[2].Stats().Peers > 0 })
	o := seed(t, Spec{Torrent: tor, Content: path})
	trs[2].AddPeers(o.addr) // only the last one meets the seed
	for _, tr := range trs {
		wait(t, tr, 30*time.Second)
		tr.Close()
		x.equal(t, readTree(t, filepath.Join(tr.spec.Dir, "tree")))
	}
}

// TestLeaves looks at where the hashes of blocks come from, and that they are used.
func TestLeaves(t *testing.T) {
	x := mixed()
	x["big"] = random(8<<20, 3)
	dir := t.TempDir()
	path := filepath.Join(dir, "tree")
	x.write(t, path)
	kept := filepath.Join(dir, "leaves")
	f, err := os.Create(kept)
	if err != nil {
		t.Fatal(err)
	}
	tor, _, err := piece.Build(context.Background(), path, piece.BuildConfig{PieceLength: 256 << 10, Leaves: f})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	good, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	bad, short := filepath.Join(dir, "bad"), filepath.Join(dir, "short")
	for name, b := range map[string][]byte{bad: []byte(random(len(good), 8)), short: good[:len(good)/3]} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, leaves string }{
		{"from a file", kept}, {"computed", ""}, {"from a damaged file", bad}, {"from a short file", short},
		{"from a file that is not there", filepath.Join(dir, "none")},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := seed(t, Spec{Torrent: tor, Content: path, Leaves: c.leaves})
			m := newMachine(t, Config{})
			tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{o.addr}})
			wait(t, tr, 20*time.Second)
			first := tr.counts.proven.Load()
			t.Logf("%d of %d bytes were proven by their leaves as they came", first, tor.Length)
			if first < tor.Length/4 {
				t.Errorf("only %d of %d bytes were proven by their leaves", first, tor.Length)
			}
			// Who has fetched hands on leaves, too, from what it kept.
			m2 := newMachine(t, Config{})
			tr2 := add(t, m2, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{m.addr}})
			wait(t, tr2, 20*time.Second)
			if n := tr2.counts.proven.Load(); n < tor.Length/4 {
				t.Errorf("only %d of %d bytes were proven by their leaves at the second", n, tor.Length)
			}
		})
	}
}

// change replaces what stands in an info dictionary and keeps its length.
func change(t testing.TB, in *piece.Info, key string, at int) *piece.Torrent {
	t.Helper()
	b := bytes.Clone(in.Bytes)
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		t.Fatalf("no %q", key)
	}
	b[i+len(key)+at] ^= 1
	changed, err := piece.ParseInfo(b)
	if err != nil {
		t.Fatal(err)
	}
	return &piece.Torrent{Info: changed}
}

// TestHalvesDisagree: a hybrid whose two halves describe different content gets no name.
func TestHalvesDisagree(t *testing.T) {
	long := tree{"big": random(1<<20, 1)}
	short := tree{"big": random(60_000, 1)}
	setLayer := func(t *testing.T, from, to *piece.Torrent) {
		if l := from.Layer(0); l != nil {
			if err := to.SetLayer(0, l); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		tree  tree
		key   string
		at    int
		layer bool
	}{
		{"wrong SHA-1, layers known", long, "6:pieces", 10, true},
		{"wrong SHA-1, layers not known", long, "6:pieces", 10, false},
		{"wrong root of a long file", long, "11:pieces root32:", 5, false},
		{"wrong SHA-1 of a short file", short, "6:pieces", 10, false},
		{"wrong root of a short file", short, "11:pieces root32:", 5, false},
	} {
		for _, way := range []string{"a v2 peer", "a v1 peer", "a web seed"} {
			if way == "a v1 peer" && c.key == "6:pieces" || way == "a web seed" && c.key == "6:pieces" && !c.layer && len(c.tree["big"]) > 64<<10 {
				continue // nobody there who could prove more than that the content is not the v1 half's
			}
			t.Run(c.name+", "+way, func(t *testing.T) {
				tor, path := makeTree(t, c.tree, piece.BuildConfig{PieceLength: 64 << 10})
				wrong, seeds := change(t, tor.Info, c.key, c.at), change(t, tor.Info, c.key, c.at)
				if c.layer {
					setLayer(t, tor, wrong)
				}
				if c.key == "6:pieces" {
					setLayer(t, tor, seeds)
				}
				spec := Spec{Torrent: wrong, Dir: t.TempDir()}
				switch way {
				case "a web seed":
					// It serves by name: its torrent is the right one, its URL the wrong one's.
					srv := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(path))))
					defer srv.Close()
					spec.WebSeeds = []string{srv.URL + "/"}
				default:
					o := newMachine(t, Config{})
					st := add(t, o, Spec{Torrent: seeds, Content: path})
					if way == "a v1 peer" { // one that knows nothing of the other half
						id := *st.id.Load()
						id.hasV2 = false
						st.id.Store(&id)
					}
					spec.Peers = []string{o.addr}
				}
				tr := add(t, newMachine(t, Config{}), spec)
				failsWith(t, tr, ErrInconsistent)
				if err := tr.Err(); !errors.Is(err, piece.ErrCorrupt) {
					t.Errorf("%v is no %v", err, piece.ErrCorrupt)
				}
				tr.Close()
				if _, err := os.Lstat(filepath.Join(spec.Dir, "tree", "big")); err == nil {
					t.Error("it got its name")
				}
			})
		}
	}
	t.Run("two hashes of different torrents", func(t *testing.T) {
		tor, path := makeTree(t, long, piece.BuildConfig{})
		o := newMachine(t, Config{})
		st := add(t, o, Spec{Torrent: tor, Content: path})
		id := *st.id.Load()
		id.hasV2 = false // else it would say at once that it has another one
		st.id.Store(&id)
		spec := magnet(tor, true, true, Spec{Dir: t.TempDir(), Peers: []string{o.addr}})
		spec.V2[3] ^= 1
		failsWith(t, add(t, newMachine(t, Config{}), spec), ErrInconsistent)
	})
}

// failsWith waits for the end of a transfer that must not succeed.
func failsWith(t testing.TB, tr *Transfer, want error) {
	t.Helper()
	select {
	case <-tr.Done():
	case <-time.After(20 * time.Second):
		t.Fatalf("no end: %+v", tr.Stats())
	}
	if err := tr.Err(); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
