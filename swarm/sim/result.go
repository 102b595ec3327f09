package sim

import (
	"fmt"
	"strings"
	"time"

	"shoal/swarm"
)

// Result is what a run came to.
type Result struct {
	Name     string
	Seed     uint64
	Bound    time.Duration
	Makespan time.Duration // when the last machine had everything that survived
	Mean     time.Duration // from arrival to having everything
	Slowest  time.Duration // the same, of the slowest
	Late     time.Duration // the same, of the slowest of those who came when others had finished
	Copies   float64       // payload that origins sent, over the content's size
	Ingress  float64       // payload that came into the site with most, over the content's size
	InWire   float64       // the same on the wire: with headers, acknowledgements and control messages
	Wasted   float64       // received twice or wrong, over all that was needed
	Finished int
	Lost     int // survivors that lack nothing but what nobody has any more: shoal get names it, and ends with 6
	Hung     int // other survivors that did not finish
	Bad      int // wrong blocks that count as verified
	Events   uint64

	Machines []*Machine
	Samples  []Sample // once a second
}

// Sample is what a second of a run was like.
type Sample struct {
	At     time.Duration
	Origin float64 // how busy the origins' uplinks were
	Peers  float64 // the same of all others' that are there
	In     float64 // how busy sites' links were, inwards
	Out    float64 // and outwards
	Copies float64
	Least  float64 // shares of the content that machines have
	Mean   float64
	Most   float64
	Leases bool // an origin leases
}

// Ratio is the makespan over the bound.
func (x Result) Ratio() float64 { return x.Makespan.Seconds() / x.Bound.Seconds() }

func (r *run) result(seed uint64) Result {
	x := Result{Name: r.Name, Seed: seed, Bound: r.Bound, Copies: r.copies(), Events: r.loops, Machines: r.machines, Samples: r.samples}
	var needed, wasted float64
	inside := make(map[string]int64)
	for _, m := range r.machines {
		if m.node == nil {
			continue
		}
		x.Bad += m.node.Bad()
		if m.Seed || m.Liar {
			continue
		}
		st := m.node.Stats()
		wasted += float64(st.Wasted)
		needed += float64(r.content.size)
		for class := swarm.Peers; class < swarm.Classes; class++ {
			inside[m.Site] += st.From[class]
		}
		switch {
		case m.Finished > 0:
			x.Finished++
			took := m.Finished - m.Arrived
			x.Mean += took
			x.Slowest = max(x.Slowest, took)
			if m.AfterFinished > 0 {
				x.Late = max(x.Late, took)
			}
			x.Makespan = max(x.Makespan, m.Finished)
		case m.dead:
		case r.lost(m):
			x.Lost++
		default:
			x.Hung++
		}
	}
	if x.Lost+x.Hung > 0 {
		x.Makespan = time.Duration(r.at)
	}
	if x.Finished > 0 {
		x.Mean /= time.Duration(x.Finished)
	}
	for name, s := range r.sites {
		x.Ingress = max(x.Ingress, float64(inside[name])/float64(r.content.size))
		if s.down != nil {
			x.InWire = max(x.InWire, float64(s.down.bytes)/float64(r.content.size))
		}
	}
	if needed > 0 {
		x.Wasted = wasted / needed
	}
	return x
}

// lost says whether nobody that m reaches has any piece that it lacks. It lacks some.
func (r *run) lost(m *Machine) bool {
	for p := range r.content.torrent.NumPieces() {
		if m.node.Has(p) {
			continue
		}
		for _, o := range r.machines {
			if o != m && o.here && !o.dead && !o.Liar && (o.takes(m) || m.takes(o)) && o.node.Has(p) {
				return false
			}
		}
	}
	return true
}

// sample looks at everything once a second.
func (r *run) sample() {
	x := Sample{At: time.Duration(r.at), Copies: r.copies(), Least: 1}
	var origins, peers, n float64
	for _, m := range r.machines {
		if m.node == nil || m.dead {
			continue
		}
		used := m.up.since()
		if m.Origin {
			origins++
			x.Origin += used
			x.Leases = x.Leases || m.node.Exclusive()
			continue
		}
		peers++
		x.Peers += used
		if m.Seed || m.Liar {
			continue
		}
		st := m.node.Stats()
		have := float64(st.Have) / float64(r.content.size)
		n++
		x.Mean += have
		x.Least, x.Most = min(x.Least, have), max(x.Most, have)
	}
	for _, s := range r.sites {
		x.In += s.down.since() / float64(len(r.sites))
		x.Out += s.up.since() / float64(len(r.sites))
	}
	x.Origin /= max(origins, 1)
	x.Peers /= max(peers, 1)
	x.Mean /= max(n, 1)
	r.samples = append(r.samples, x)
	r.add(event{at: r.at + int64(time.Second), kind: call, f: r.sample})
}

// Details tells of each machine.
func (x Result) Details() string {
	var b strings.Builder
	for _, s := range x.Samples {
		fmt.Fprintf(&b, "  %5.1f s  origin busy %.2f  peers busy %.2f  sites in %.2f out %.2f  copies %.3f  have %.3f %.3f %.3f  leases %v\n", s.At.Seconds(), s.Origin, s.Peers, s.In, s.Out, s.Copies, s.Least, s.Mean, s.Most, s.Leases)
	}
	for _, m := range x.Machines {
		if m.node == nil {
			continue
		}
		st := m.node.Stats()
		fmt.Fprintf(&b, "  %2d %4.0f/%-4.0f arrived %5.2f finished %6.2f died %5.2f peers %2d sent %6.2f Mi in %6.2f Mi wasted %5.2f Mi", m.Index, m.Up/1e6, m.Down/1e6,
			m.Arrived.Seconds(), m.Finished.Seconds(), m.Died.Seconds(), st.Peers, float64(m.sent)/(1<<20), float64(m.received)/(1<<20), float64(st.Wasted)/(1<<20))
		if m.up != nil {
			fmt.Fprintf(&b, " up busy %.3f", float64(m.up.busy)/float64(x.Makespan))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
