package swarm

// setID names one of the sets that a connection can be in.
type setID uint8

const (
	asking  setID = iota // it has asked for something that its writer was not handed
	writing              // something of ours is with its writer, in its socket or on its way, as far as was looked
	setIDs
)

// connSet is connections that have something in common: few of many, which are gone through at each turn. Their
// order has no meaning, and no decision may depend on it.
type connSet struct {
	id    setID
	conns []*conn
}

func (x *connSet) add(c *conn) {
	if c.sets[x.id] == 0 {
		x.conns = append(x.conns, c)
		c.sets[x.id] = int32(len(x.conns))
	}
}

// remove takes c out. Who goes through the set backwards may do so with the one he is at.
func (x *connSet) remove(c *conn) {
	at := c.sets[x.id]
	if at == 0 {
		return
	}
	last := len(x.conns) - 1
	o := x.conns[last]
	x.conns[at-1] = o
	o.sets[x.id] = at
	x.conns[last] = nil
	x.conns = x.conns[:last]
	c.sets[x.id] = 0
}
