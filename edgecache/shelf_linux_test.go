package edgecache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"shoal/internal/disk"
	"shoal/internal/swarmtest"
	"shoal/piece"
)

// taken is what really lies on the disk below a directory.
func taken(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The quota holds at every moment of a long life of fetches that begin, go on, end and are given up, of demand, pins and evictions, and of deaths in
// between, after which the shelf has what lies on the disk; of signed files that come beside, small and large, and of metadata that grows, changes and goes.
func TestQuotaHoldsAtEveryMoment(t *testing.T) {
	steps := 800
	if swarmtest.Required("long") {
		steps = 10_000
	}
	r := rand.New(rand.NewPCG(3, 4))
	type offer struct {
		key     string
		torrent *piece.Torrent
		body    []byte
	}
	var offers []offer
	for i := range 24 {
		body := make([]byte, 1+r.IntN(200_000))
		rand.NewChaCha8([32]byte{byte(i)}).Read(body)
		path := filepath.Join(t.TempDir(), fmt.Sprint("content-", i))
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
		tor, _, err := piece.Build(t.Context(), path, piece.BuildConfig{PieceLength: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, offer{tor.Info.Key(), tor, body})
	}
	const quota = 5 << 19 // of which some is spare
	dir := t.TempDir()
	e := &Edge{cfg: Config{StateDir: dir}}
	open := func() *shelf {
		s, err := openShelf(dir, quota, 0)
		if err != nil {
			t.Fatal(err)
		}
		e.shelf = s
		e.measure()
		return s
	}
	s := open()
	now := noon
	coming := map[string]int{} // bytes that have come of what is being fetched
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(key string) status {
		_, busy := coming[key]
		return status{pinned: s.pinned(now)[key] != (pin{}), busy: busy}
	}
	drop := func(step int, victims []string) {
		t.Helper()
		for _, key := range victims {
			if at(key).pinned {
				t.Fatalf("step %d: a pinned content goes", step)
			}
			must(s.drop(key))
			delete(coming, key)
		}
	}
	most, refused, grew := int64(0), 0, 0
	for step := range steps {
		now = now.Add(time.Duration(r.IntN(3600)) * time.Second)
		o := &offers[min(r.IntN(len(offers)), r.IntN(len(offers)))]
		switch n := r.IntN(30); {
		case n < 8: // somebody asks
			s.touch(o.key, r.Float64(), now)
			if h, ok := s.get(o.key); ok && (h.whole || coming[o.key] > 0) {
				break
			}
			for {
				victims, err := s.reserve(o.key, held{name: o.torrent.Name, bytes: o.torrent.Length, cost: costOf(o.torrent)}, at, now)
				if errors.Is(err, errNoRoom) {
					break
				}
				must(err)
				if len(victims) == 0 {
					must(s.describe(o.key, o.torrent))
					must(os.MkdirAll(s.contentDir(o.key), 0o755))
					coming[o.key] = 1
					break
				}
				drop(step, victims)
			}
		case n < 16: // more comes of what is being fetched
			for i := range offers {
				o := &offers[i]
				have, ok := coming[o.key]
				if !ok || r.IntN(3) == 0 {
					continue
				}
				part := filepath.Join(s.contentDir(o.key), ".shoal-parts")
				have = min(have+r.IntN(100_000), len(o.body))
				coming[o.key] = have
				must(os.WriteFile(part, o.body[:have], 0o644))
				if have == len(o.body) {
					must(os.Rename(part, filepath.Join(s.contentDir(o.key), o.torrent.Name)))
					must(s.keep(o.key, o.torrent, now))
					delete(coming, o.key)
				}
			}
		case n < 17:
			must(s.setPin(o.key, &pin{Until: now.Add(time.Hour)}))
		case n < 18: // withdrawn
			must(s.drop(o.key))
			delete(coming, o.key)
		case n < 25: // metadata: more, another, or less
			path := filepath.Join(dir, "repository", fmt.Sprint("dir-", r.IntN(4)), fmt.Sprint("file-", r.IntN(20)))
			if r.IntN(4) == 0 {
				os.Remove(path)
				if r.IntN(2) == 0 {
					e.measure()
				}
				break
			}
			b := make([]byte, r.IntN([]int{60_000, 60_000, 60_000, 900_000}[r.IntN(4)]))
			for {
				victims, err := s.grow(max(0, growth(path, int64(len(b)))), "", at, now)
				if errors.Is(err, errNoMetadataRoom) {
					refused++
					break
				}
				must(err)
				if len(victims) == 0 {
					must(os.MkdirAll(filepath.Dir(path), 0o755))
					must(disk.ReplaceFile(path, b, 0o644))
					break
				}
				grew++
				drop(step, victims)
			}
		case n < 28: // a signed file
			body := o.body[:min(len(o.body), 60_000)]
			key := fmt.Sprintf("%x", sha256.Sum256(body))
			s.touch(key, 1, now)
			if _, ok := s.get(key); ok {
				break
			}
			for {
				victims, err := s.reserve(key, held{name: "file", bytes: int64(len(body)), cost: fileCost(int64(len(body))), file: true}, at, now)
				if errors.Is(err, errNoRoom) {
					break
				}
				must(err)
				if len(victims) == 0 {
					must(s.keepFile(key, body, now))
					break
				}
				drop(step, victims)
			}
		default: // kill -9, at any moment of a removal as well
			if r.IntN(2) == 0 {
				os.Remove(s.recordPath(o.key))
			}
			s.saveHeats()
			before := map[string]bool{}
			for _, key := range s.keys() {
				if _, err := os.Stat(s.recordPath(key)); err == nil {
					before[key] = true
				}
				if h, _ := s.get(key); h.file {
					before[key] = true
				}
			}
			clear(coming)
			s = open()
			for key := range before {
				h, ok := s.get(key)
				if !ok || !h.whole {
					t.Fatalf("step %d: a whole content is lost", step)
				}
				if !h.file {
					must(s.unchanged(key))
				}
			}
		}
		n := taken(t, dir)
		if most = max(most, n); n > quota {
			t.Fatalf("step %d: %d bytes on the disk, the quota is %d", step, n, quota)
		}
		if used, _, _ := s.usage(); used > quota || used < n {
			t.Fatalf("step %d: %d bytes are counted, and %d on the disk; the quota is %d", step, used, n, quota)
		}
	}
	if most < quota/2 || grew == 0 || refused == 0 {
		t.Errorf("never more than %d of %d bytes were used, contents went %d times for metadata, which had no room %d times: this shows nothing", most, quota, grew, refused)
	}
}

// What changed is told from what did not without reading it, and a content without a record is not whole.
func TestShelfNoticesChange(t *testing.T) {
	path := swarmtest.Tree(t, filepath.Join(t.TempDir(), "tree"), 100_000)
	s, key, tor := newShelfWith(t, path)
	dir := s.dir
	if n := taken(t, s.contentDir(key)); n > costOf(tor) {
		t.Errorf("it takes %d bytes, and %d were reserved", n, costOf(tor))
	}
	if err := s.unchanged(key); err != nil {
		t.Error(err)
	}
	tool := filepath.Join(s.contentDir(key), tor.Name, "bin", "tool")
	if err := os.WriteFile(tool, []byte("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.unchanged(key); !errors.Is(err, errChanged) {
		t.Errorf("a file was written to: %v", err)
	}
	if err := s.doubt(key, s.written(key)); err != nil {
		t.Fatal(err)
	}
	s, err := openShelf(dir, 10<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := s.get(key); !ok || h.whole || !h.orphan {
		t.Errorf("after it was doubted: %+v, %v", h, ok)
	}
	if err := s.drop(key); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
