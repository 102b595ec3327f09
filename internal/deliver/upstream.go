package deliver

import (
	"net/url"
	"strings"

	"shoal/internal/webseed"
	"shoal/piece"
	"shoal/swarm/webfetch"
)

// Upstream is a repository on a web server, for those who follow it: a release.Files.
type Upstream struct{ *web }

// NewUpstream is the repository whose base is a URL. Close lets go of its connections.
func NewUpstream(base *url.URL, userAgent string) Upstream {
	return Upstream{newWeb(base.JoinPath("/"), userAgent)}
}

// Sources adds to where content comes from what its repository's server has to offer, by its v2 info hash in hex. It is told once something
// was read from there: before that nobody knows what the server is.
func (u Upstream) Sources(f *Found, v2 string) { u.sources(f, v2) }

func (w *web) sources(f *Found, v2 string) {
	seed := w.base.JoinPath("content", v2).String() + "/"
	if w.edge.Load() { // a copy: it has no tracker, and its web seed is no last resort
		f.WebSeeds = append(f.WebSeeds, seed)
		for _, base := range w.duplicates() {
			f.Spares = append(f.Spares, base.JoinPath("content", v2).String()+"/")
		}
	} else {
		f.Origin = []string{seed}
	}
	if !w.shoal.Load() {
		return
	}
	f.Trackers = w.trackers()
	if w.base.Scheme == "http" {
		f.Peers = []string{webfetch.HostPort(w.base)}
	}
}

// trackers are those that the server has: none, unless it is a Shoal origin. It is told once something was read from there.
func (w *web) trackers() [][]string {
	if !w.shoal.Load() || w.edge.Load() {
		return nil
	}
	return [][]string{{w.base.JoinPath("announce").String()}}
}

// WebSeed is a torrent as internal/webseed serves it, lying at path; index are the places of its files in the torrent.
func WebSeed(info *piece.Info, key, path string) (c webseed.Content, index []int) {
	c = webseed.Content{Key: key, Name: info.Name, Dir: info.Dir, Path: path}
	for i := range info.Files {
		if f := &info.Files[i]; f.Symlink == nil {
			c.Files = append(c.Files, webseed.File{Path: strings.Join(f.Path, "/"), Length: f.Length, Root: f.Root})
			index = append(index, i)
		}
	}
	return c, index
}
