package edgecache

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// An edge with another key is kept out, and that is told on both sides, once; so is an edge to join that is not there. Who comes and goes is told as well.
func TestWhoIsKeptOutOfAClusterIsTold(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, 1000)
	logs := make([]logged, 3)
	nobody := fmt.Sprintf("127.0.0.1:%d", swarmtest.FreePort(t))
	edges := runCluster(t, o, 3, Config{}, func(i int, cfg *Config) {
		cfg.Log = slog.New(slog.NewTextHandler(&logs[i], nil))
		if i == 2 {
			cfg.Cluster.Key, cfg.Cluster.Join = "another key of a test", append(cfg.Cluster.Join[:3:3], nobody)
		}
	})
	told := func(i int, what string) int { return strings.Count(logs[i].String(), what) }
	until(t, "the one with another key is told", func() bool { return told(2, "has another --cluster-key") == 2 })
	until(t, "those of the cluster are told", func() bool {
		return told(0, "somebody with another --cluster-key")+told(1, "somebody with another --cluster-key") == 2
	})
	until(t, "it is told that nobody is there", func() bool { return told(2, "an edge to join is not found") == 1 })
	for i, want := range []int{2, 2, 1} {
		if got := len(edges[i].members()); got != want {
			t.Errorf("edge %d sees %d members, want %d", i, got, want)
		}
	}
	if told(0, "an edge has joined the cluster") != 1 {
		t.Errorf("it is not told once that another edge has joined:\n%s", logs[0].String())
	}
	edges[1].ring.leave()
	until(t, "it is told that the other one is gone", func() bool { return told(0, "an edge is gone from the cluster") == 1 })
}
