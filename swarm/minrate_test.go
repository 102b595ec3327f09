package swarm

import (
	"testing"
	"time"
)

// Who gets nothing of an origin for a while since it gives to others waits for his turn, and does not go to its other door; to others' he goes.
func TestTurnInACrowd(t *testing.T) {
	t.Parallel()
	const host = "198.18.0.1:7070"
	now := time.Now()
	origin := func(joined time.Duration) []*conn {
		return []*conn{{pin: host, introduced: true, met: true, role: RoleOrigin, joined: now.Add(-joined)}}
	}
	for _, c := range []struct {
		what   string
		conns  []*conn
		last   time.Duration // since when it has got nothing
		rate   int64         // the least
		door   bool          // that it waits with the origin's own web server
		mirror bool          // and with another
	}{
		{"a moment", origin(time.Minute), time.Second, DefaultMinRate, true, true},
		{"a while", origin(time.Minute), 4 * time.Second, DefaultMinRate, true, false},
		{"never", origin(4 * time.Second), time.Hour, DefaultMinRate, true, false},
		{"too long", origin(time.Minute), 3 * slowTime, DefaultMinRate, false, false},
		{"too long, and no rate is too low", origin(time.Minute), 3 * slowTime, 0, true, false},
		{"no origin is there", []*conn{{pin: host, introduced: true, useful: 1, joined: now.Add(-time.Minute)}}, 4 * time.Second, 0, false, false},
		{"nobody is there", nil, 4 * time.Second, 0, false, false},
	} {
		node := New(Config{})
		node.SetLimits(Limits{MinRate: c.rate})
		s := &session{book: newBook(), conns: c.conns, t: &Transfer{node: node}, lastPeer: now.Add(-c.last), companySince: now.Add(-c.last)}
		s.book.pinned[host] = &entry{conn: true}
		if got := s.usefulPeers(&webSeed{host: host}, now); got != c.door {
			t.Errorf("%s: waits for the origin %v, want %v", c.what, got, c.door)
		}
		if got := s.usefulPeers(&webSeed{host: "198.18.0.2:7070"}, now); got != c.mirror {
			t.Errorf("%s: waits with another server %v, want %v", c.what, got, c.mirror)
		}
	}
}
