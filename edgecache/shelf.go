package edgecache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/piece"
)

// shelf is what lies in the state directory, and the quota that it is held to:
//
//	content/KEY/           a content, below its own name, or its parts while it is fetched
//	content/KEY.json       its record, once it is whole
//	metainfo/KEY.torrent   what describes it
//	file/KEY               a signed file, see file.go: it is whole if it is there
//	heat.json, pins.json   demand and pins
//
// Room is reserved before anything is written, and given back when it is gone. The files are the truth: a shelf that is opened after kill -9 has what they say.
// Its methods are safe for concurrent use.
type shelf struct {
	dir   string
	quota int64 // bytes
	floor int64 // bytes of the disk that stay free
	free  func(path string) (int64, error)

	foreign []string // what it has found between its own, and has not made

	measuring sync.Mutex // held while metadata is gone through, before mu

	mu    sync.Mutex
	held  map[string]*held
	heats map[string]heat // of what is here and of what was only asked for
	pins  map[string]pin  // by what was pinned: APP:CHANNEL, APP@VERSION or an info hash
	// See metadata.go; all in bytes.
	meta     int64 // of metadata beside contents
	grown    int64 // that it has grown by, ever
	measured int64 // grown when it was measured last
	writers  int   // see writing
}

// held is a content that has room on the shelf.
type held struct {
	name    string
	bytes   int64 // of content
	cost    int64 // of the disk
	written int64 // of the disk that it took when its fetch began
	whole   bool
	suspect bool      // it was whole, and its files do not look as they did: they are read before anything becomes of them
	file    bool      // it is a signed file
	at      time.Time // when it was whole
	read    time.Time // when it was read and compared last: as it came, or later
	orphan  bool      // parts that nobody has asked for since the start
	dropped bool      // it is being removed
}

// errNoRoom says that a content is not worth what would have to go for it, or does not fit at all.
var errNoRoom = errors.New("there is no room for it within the quota")

// validKey says whether a name is an info hash in hex.
func validKey(s string) bool {
	return (len(s) == 64 || len(s) == 40) && strings.Trim(s, "0123456789abcdef") == ""
}

func (s *shelf) contentDir(key string) string { return filepath.Join(s.dir, "content", key) }
func (s *shelf) recordPath(key string) string { return s.contentDir(key) + ".json" }
func (s *shelf) filePath(key string) string   { return filepath.Join(s.dir, "file", key) }
func (s *shelf) torrentPath(key string) string {
	return filepath.Join(s.dir, "metainfo", key+".torrent")
}

// usage is how much of the quota is taken or promised, and what is whole of it.
func (s *shelf) usage() (used, whole int64, contents int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		if h.whole {
			whole += h.cost
			if !h.file {
				contents++
			}
		}
	}
	return s.taken(), whole, contents
}

// get is what the shelf knows of a content.
func (s *shelf) get(key string) (held, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[key]
	if h == nil {
		return held{}, false
	}
	return *h, true
}

// keys are those of all that has room.
func (s *shelf) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.held))
}

// status says of a content what the policy does not find on the shelf.
type status struct {
	pinned, owned, busy bool
	coming              bool  // it is being fetched,
	have                int64 // and that many bytes of it have come
}

// items are the contents as the policy sees them, without one, and coming is how much of the disk those of them will take that are being fetched, and have not yet. at
// tells how they stand; it is not called with the shelf's lock held.
func (s *shelf) items(at func(key string) status, without string) (items []item, coming int64) {
	for _, key := range s.keys() {
		st := at(key)
		s.mu.Lock()
		if h := s.held[key]; h != nil && key != without && !h.dropped {
			i := item{key: key, bytes: h.cost, heat: s.heats[key], pinned: st.pinned, owned: st.owned, busy: st.busy}
			if h.orphan {
				i.heat, i.owned = heat{}, false
			}
			items = append(items, i)
			if st.coming && !h.whole {
				coming += max(0, h.cost-max(h.written, st.have))
			}
		}
		s.mu.Unlock()
	}
	return items, coming
}

