package seeder

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"shoal/piece"
)

// ServeHTTP serves /NAME.torrent, /NAME (its metainfo, if that is asked for) and what webseed does.
func (s *Seeder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	s.mu.Lock()
	c := s.byName[name]
	asked := c != nil && strings.Contains(r.Header.Get("Accept"), piece.MetainfoType)
	if base, ok := strings.CutSuffix(name, ".torrent"); ok && c == nil {
		c = s.byName[base]
		asked = c != nil
	}
	soon := c == nil && s.expects(name)
	s.mu.Unlock()
	if soon || s.awaits(name) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "this content is not on offer yet: come again", http.StatusServiceUnavailable)
		return
	}
	if !asked {
		s.web.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	if err := c.Gone(); err != nil {
		http.Error(w, "content has changed since it was described", http.StatusGone)
		return
	}
	t, err := s.Torrent(c)
	if err != nil {
		s.cfg.Log.Error("reading metainfo", "name", c.Name, "err", err)
		http.Error(w, "metainfo cannot be read", http.StatusInternalServerError)
		return
	}
	// Who takes a magnet link, too, has BitTorrent.
	if link := t.ShortMagnet(); len(link) <= longestLink && strings.Contains(r.Header.Get("Accept"), piece.MagnetType) && r.Method == http.MethodGet && c.Transfer.Refers(t, time.Now()) {
		t = nil // it may be large, and many wait
		if !c.Transfer.Turn(r.Context()) {
			http.Error(w, "this content is not on offer any more", http.StatusGone)
			return
		}
		refer(w, link)
		return
	}
	if r.Host != "" {
		addHost(t, r.Host)
	}
	w.Header().Set("Vary", "Accept")
	var b bytes.Buffer
	if err := t.Write(&b); err != nil {
		http.Error(w, "metainfo cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", piece.MetainfoType)
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", c.Name+".torrent"))
	w.Header().Set("Content-Length", fmt.Sprint(b.Len()))
	if r.Method == http.MethodGet {
		// Who takes less than 16 KiB/s is let go; not every ResponseWriter has deadlines.
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30*time.Second + time.Duration(b.Len()>>14)*time.Second))
		w.Write(b.Bytes())
	}
}

// expects says whether a path is that of a content which is not described yet. s.mu is held.
func (s *Seeder) expects(path string) bool {
	if !s.cfg.Plain {
		return false
	}
	name, _, _ := strings.Cut(path, "/")
	return s.expected[name] && s.byName[name] == nil || s.expected[strings.TrimSuffix(path, ".torrent")]
}

// addHost adds to a description what clients that derive nothing of its address are told: the tracker and the web seed at the host
// that was asked, where none are configured.
func addHost(t *piece.Torrent, host string) {
	if len(t.Trackers) == 0 {
		t.Trackers = [][]string{{"http://" + host + tracker}}
	}
	if len(t.WebSeeds) == 0 {
		t.WebSeeds = []string{"http://" + host + "/content/" + t.Key() + "/"}
	}
}

// tracker is the path of the tracker beside what is served.
const tracker = "/announce"

// longestLink is what a header is sure to have room for; with many trackers a link may be longer.
const longestLink = 2 << 10

// refer leaves it to peers to describe a content to who asks: he finds it by a magnet link. What can be is left out, as all of a crowd are told
// it in their first seconds: that the server is a peer and a web seed goes without saying, and a tracker where none is named; and what nobody is to
// keep needs no date (though RFC 9110 wants one in all answers).
func refer(w http.ResponseWriter, link string) {
	h := w.Header()
	h.Set("Location", link)
	h.Set("Cache-Control", "no-store") // it is a matter of the moment, and some caches keep redirections
	h["Date"] = nil
	w.WriteHeader(http.StatusFound)
}

// Torrent is a content's description with the configured trackers and web seeds.
func (s *Seeder) Torrent(c *Content) (*piece.Torrent, error) {
	t := c.Transfer.Torrent()
	if t == nil {
		var err error
		if t, err = piece.ReadFile(c.torrent); err != nil {
			return nil, err
		}
	}
	shown := *t
	shown.Trackers = append(slices.Clone(t.Trackers), s.cfg.Trackers...)
	shown.WebSeeds = append(slices.Clone(t.WebSeeds), s.cfg.WebSeeds...)
	return &shown, nil
}
