package swarm

import (
	"net"
	"testing"
	"time"
)

// gauged is a connection whose socket tells what it is told to.
type gauged struct {
	net.Conn
	g gauge
}

func (x *gauged) gauge() gauge { return x.g }

func TestWhoAcknowledgesNothingIsDeaf(t *testing.T) {
	now := time.Unix(1e9, 0)
	socket := &gauged{g: gauge{acked: 1}}
	c := &conn{nc: socket, s: &session{}, gone: true}
	look := func(after time.Duration, acked uint64, queued int64, want time.Duration) {
		t.Helper()
		now = now.Add(after)
		socket.g = gauge{acked: acked, queued: queued}
		c.look(now)
		if got := c.deaf(); got != want {
			t.Errorf("deaf for %v, want %v", got, want)
		}
	}
	look(0, 1, 0, 0)
	look(time.Hour, 1, 0, 0) // nothing was sent
	look(time.Second, 1, 100, time.Second)
	look(3*time.Second, 1, 100, 4*time.Second)
	look(time.Second, 50, 50, 0)
	look(time.Minute, 60, 40, 0) // nobody looked for long
	look(time.Second, 60, 40, time.Second)
}
