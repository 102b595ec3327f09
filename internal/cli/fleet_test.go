package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"shoal/internal/swarmtest"
)

// fleetTest is an origin with a repository, and machines that are enrolled and follow app:stable there: all of them processes.
type fleetTest struct {
	t        *testing.T
	h        *swarmtest.Host // of the origin and of the publisher
	repo     string
	origin   *swarmtest.Process
	base     string // the origin's URL
	token    string // that machines enroll with
	machines []*fleetMachine
}

// fleetMachine is a machine of a fleet.
type fleetMachine struct {
	*swarmtest.Host
	args   []string // of its update
	update *swarmtest.Process
}

// newFleetTest has content published as version 1 of app:stable, and served. serve is said to shoal serve as well.
func newFleetTest(t *testing.T, h *swarmtest.Host, content string, serve ...string) *fleetTest {
	t.Helper()
	f := &fleetTest{t: t, h: h, repo: h.Path("repo")}
	f.must("init", f.repo, "--plain-keys")
	f.must("publish", content, "--as", "app@1", "--channel", "stable", "--repo", f.repo)
	f.serve(f.repo, serve...)
	return f
}

// serve starts the origin.
func (f *fleetTest) serve(repo string, args ...string) {
	f.t.Helper()
	f.origin = f.h.Start(append([]string{"serve", repo, "--listen", "127.0.0.1:0"}, args...)...)
	f.base = f.origin.Expect("releases").String("url")
	f.origin.Expect("ready")
	f.token = f.h.Run("fleet", "token").Succeed().Expect("token").String("token")
}

// must runs shoal at the origin.
func (f *fleetTest) must(args ...string) *swarmtest.Process {
	f.t.Helper()
	return f.h.Run(args...).Succeed()
}

// rollout runs shoal rollout at the origin.
func (f *fleetTest) rollout(args ...string) *swarmtest.Process {
	f.t.Helper()
	return f.must(append(append([]string{"rollout"}, args...), "--repo", f.repo)...)
}

// enrolled makes a machine that is enrolled with an origin, and says nothing yet.
func (f *fleetTest) enrolled(origin string, args ...string) *fleetMachine {
	f.t.Helper()
	m := &fleetMachine{Host: swarmtest.Local(f.t)}
	m.Setenv("SHOAL_ENROLL_TOKEN", f.token)
	m.Run("fleet", "enroll", origin).Succeed()
	m.args = append(f.updateArgs(origin, m.Path("opt")), args...)
	f.machines = append(f.machines, m)
	return m
}

// updateArgs are those of a machine that follows the channel.
func (f *fleetTest) updateArgs(origin, to string) []string {
	return []string{"update", origin + "app:stable", "--to", to, "--root", filepath.Join(f.repo, "root.json"), "--listen", "127.0.0.1:0", "--site", "hall", "--every", "500ms"}
}

// follow has n machines follow the channel, and waits until they have version 1.
func (f *fleetTest) follow(n int, args ...string) {
	f.t.Helper()
	for range n {
		m := f.enrolled(f.base, args...)
		m.update = m.Start(m.args...)
	}
	f.all("confirmed", "1", "")
}

// all waits until all machines have said this of a version that came after previous.
func (f *fleetTest) all(state, version, previous string) {
	f.t.Helper()
	for _, m := range f.machines {
		m.says(state, version, previous)
	}
}

// says waits until a machine has said this of a version that came after previous.
func (m *fleetMachine) says(state, version, previous string) swarmtest.Event {
	return m.update.Expect("update", func(e swarmtest.Event) bool {
		return e.String("state") == state && e.String("version") == version && e.String("previous") == previous
	})
}

// said says whether a machine has said this of a version.
func (m *fleetMachine) said(state, version string) bool {
	for _, e := range m.update.Events("update") {
		if e.String("state") == state && e.String("version") == version {
			return true
		}
	}
	return false
}

