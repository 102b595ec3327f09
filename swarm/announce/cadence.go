package announce

import (
	"math/rand/v2"
	"time"
)

// early is when a torrent that lacks pieces and peers comes back: soon at first, for the others
// are just starting too, and rarely in the end, for who comes later is told of us.
var early = [...]time.Duration{
	time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
}

const (
	// patience is the number of early announces after which a tracker's min interval holds even
	// if it named nobody: for half a minute we are the one who came first, after that we are alone.
	patience = 5
	// usualMin is the min interval of a tracker that names none; over UDP none can.
	usualMin = 15 * time.Second
	// lookEvery is how often a torrent that lacks pieces is asked whether it has become hungry.
	lookEvery = 5 * time.Second

	// crowdTime is how long one of a crowd with enough peers keeps its other info hashes to itself, and as much again at most: most releases are with all by
	// then. Of a tracker on the origin's own line each answer is 0.6 KB of that, and a connection.
	crowdTime = time.Minute

	shortest, longest = 30 * time.Second, 2 * time.Hour // bounds of the interval
	longestRetry      = 5 * time.Minute
)

// usual is how long a tracker wants us to wait after an answer.
func usual(rep Reply) time.Duration {
	wait := rep.Interval
	if wait <= 0 {
		wait = 30 * time.Minute
	}
	return min(max(wait, shortest), longest)
}

// floor is how long we wait at least, after an answer with so many peers and the given number of
// early announces in a row.
func floor(rep Reply, peers, round int) time.Duration {
	switch {
	case peers == 0 && round < patience:
		return time.Second
	case rep.MinInterval > 0:
		return min(rep.MinInterval, usual(rep))
	default:
		return usualMin
	}
}

// pause is how long to wait after an answer.
func pause(rep Reply, peers, round int, st State) time.Duration {
	if !st.Hungry {
		return usual(rep)
	}
	soon := early[min(round, len(early)-1)]
	return min(max(soon, floor(rep, peers, round)), usual(rep))
}

// backoff is how long to wait after the given number of failures in a row.
func backoff(fails int) time.Duration {
	return min(time.Second<<min(max(fails-1, 0), 9), longestRetry)
}

// spread adds up to a tenth to a wait, so that ten thousand torrents that were added together do
// not stay together.
func spread(d time.Duration) time.Duration { return d + rand.N(d/10+1) }
