package sim

import "time"

// gather is for how long a machine collects what it announces on its networks (package lan).
const gather = 20 * time.Millisecond

// multicast has a machine announce itself to the others of its site. Who did not know of it answers.
func (r *run) multicast(m *Machine) {
	if !r.Multicast || r.sites[m.Site] == nil {
		return
	}
	r.After(m.node, gather+r.LANLatency, func() {
		for _, o := range r.present {
			if o == m || o.dead || o.Site != m.Site || !o.node.Neighbour(m.addr, false) {
				continue
			}
			r.After(m.node, r.LANLatency, func() { m.node.Neighbour(o.addr, true) })
		}
	})
}
