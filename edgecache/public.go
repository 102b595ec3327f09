package edgecache

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
)

// Public is the directory of a repository's signed files that a URL's path asks for, and the file's path in it.
// elsewhere are the URLs of the timestamp, if that is asked for, at other edges and at the origin.
func (e *Edge) Public(r *http.Request) (dir, file string, elsewhere []string, ok bool) {
	f, file := e.repositoryFile(r.URL.Path)
	if f == nil {
		return "", "", nil, false
	}
	c, _ := f.state()
	if file == timestampPath {
		elsewhere = e.duplicates(f, c.id, file, r.TLS != nil)
	}
	return f.repository.mirror.dir, file, elsewhere, true
}

// repositoryFile is what a URL's path asks for as a file of a repository: the first origin's at the top, each also below its id. The feed is nil if there is none.
func (e *Edge) repositoryFile(path string) (f *feed, file string) {
	path = strings.TrimPrefix(path, "/")
	id, below, _ := strings.Cut(path, "/")
	var first *feed
	for _, f := range e.feeds {
		switch c, _ := f.state(); {
		case c == nil || c.id == "":
		case c.id == id:
			return f, below
		case first == nil:
			first = f
		}
	}
	return first, path
}

// metainfoKey is the content that a metainfo's file describes.
func metainfoKey(file string) (key string, ok bool) {
	dir, name := filepath.Split(file)
	parts := strings.Split(name, ".")
	if dir != "targets/metainfo/" || len(parts) != 4 || !slices.Equal(parts[2:], []string{"torrent", "zst"}) {
		return "", false
	}
	return parts[1], true
}
