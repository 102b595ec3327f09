package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/edgecache"
	"shoal/internal/swarmtest"
)

// cluster is some edges of one cluster, on loopback.
type cluster struct {
	t      *testing.T
	origin string
	root   string // the origin's root.json
	gossip []string
	hosts  []*swarmtest.Host
	edges  []*swarmtest.Process
	urls   []string // over HTTP
	args   []string // that each edge has beside
}

func newCluster(t *testing.T, origin, root string, n int, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, origin: origin, root: root, args: args, edges: make([]*swarmtest.Process, n), urls: make([]string, n)}
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
	args := append([]string{"--quota", "1G"}, c.args...)
	args = append(args, "--name", fmt.Sprint("edge-", i), "--zone", fmt.Sprint("zone-", i%3), "--cluster-key", "a key of a test", "--gossip", c.gossip[i], "--root", c.root)
	for j, addr := range c.gossip {
		if j != i {
			args = append(args, "--join", addr)
		}
	}
	p, url := node(c.hosts[i], c.origin, args...)
	_, rest, _ := strings.Cut(url, "://")
	c.edges[i], c.urls[i] = p, "http://"+rest
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

// handedBack says whether each release is to be kept by two of the running edges, all of these have it whole, and edge i is one of them for some.
func (c *cluster) handedBack(i, releases int) bool {
	owners, some := map[string]int{}, false
	for j, p := range c.edges {
		if p == nil || p.Ended() {
			continue
		}
		list, _ := edgeState(c.t, c.urls[j])["contents"].([]any)
		for _, x := range list {
			e := swarmtest.Event(x.(map[string]any))
			if !e.Bool("owned") {
				continue
			}
			if e.String("state") != "whole" {
				return false
			}
			owners[e.String("name")]++
			some = some || i == j
		}
	}
	for _, n := range owners {
		if n != 2 {
			return false
		}
	}
	return some && len(owners) == releases
}

// fetching is an edge that has got some of a release and not all; -1: there is none.
func (c *cluster) fetching(name string) int {
	for i := range c.edges {
		list, _ := edgeState(c.t, c.urls[i])["contents"].([]any)
		for _, x := range list {
			if e := swarmtest.Event(x.(map[string]any)); e.String("name") == name && e.String("state") == "fetching" && e.Int("have_bytes") > 0 {
				return i
			}
		}
	}
	return -1
}

// most is how much of each release an edge of some has at most, in copies.
func (c *cluster) most(edges []int) map[string]float64 {
	all := map[string]float64{}
	for _, i := range edges {
		list, _ := edgeState(c.t, c.urls[i])["contents"].([]any)
		for _, x := range list {
			e := swarmtest.Event(x.(map[string]any))
			all[e.String("name")] = max(all[e.String("name")], float64(e.Int("have_bytes"))/float64(e.Int("bytes")))
		}
	}
	return all
}

