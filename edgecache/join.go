package edgecache

import (
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// rejoin speaks with those that were to be there from the beginning, and are not. told are those that were reached once,
// or of which it was told that they cannot be.
func (r *ring) rejoin(list *memberlist.Memberlist, told map[string]bool) {
	if r.drained.Load() {
		return
	}
	for _, addr := range r.cfg.Join {
		if r.isAt(addr) {
			told[addr] = true
			continue
		}
		_, err := list.Join([]string{addr})
		switch {
		case err == nil:
			told[addr] = true
		case told[addr]:
			r.log.Debug("an edge to join is not there", "addr", addr, "err", err)
		case otherKey(err.Error()):
			told[addr] = true
			r.log.Warn("an edge to join has another --cluster-key: give all edges of a cluster the same one", "addr", addr)
		case time.Since(r.begun) >= findTime:
			told[addr] = true
			_, why, _ := strings.Cut(err.Error(), "* ") // "1 error occurred:" stands before it
			r.log.Warn("an edge to join is not found: is this its --gossip address, and do TCP and UDP get there? It is looked for further on", "addr", addr, "err", strings.TrimSpace(why))
		}
	}
}

// isAt says whether a member gossips at HOST:PORT.
func (r *ring) isAt(addr string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.places {
		if at.String() == addr {
			return true
		}
	}
	return false
}

// otherKey says whether memberlist speaks of something that was encrypted with another key.
func otherKey(text string) bool { return strings.Contains(text, "could decrypt the message") }

// gossipLog is where memberlist's own log goes.
type gossipLog struct{ r *ring }

func (w gossipLog) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	w.r.log.Debug("gossip", "text", text)
	if otherKey(text) && strings.Contains(text, "from=") {
		w.r.stranger.Do(func() {
			_, from, _ := strings.Cut(text, "from=")
			w.r.log.Warn("somebody with another --cluster-key speaks to this edge's gossip, and is kept out: give all edges of a cluster the same one", "from", from)
		})
	}
	return len(b), nil
}
