package swarm

import "time"

// A machine that has lost its power or its link says nothing, and TCP tries for many minutes. But a socket tells that
// what it has sent is not acknowledged, and a peer that is there acknowledges within a round trip.
const (
	// ackTime is how often each socket is looked at.
	ackTime = 500 * time.Millisecond
	// deafTime without an acknowledgement, and what a peer was leased goes to another.
	deafTime = 2 * time.Second
	// lostTime without one, and the connection is ended.
	lostTime = 30 * time.Second
)

// deaf is for how long a peer had acknowledged nothing of what it was sent when its socket was last looked at: a machine
// that is too busy to look must not take others for dead. It is 0 where nothing is on its way, or the system does not tell.
func (c *conn) deaf() time.Duration {
	if c.wire.queued == 0 || c.moved.IsZero() {
		return 0
	}
	return c.gaugedAt.Sub(c.moved)
}