// toolchains are two consecutive versions of the Go toolchain, from the module proxy or the cache of the go command; "" where neither has them.
func toolchains(t *testing.T) (one, two string) {
	t.Helper()
	var dirs []string
	for _, version := range []string{"1.26.10", "1.26.11"} {
		out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "golang.org/toolchain@v0.0.1-go"+version+".linux-amd64").Output()
		var got struct{ Dir string }
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil {
			t.Logf("no toolchain: %v\n%s", err, out)
			return "", ""
		}
		dirs = append(dirs, got.Dir)
	}
	return dirs[0], dirs[1]
}

// A machine that had to go back tries again when its fleet's operator says so.
func TestRetriedMachine(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	f := newFleetTest(t, h, swarmtest.File(t, h.Path("1", "app"), 100_000))
	obstacle := h.Path("obstacle")
	f.follow(1, "--post", "test $SHOAL_VERSION = 1 || test ! -e "+obstacle, "--report-every", "1s")
	swarmtest.File(t, obstacle, 1)
	f.must("publish", swarmtest.File(t, h.Path("2", "app"), 100_001), "--as", "app@2", "--channel", "stable", "--repo", f.repo, "--no-patches")
	f.all("rolled-back", "2", "1")
	f.all("held", "2", "1")
	if e := f.must("fleet", "ls", "app", "--failed").Expect("machine"); e.String("tried") != "2" || e.String("last_error") == "" {
		t.Errorf("%v: want that it failed with version 2, and why", e)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if e := f.must("fleet", "retry", "app").Expect("retry"); e.Int("machines") != 1 {
		t.Errorf("%v: want one machine asked", e)
	}
	f.all("confirmed", "2", "1")
}

// Real release trees go through publish, rollout, update and rollback, and come back; small ones where nobody asks for more.
func TestLifeOfAReleaseTree(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	one, two := "", ""
	if swarmtest.Required("long") {
		one, two = toolchains(t)
	}
	if one == "" {
		one, two = versions(t, h)
	}
	const machines = 3
	f := newFleetTest(t, h, one)
	f.follow(machines)
	has := func(version string) {
		t.Helper()
		for _, m := range f.machines {
			swarmtest.Same(t, map[string]string{"1": one, "2": two}[version], m.Path("opt", "current"))
		}
	}
	has("1")
	f.must("publish", two, "--as", "app@2", "--repo", f.repo)
	f.rollout("start", "app@2", "--channel", "stable", "--waves", "1,100%", "--halt-at", "50%", "--min-reports", "1", "--rollback", "--wait", "--deadline", "10m")
	if n := f.count("confirmed", "2"); n != 1 {
		t.Errorf("%d machines have the version of a wave of one", n)
	}
	f.rollout("advance", "app:stable", "--wave", "2", "--wait", "--deadline", "10m")
	f.all("confirmed", "2", "1")
	has("2")
	var fetched, saved, bytes int64
	for _, m := range f.machines {
		e := m.says("confirmed", "2", "1")
		if e.String("way") != "patch" {
			t.Errorf("%v: want a patch", e)
		}
		bytes, saved = bytes+e.Int("bytes"), saved+e.Int("saved_bytes")
		fetched += e.Int("from.lan") + e.Int("from.peers") + e.Int("from.origin")
	}
	t.Logf("%d machines: %d bytes in place, %d over the net, %.2f%%; %d saved", machines, bytes, fetched, 100*float64(fetched)/float64(bytes), saved)

	// It was confirmed everywhere, and proves bad later.
	f.rollout("halt", "app:stable", "--rollback", "--reason", "loses data")
	f.all("confirmed", "1", "2")
	has("1")
	// It was none of its fault: all may have it now. One machine's owner does not want it.
	f.rollout("promote", "app:stable", "--wait", "--deadline", "10m")
	has("2")
	m := f.machines[0]
	m.update.Stop()
	m.Run("update", "rollback", "--to", m.Path("opt")).Succeed()
	swarmtest.Same(t, one, m.Path("opt", "current"))
	if e := m.Run("update", "--to", m.Path("opt"), "--once").Fail(exitHeld).Expect("update"); e.String("reason") != "bad" {
		t.Errorf("%v: want the version held that was gone back from", e)
	}
}

// count is how many machines have said this of a version.
func (f *fleetTest) count(state, version string) (n int) {
	for _, m := range f.machines {
		if m.said(state, version) {
			n++
		}
	}
	return n
}
