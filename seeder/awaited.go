package seeder

import (
	"os"
	"path/filepath"
	"strings"

	"shoal/internal/disk"
	"shoal/internal/release"
)

// awaited is content that a repository names, as far as that is known, and that is not on offer yet. Its signed files can be
// read as soon as they are there, so who reads them is here before SyncRepository is through: a 404 would tell him that
// there is no such content, and nothing else asks for it here again.
type awaited struct {
	repository *release.Repository // nil: none
	read       disk.Stamp          // of its timestamp when it was last read what there is; zero: not yet
	keys       map[string]bool     // of what was found then and is not on offer yet
}

// ExpectRepository says that SyncRepository will be called with r, and again when it has changed: until it is through, who asks
// for content that r may have is told to come again.
func (s *Seeder) ExpectRepository(r *release.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited.repository = r
}

// await notes what is to be offered of a repository whose timestamp looked like read before it was read.
func (s *Seeder) await(read disk.Stamp, keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited.read, s.awaited.keys = read, make(map[string]bool, len(keys))
	for _, key := range keys {
		s.awaited.keys[key] = true
	}
}

// settle says that a content is on offer, or will not be.
func (s *Seeder) settle(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.awaited.keys, key)
}

// awaits says whether the path of a URL, without its slash, is that of a content which may soon be on offer.
func (s *Seeder) awaits(path string) bool {
	below, ok := strings.CutPrefix(path, "content/")
	if !ok {
		return false
	}
	key, _, _ := strings.Cut(below, "/")
	c := s.find(key)
	s.mu.Lock()
	r, read, soon := s.awaited.repository, s.awaited.read, s.awaited.keys[key]
	s.mu.Unlock()
	if soon || r == nil || c != nil && c.Gone() == nil {
		return soon
	}
	now := timestamp(r)
	return now != disk.Stamp{} && !now.Equal(read) // what was published since may name it
}

// timestamp is what a repository's timestamp looks like: another one when something was published. Zero: there is none.
func timestamp(r *release.Repository) (s disk.Stamp) {
	if fi, err := os.Stat(filepath.Join(r.Public(), "metadata", "timestamp.json")); err == nil {
		s = disk.StampOfInfo(fi)
	}
	return s
}
