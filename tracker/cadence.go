package tracker

import "time"

// What cadence goes by. A swarm is slow only as long as peers do not know of each other, and they learn of each other here: while that is
// likely to be news the tracker wants to hear soon. It is news while a swarm is young (a release was just published, a site just
// switched on) and while somebody wants pieces. In the end everybody seeds, and nothing is lost by an announce in half an hour.
const (
	youngFor    = 5 * 60 // seconds since the swarm came up
	youngSecs   = 30     // a young swarm with leechers
	activeSecs  = 60     // an older one with leechers
	waitingSecs = 120    // a young one that only has seeds: a leecher finds them at once, they only find it when they cannot be dialled

	// What bounds the load: announces per second that a swarm, and all of them, are asked to make. 10/s is one third of a percent of what
	// one core answers over HTTP; a swarm of 18,000 leechers is at half an hour again.
	swarmPerSec = 10
	totalPerSec = 1000

	// A hungry client comes after "min interval": six times as often at most, but not every second.
	minShare             = 6
	minFloor, minCeiling = 5, 300

	// forgetFloor is the shortest time in seconds after which a silent peer is forgotten: several clients do not come more often than every
	// five minutes, whatever they are told.
	forgetFloor = 600
)

// cadence says when a peer shall announce again and from when on it may, in seconds, by the age of its swarm in seconds, the number of
// leechers and of all peers in it, and that of all peers of the tracker. random spreads clients that started together over an eighth of
// the interval.
func cadence(settled time.Duration, age uint32, leechers, peers, total int, random uint32) (interval, minInterval uint32) {
	longest := max(uint32(settled/time.Second), 1)
	wish := longest
	switch {
	case leechers > 0 && age < youngFor:
		wish = youngSecs
	case leechers > 0:
		wish = activeSecs
	case age < youngFor:
		wish = waitingSecs
	}
	interval = min(max(wish, uint32(peers/swarmPerSec), uint32(total/totalPerSec)), longest)
	minInterval = min(max(interval/minShare, minFloor), minCeiling, interval)
	interval -= uint32(uint64(random) * uint64(interval/8+1) >> 32)
	return max(interval, minInterval), minInterval
}

// lifetime is how long a peer that was told interval is kept without a further word, in seconds.
func lifetime(interval uint32) uint32 { return max(interval+interval/2, forgetFloor) }
