package sim

import (
	"math"
	"time"
)

// Scenario says which machines there are and what becomes of them. Rates are bits per second on the
// wire, 0 for no limit.
type Scenario struct {
	Name string
	// Size is the content's, PieceLength the torrent's, in bytes. Zero: what suits the size.
	Size, PieceLength int64
	// Hosts are groups of equal machines. The first with Origin set has the content at the begin.
	Hosts []Host
	// Sites have a link of their own to all others.
	Sites map[string]Pipe
	// Multicast says that machines are not told their site, and find its others by announcing themselves there (BEP 14).
	Multicast bool
	// Latency is how long a packet is on the wires between two machines; LANLatency the same inside a site.
	Latency, LANLatency time.Duration
	// Queue is how much each link's queue holds. Zero: 100 ms.
	Queue time.Duration
	// Limit is when the simulation is given up. Zero: 20 times the bound, and two minutes.
	Limit time.Duration
	// MaxPeers bounds connections of a machine, TrackerPeers those that the tracker names. Zero: 80 and 50.
	MaxPeers, TrackerPeers int
	// Quantum is how many bytes of a stream travel as one, at most. Zero: 4 packets.
	Quantum int
	// Coarse is that of [swarm.VirtualSpec].
	Coarse int
	// Bound is T_min. Zero: the formula of [Scenario.Least].
	Bound time.Duration
}

// Pipe is a site's link.
type Pipe struct{ Up, Down float64 }

// Host is a group of machines.
type Host struct {
	Count    int // 0: 1
	Up, Down float64
	Site     string
	Origin   bool
	// Seed says that it has everything at the begin.
	Seed bool
	// Copies is an origin's budget; 0 is without.
	Copies float64
	// AfterFinished has it come when so many others have finished.
	AfterFinished int
	// NAT says that nobody outside its site can dial it.
	NAT bool
	// Liar says that all it sends is wrong.
	Liar bool
	// Arrive is when its machines start; they come one by one over the time of Over (Poisson).
	Arrive, Over time.Duration
	// Vanish is the share of them that goes without a word, at any time between its arrival and the bound after.
	Vanish float64
	// DieAt is when the machines go without a word; 0: never. DieCopies is when they do so once the origin
	// has sent so many copies.
	DieAt     time.Duration
	DieCopies float64
}

func (s Scenario) withDefaults() Scenario {
	if s.Queue == 0 {
		s.Queue = 100 * time.Millisecond
	}
	if s.Quantum == 0 {
		s.Quantum = 4 * segment
	}
	if s.TrackerPeers == 0 {
		s.TrackerPeers = 50
	}
	if s.Bound == 0 {
		s.Bound = s.Least()
	}
	if s.Limit == 0 {
		s.Limit = 20*s.Bound + 2*time.Minute
	}
	return s
}

// machines is how many a group has.
func (h Host) machines() int { return max(h.Count, 1) }

// Least is T_min in bits of payload (Kumar & Ross 2006): no swarm can be faster than the origin's
// uplink, the slowest downlink, or all uplinks together; a site's links count like a machine's.
func (s Scenario) Least() time.Duration {
	bits := float64(s.Size) * 8
	var copies float64
	var origin, sum, t float64
	n := 0.0
	slowest := math.Inf(1)
	capped := func(x float64) float64 {
		if x <= 0 {
			return math.Inf(1)
		}
		return x
	}
	inSite := map[string]float64{}
	for _, h := range s.Hosts {
		k := float64(h.machines())
		switch {
		case h.Origin:
			origin += capped(h.Up)
			copies = h.Copies
		case h.Seed:
			origin += capped(h.Up) * k
		default:
			n += k
			slowest = min(slowest, capped(h.Down))
			if h.Site != "" && s.Sites[h.Site].Down > 0 {
				inSite[h.Site] += k
			} else {
				sum += capped(h.Up) * k
			}
		}
	}
	t = max(bits/origin, bits/slowest)
	if len(inSite) == 0 {
		if copies > 0 {
			return seconds(max(t, (n-copies)*bits/sum, n*bits/(origin+sum)))
		}
		return seconds(max(t, n*bits/(origin+sum)))
	}
	crossing := n // copies that go over borders: one for each site, one for each machine of none
	for name, k := range inSite {
		crossing += 1 - k
		sum += capped(s.Sites[name].Up)
		t = max(t, bits/capped(s.Sites[name].Down))
	}
	return seconds(max(t, crossing*bits/(origin+sum)))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
