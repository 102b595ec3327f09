package swarm

import (
	"testing"
	"time"
)

func TestWhyNothingIsAsked(t *testing.T) {
	now := time.Now()
	free := &session{t: &Transfer{node: &Node{}}}
	limited := &Node{}
	limited.down.set(1<<20, 0)
	full := &session{t: &Transfer{node: limited}, outstanding: [lanes]int64{away: 1 << 20}}
	for _, tt := range []struct {
		name string
		c    *conn
		want IdleCause
	}{
		{"it has not said what it has", &conn{s: free, useful: 1}, IdleNothingWanted},
		{"it has nothing for us", &conn{s: free, introduced: true, choked: true}, IdleNothingWanted},
		{"it chokes us", &conn{s: free, introduced: true, useful: 1, choked: true}, IdleChoked},
		{"it refuses", &conn{s: free, introduced: true, useful: 1, rejects: manyRejects, restUntil: now.Add(time.Second)}, IdleRefused},
		{"it has refused", &conn{s: free, introduced: true, useful: 1, rejects: manyRejects, restUntil: now}, IdleQueueEmpty},
		{"enough is asked already", &conn{s: full, introduced: true, useful: 1}, IdleLimit},
		{"others bring it all", &conn{s: free, introduced: true, useful: 1}, IdleQueueEmpty},
	} {
		if got := tt.c.whyNotAsked(now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
