package cli

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"shoal/internal/swarmtest"
)

// cluster is some edges of one cluster, on loopback.
type cluster struct {
	t      *testing.T
	origin string
	gossip []string
	hosts  []*swarmtest.Host
	edges  []*swarmtest.Process
	urls   []string
}

func newCluster(t *testing.T, origin string, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, origin: origin, edges: make([]*swarmtest.Process, n), urls: make([]string, n)}
	for range n {
		h := swarmtest.Local(t)
		c.hosts = append(c.hosts, h)
		c.gossip = append(c.gossip, fmt.Sprintf("127.0.0.1:%d", h.FreePort()))
	}
	for i := range n {
		c.start(i)
	}
	waitUntil(t, "all have found each other", func() bool {
		for i := range n {
			if c.members(i) != n {
				return false
			}
		}
		return true
	})
	return c
}

// start runs edge i, in zone i modulo 3.
func (c *cluster) start(i int) {
	args := []string{"--quota", "1G", "--name", fmt.Sprint("edge-", i), "--zone", fmt.Sprint("zone-", i%3), "--cluster-key", "a key of a test", "--gossip", c.gossip[i]}
	for j, addr := range c.gossip {
		if j != i {
			args = append(args, "--join", addr)
		}
	}
	c.edges[i], c.urls[i] = node(c.hosts[i], c.origin, args...)
}

// members is how many members edge i sees.
func (c *cluster) members(i int) int {
	ring, _ := edgeState(c.t, c.urls[i])["ring"].(map[string]any)
	list, _ := ring["members"].([]any)
	return len(list)
}

// copies is how many whole copies of each release the running edges have together.
func (c *cluster) copies() map[string]int {
	all := map[string]int{}
	for i, p := range c.edges {
		if p == nil || p.Ended() {
			continue
		}
		list, _ := edgeState(c.t, c.urls[i])["contents"].([]any)
		for _, x := range list {
			if e := swarmtest.Event(x.(map[string]any)); e.String("state") == "whole" {
				all[e.String("name")]++
			}
		}
	}
	return all
}

func (c *cluster) replicated(releases int) func() bool {
	return func() bool {
		all := c.copies()
		for _, n := range all {
			if n < 2 {
				return false
			}
		}
		return len(all) == releases
	}
}

// Edges share out what there is: it crosses from the origin once for all of them, is repaired from each other when one dies, and machines do not notice.
func TestClusterSharesOut(t *testing.T) {
	t.Parallel()
	edges, apps, machines, killed, size := 3, 4, 4, 1, 2<<20
	if swarmtest.Required("long") {
		edges, apps, machines, killed, size = 5, 12, 40, 2, 8<<20
	}
	var names []string
	for i := range apps {
		names = append(names, fmt.Sprint("app", i))
	}
	_, _, origin, serve := newOrigin(t, size, names...)
	c := newCluster(t, origin, edges)
	if killed > 1 { // in the middle of their fetches
		time.Sleep(500 * time.Millisecond)
		for i := range killed {
			c.edges[i].Kill()
		}
	}
	waitUntil(t, "each release has two copies", c.replicated(apps))
	sent := sentByOrigin(t, origin)
	t.Logf("the origin has sent %.3f copies of each release to %d edges", float64(sent)/float64(apps*size), edges)
	if killed == 1 && sent > int64(apps*size)*105/100 {
		t.Errorf("the origin has sent %d bytes for %d of content, want at most 1.05 times that", sent, apps*size)
	}

	if killed == 1 {
		c.edges[0].Kill()
		waitUntil(t, "each release has two copies again", c.replicated(apps))
		if more := sentByOrigin(t, origin) - sent; more > int64(size/20) {
			t.Errorf("repairing took %d bytes more from the origin, want them from the other edges", more)
		}
	}
	var fetching []*swarmtest.Process
	for i := range machines {
		m := swarmtest.Local(t)
		url := c.urls[killed+i%(edges-killed)]
		fetching = append(fetching, m.Start("get", url+"/"+names[i%apps]+":stable", "-o", m.Path("out"), "--trust-on-first-use"))
	}
	for _, p := range fetching {
		if e := p.Succeed().Expect("done"); e.Int("from.origin") > 0 {
			t.Errorf("%v: want nothing from the origin", e)
		}
	}
	serve.Kill()
	for i := range apps { // every edge has or leads to everything
		resp, body := fetchURL(t, c.urls[killed]+"/"+names[i]+":stable/"+names[i]+".bin")
		if resp.StatusCode != http.StatusOK || len(body) != size {
			t.Errorf("%s without the origin: %s, %d bytes", names[i], resp.Status, len(body))
		}
	}

	// It comes back, and is one of them again.
	c.start(0)
	waitUntil(t, "the edge that was killed is there again", func() bool { return c.members(killed) == edges-killed+1 })
	c.hosts[killed].Run("edge", "ring").Succeed().Expect("edge")
	c.hosts[killed].Run("edge", "drain").Succeed().Expect("drained")
	c.edges[killed].Kill()
	waitUntil(t, "what was drained is elsewhere", c.replicated(apps))
}