// reserve takes room for a content. If something has to go for it first, it says what, and has reserved nothing: it is called again when that is
// done, by one at a time. An error is errNoRoom, or about the disk. at tells how the contents stand.
func (s *shelf) reserve(key string, h held, at func(key string) status, now time.Time) (victims []string, err error) {
	free, err := s.free(s.dir)
	if err != nil {
		return nil, err
	}
	st := at(key)
	items, coming := s.items(at, key)
	h.written = min(h.cost, s.written(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := int64(0)
	if h := s.held[key]; h != nil {
		mine = h.cost
	}
	need := max(s.used()-mine+h.cost-s.quota, h.cost-h.written+coming+s.floor-free)
	gone, ok := admit(items, item{key: key, bytes: h.cost, heat: s.heats[key], pinned: st.pinned, owned: st.owned}, need, now)
	if !ok {
		return nil, errNoRoom
	}
	if len(gone) == 0 {
		s.held[key] = &h
	}
	return keysOf(gone), nil
}

// written is how much of the disk the files of a content take that is not whole.
func (s *shelf) written(key string) (n int64) {
	filepath.WalkDir(s.contentDir(key), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if f, err := os.Open(path); err == nil {
			n += disk.Allocated(f)
			f.Close()
		}
		return nil
	})
	return n
}

// short is how much there is too much of, in bytes; 0 or less: nothing.
func (s *shelf) short() int64 {
	free, err := s.free(s.dir)
	if err != nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.used()-s.quota, s.floor-free)
}

// over is what has to go because there is too much.
func (s *shelf) over(at func(key string) status, now time.Time) (victims []string) {
	items, _ := s.items(at, "")
	gone, _ := evict(items, s.short(), now)
	return keysOf(gone)
}

func keysOf(items []item) (keys []string) {
	for _, i := range items {
		keys = append(keys, i.key)
	}
	return keys
}

// describe keeps what describes a content that has room.
func (s *shelf) describe(key string, t *piece.Torrent) error {
	return disk.Write(s.torrentPath(key), 0o644, t.Write)
}

// keep notes that a content is whole.
func (s *shelf) keep(key string, t *piece.Torrent, now time.Time) error {
	stamps, err := deliver.Stamps(t.Info, filepath.Join(s.contentDir(key), t.Name))
	if err != nil {
		return err
	}
	return s.keepAs(key, t, stamps, now, now)
}

// keepAs is keep of a content that was whole at a time, was read at another, and looked like that before.
func (s *shelf) keepAs(key string, t *piece.Torrent, stamps []disk.Stamp, at, read time.Time) error {
	s.mu.Lock()
	h := s.held[key]
	s.mu.Unlock()
	if h == nil {
		return fmt.Errorf("%s has no room", key)
	}
	r := record{Format: recordFormat, Name: t.Name, Bytes: t.Length, Cost: h.cost, At: at.UTC().Truncate(time.Second), Stamps: stamps}
	if !read.Equal(at) {
		r.Read = read.UTC().Truncate(time.Second)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(s.recordPath(key), b, 0o644); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.whole, h.suspect, h.orphan, h.at, h.read = true, false, false, at, read
	return nil
}

// keepFile keeps a signed file that has room.
func (s *shelf) keepFile(key string, b []byte, now time.Time) error {
	if err := disk.WriteFile(s.filePath(key), b, 0o644); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[key]
	if h == nil {
		return fmt.Errorf("%s has no room", key)
	}
	h.whole, h.at = true, now
	return nil
}

// suspect takes back that a content, of which so much is written, is whole until its files were read. Its record stays, which after a restart as well says what they do not look like any more.
func (s *shelf) suspect(key string, written int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[key]; h != nil {
		h.whole, h.suspect, h.written = false, true, min(h.cost, written)
	}
}

// doubt takes back for good that a content is whole: some of its files have changed.
func (s *shelf) doubt(key string, written int64) error {
	s.mu.Lock()
	if h := s.held[key]; h != nil {
		h.whole, h.suspect, h.written = false, false, min(h.cost, written)
	}
	s.mu.Unlock()
	return s.unlink(s.recordPath(key))
}

// drop removes a content, and gives its room back when that is done.
func (s *shelf) drop(key string) error {
	s.mu.Lock()
	if h := s.held[key]; h != nil {
		h.dropped, h.whole = true, false
	}
	s.mu.Unlock()
	if err := s.remove(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, key)
	return nil
}

func (s *shelf) remove(key string) error {
	if err := s.unlink(s.recordPath(key)); err != nil {
		return err
	}
	if err := os.RemoveAll(s.contentDir(key)); err != nil {
		return err
	}
	return errors.Join(s.unlink(s.torrentPath(key)), s.unlink(s.filePath(key)))
}

// unlink removes a file for good, if it is there.
func (s *shelf) unlink(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// unchanged says whether the files of a whole content look as they did when they were verified.
func (s *shelf) unchanged(key string) error {
	r, err := readRecord(s.recordPath(key))
	if err != nil {
		return err
	}
	t, err := piece.ReadFile(s.torrentPath(key))
	if err != nil {
		return err
	}
	now, err := deliver.Stamps(t.Info, filepath.Join(s.contentDir(key), t.Name))
	if err != nil {
		return err
	}
	if !slices.EqualFunc(now, r.Stamps, disk.Stamp.Equal) {
		return fmt.Errorf("%s: %w", t.Name, errChanged)
	}
	return nil
}

var errChanged = errors.New("a file is not what was verified")
