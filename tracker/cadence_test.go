package tracker

import (
	"testing"
	"time"
)

func TestCadence(t *testing.T) {
	for _, c := range []struct {
		name                   string
		age                    uint32
		leechers, peers, total int
		interval, min          uint32
	}{
		{"first leecher", 0, 1, 0, 0, 30, 5},
		{"first seed", 0, 0, 0, 0, 120, 20},
		{"young and small", 100, 9, 10, 10, 30, 5},
		{"old, one leecher", 3600, 1, 10, 10, 60, 10},
		{"settled", 3600, 0, 10, 10, 1800, 300},
		{"large", 100, 2000, 2000, 2000, 200, 33},
		{"very large", 100, 50_000, 50_000, 50_000, 1800, 300},
		{"small swarm on a busy tracker", 100, 5, 5, 900_000, 900, 150},
		{"busy beyond measure", 100, 5, 5, 9_000_000, 1800, 300},
	} {
		interval, min := cadence(30*time.Minute, c.age, c.leechers, c.peers, c.total, 0)
		if interval != c.interval || min != c.min {
			t.Errorf("%s: interval, min = %d, %d, want %d, %d", c.name, interval, min, c.interval, c.min)
		}
		soonest, _ := cadence(30*time.Minute, c.age, c.leechers, c.peers, c.total, 1<<32-1)
		if soonest < c.interval*7/8-1 || soonest < min {
			t.Errorf("%s: spread down to %d, want an eighth of %d at most and %d at least", c.name, soonest, c.interval, min)
		}
	}
	if interval, min := cadence(time.Second, 0, 1, 1, 1, 1<<31); interval != 1 || min != 1 {
		t.Errorf("with an interval of 1 s: %d, %d, want 1, 1", interval, min)
	}
}

// However a swarm grows, the announces that it is asked to make stay below a bound, until settled intervals alone exceed it.
func TestLoadIsBounded(t *testing.T) {
	for _, peers := range []int{1, 10, 100, 1000, 10_000, 18_000} {
		interval, _ := cadence(30*time.Minute, 0, peers, peers, peers, 1<<32-1)
		if perSecond := float64(peers) / float64(interval); perSecond > 1.2*swarmPerSec {
			t.Errorf("%d leechers are asked for %.1f announces/s", peers, perSecond)
		}
	}
}