// sentOfEach is how many copies of each release an origin has sent, by the name of its file.
func sentOfEach(t *testing.T, url string) map[string]float64 {
	t.Helper()
	st, err := askStatus(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, c := range st.Contents {
		all[c.Name] = c.Copies
	}
	return all
}

// maxCopies is how often a release may cross from the origin for a whole cluster: once, and a little that is asked for twice.
const maxCopies = 1.05

// Edges share out what there is: each release crosses from the origin once for all of them. A zone of them dies while machines fetch from it and while it
// fetches itself: no machine fails, and the others restore from each other what was kept there.
func TestClusterSharesOut(t *testing.T) {
	t.Parallel()
	edges, apps, machines, deaths, size, pace := 3, 4, 6, 1, 2<<20, 4
	if swarmtest.Required("long") {
		edges, apps, machines, deaths, size, pace = 5, 12, 40, 2, 8<<20, 25
	}
	var names []string
	for i := range apps {
		names = append(names, fmt.Sprint("app", i))
	}
	o, dir, origin, serve := newOrigin(t, size, names...)
	c := newCluster(t, origin, filepath.Join(dir, "root.json"), edges)
	waitUntil(t, "each release has two copies", c.replicated(apps))
	for name, n := range sentOfEach(t, origin) {
		if n > maxCopies {
			t.Errorf("the origin has sent %.3f copies of %s to %d edges, want at most %.2f%s", n, name, edges, maxCopies, c.fromOrigin(strings.TrimSuffix(name, ".bin")+"@1.0", nil))
		}
	}

	// In the middle of everything: the edge that gets a new release for all, and others of its zone.
	o.Run("limit", "--limit-up", fmt.Sprint(size/60)).Succeed()
	publish(t, o, dir, "late", "1.0", size)
	leader := -1
	waitUntil(t, "an edge fetches the new release", func() bool { leader = c.fetching("late@1.0"); return leader >= 0 })
	var dying []int
	for _, apart := range []int{0, 1, 2} {
		for i := range edges {
			if (i-leader+edges*3)%3 == apart && len(dying) < deaths {
				dying = append(dying, i)
			}
		}
	}
	var getting []*swarmtest.Process
	for i := range machines {
		m := swarmtest.Local(t)
		getting = append(getting, m.Start("get", c.urls[i%edges]+"/"+names[i%apps]+":stable", "-o", m.Path("out"), "--trust-on-first-use", "--limit-down", fmt.Sprint(size/pace)))
	}
	for _, p := range getting {
		p.Expect("progress")
	}
	if c.fetching("late@1.0") < 0 {
		t.Error("the new release was there too early: this shows less than it should")
	}
	had := c.most(dying)
	for _, i := range dying {
		c.edges[i].Kill()
	}
	under := 0
	for _, p := range getting {
		if !p.Ended() {
			under++
		}
	}
	t.Logf("%d of %d machines were fetching when edges %d died", under, machines, dying)
	left := c.most(c.alive())
	o.Run("limit", "--limit-up", "0").Succeed()
	for _, p := range getting {
		p.Succeed()
	}
	waitUntil(t, "each release has two copies again", c.replicated(apps+1))
	// What the origin had sent to those that died alone, and had not left them for another edge, it has to send again. One edge fetches a release for all: so that is
	// by how much more one of the dead had than any of those that are left.
	for name, n := range sentOfEach(t, origin) {
		ref := strings.TrimSuffix(name, ".bin") + "@1.0"
		lost := max(0, had[ref]-left[ref])
		t.Logf("the origin has sent %.3f copies of %s, of which %.3f were lost with the edges", n, name, lost)
		if n > maxCopies+lost {
			t.Errorf("the origin has sent %.3f copies of %s after edges %d died, and %.3f were lost with them; want at most %.2f more: it is repaired from each other%s", n, name, dying, lost, maxCopies, c.fromOrigin(ref, getting))
		}
	}

	// The origin dies as well. Every edge has or leads to everything, and machines get releases from the edges alone.
	serve.Kill()
	alive := c.alive()
	for i, name := range names {
		resp, body := fetchURL(t, c.urls[alive[0]]+"/"+name+":stable/"+name+".bin")
		if resp.StatusCode != http.StatusOK || len(body) != size {
			t.Errorf("%s without the origin: %s, %d bytes", name, resp.Status, len(body))
		}
		if i < len(alive) {
			m := swarmtest.Local(t)
			m.Run("get", c.urls[alive[i]]+"/"+name+":stable", "-o", m.Path("out"), "--trust-on-first-use").Succeed()
		}
	}

	// One comes back with an empty disk and knows nothing but the root: it has its part again, all from the others. Another one leaves in order.
	if err := os.RemoveAll(c.hosts[dying[0]].Path("state")); err != nil {
		t.Fatal(err)
	}
	c.start(dying[0])
	waitUntil(t, "the edge that was killed is there again", func() bool { return c.members(alive[0]) == len(alive)+1 })
	waitUntil(t, "it keeps its part again, and the others no more than theirs", func() bool { return c.handedBack(dying[0], apps+1) })
	c.hosts[alive[0]].Run("edge", "ring").Succeed().Expect("edge")
	c.hosts[alive[0]].Run("edge", "drain").Succeed().Expect("drained")
	c.edges[alive[0]].Kill()
	waitUntil(t, "what was drained is elsewhere", c.replicated(apps+1))
}

// What is only pinned at an edge nobody takes over: who drains it is told what that is, until another edge has it. A restart undoes the drain.
func TestDrainTellsWhatOnlyThisEdgeHas(t *testing.T) {
	t.Parallel()
	const size = 300_000
	o, dir, origin, _ := newOrigin(t, size, "app")
	publish(t, o, dir, "app", "2.0", size+1) // so 1.0 is on no channel
	c := newCluster(t, origin, filepath.Join(dir, "root.json"), 2)
	waitUntil(t, "both have the newest", c.replicated(1))
	whole := func(i int) func() bool {
		return func() bool {
			text := fmt.Sprint(edgeState(t, c.urls[i])["contents"])
			return strings.Count(text, "state:whole") == 2
		}
	}
	pin := func(i int) {
		c.hosts[i].Run("edge", "pin", "app@1.0").Succeed()
		waitUntil(t, "it is here", whole(i))
	}
	pin(0)
	drain := c.hosts[0].Run("edge", "drain").Fail(exitHeld)
	if e := drain.Expect("error"); e.String("rule") != "only-here" || !strings.Contains(e.String("message"), "no other edge has app@1.0,") {
		t.Errorf("%v: want to be told what only this edge has", e)
	}
	state := func() (drained bool, text string) {
		ring := c.hosts[0].Run("edge", "ring").Succeed().Expect("edge")["ring"].(map[string]any)
		return ring["drained"].(bool), fmt.Sprint(ring)
	}
	if drained, text := state(); !drained || !strings.Contains(text, "names:[app@1.0]") || !strings.Contains(text, "name:edge-0") {
		t.Errorf("%s: want it to be drained, among all, and to say what only it has", text)
	}
	pin(1)
	c.hosts[0].Run("edge", "drain").Succeed()
	c.edges[0].Stop()
	c.start(0)
	waitUntil(t, "it is of the cluster again", func() bool { return c.members(0) == 2 && c.members(1) == 2 })
	if drained, text := state(); drained || strings.Contains(text, "draining:true") {
		t.Errorf("after a restart: %s", text)
	}
}

// What the others have no room for nobody waits for without a word.
func TestDrainTellsWhatHasNoRoomElsewhere(t *testing.T) {
	t.Parallel()
	apps := []string{"app-0", "app-1", "app-2", "app-3"}
	const size = 5 << 19 // all are more than one edge may have, and half of them are not
	_, dir, origin, _ := newOrigin(t, size, apps...)
	c := newCluster(t, origin, filepath.Join(dir, "root.json"), 2, "--quota", fmt.Sprint(edgecache.MinQuota), "--replicas", "1")
	waitUntil(t, "each has its part", func() bool { return len(c.copies()) == len(apps) })
	e := c.hosts[0].Run("edge", "drain").Fail(exitLocal).Expect("error")
	if text := e.String("message"); e.String("rule") != "no-room" || !strings.Contains(text, "no room for") || !strings.Contains(text, "app-") {
		t.Errorf("%v: want to be told what has no room", e)
	}
	ring := c.hosts[0].Run("edge", "ring").Succeed().Expect("edge")["ring"].(map[string]any)
	if ring["left"] == nil || ring["left_full"] == nil || ring["drained"] == true {
		t.Errorf("%v: want to see what is left", ring)
	}
}

// fromOrigin says how much of a release edges and machines had from its origin, for who looks into a failure.
func (c *cluster) fromOrigin(ref string, machines []*swarmtest.Process) string {
	var text strings.Builder
	for i, p := range c.edges {
		for _, e := range p.Events("kept") {
			if e.String("name") == ref {
				fmt.Fprintf(&text, "\nedge %d: %v in %.1fs", i, e["from"], e["seconds"])
			}
		}
	}
	for i, p := range machines {
		for _, e := range p.Events("done") {
			if e.String("name") == strings.TrimSuffix(ref, "@1.0")+".bin" && e.Int("from.origin") > 0 {
				fmt.Fprintf(&text, "\nmachine %d: %v in %.1fs", i, e["from"], e["seconds"])
			}
		}
	}
	return text.String()
}

// alive are the edges that run.
func (c *cluster) alive() (list []int) {
	for i, p := range c.edges {
		if !p.Ended() {
			list = append(list, i)
		}
	}
	return list
}
