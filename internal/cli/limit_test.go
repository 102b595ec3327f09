package cli

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/internal/daemon"
	"shoal/internal/swarmtest"
)

// Limits change in a running node: over its socket, and by SIGHUP when its file has changed.
func TestLimitsOfARunningNodeChange(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 3<<20)
	file := h.Path("shoal.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("limit-up = \"50K\"\n[serve]\norigin-budget = 1.5\n")
	serve, serving := origin(h, content, "--config", file)
	shown := h.Run("limit").Succeed().Expect("limits")
	if up, budget, now := shown.String("limit_up"), shown["origin_budget"], shown.Int("limit_up_now"); up != "50K" || budget != 1.5 || now != 50_000 {
		t.Errorf("limits %v: want 50K, 50000 of it now, and 1.5 copies", shown)
	}
	get := h.Start("get", serving.String("url"), "-o", h.Path("out")) // a minute at 50K
	get.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })

	changed := h.Run("limit", "--limit-up", "00:00-24:00=60K,else=1", "--max-peers", "7").Succeed().Expect("limits")
	if up, now, peers := changed.String("limit_up"), changed.Int("limit_up_now"), changed.Int("max_peers"); up != "00:00-24:00=60K,else=1" || now != 60_000 || peers != 7 {
		t.Errorf("limits %v: want what was set", changed)
	}
	if e := h.Run("limit", "--limit-up", "fast").Fail(exitUsage).Expect("error"); !strings.Contains(e.String("message"), "fast") {
		t.Errorf("error %v: want one that names what cannot be read", e)
	}

	if e := h.Run("limit", "--min-rate", "5K").Fail(exitUsage).Expect("error"); !strings.Contains(e.String("message"), "no such limit") {
		t.Errorf("error %v: want that a serve has no such limit", e)
	}

	write("limit-up = \"fast\"\n") // a mistake changes nothing
	serve.Signal(syscall.SIGHUP)
	for begin := time.Now(); !strings.Contains(serve.Stderr(), "not applied"); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("a file with a mistake is not refused:\n%s", serve.Stderr())
		}
	}
	write("site = \"berlin\"\n[serve]\nlimit-up = \"0\"\norigin-budget = 1.5\n")
	serve.Signal(syscall.SIGHUP)
	get.Succeed() // at full speed
	after := h.Run("limit").Succeed().Expect("limits")
	if up, budget, peers := after.String("limit_up"), after["origin_budget"], after.Int("max_peers"); up != "0" || budget != 1.5 || peers != 7 {
		t.Errorf("limits %v: want none up, and what the file did not change as it was", after)
	}
	if log := serve.Stderr(); !strings.Contains(log, "only a restart applies it") || !strings.Contains(log, "site") {
		t.Errorf("the log does not name the setting that needs a restart:\n%s", log)
	}
	serve.Signal(syscall.SIGINT)
	serve.Wait()
	h.Run("limit").Fail(exitNoSource)
}

// A seed's limits change like an origin's, over its socket and by SIGHUP; one more seed gives without a socket.
func TestLimitsOfARunningSeedChange(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content, torrent, file := swarmtest.File(t, h.Path("release.bin"), 1<<20), h.Path("release.torrent"), h.Path("shoal.toml")
	h.Run("create", content, "-o", torrent).Succeed()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("limit-up = \"40K\"\n")
	seed := h.Start("seed", torrent, content, "--listen", "127.0.0.1:0", "--no-lan", "--config", file)
	peer := seed.Expect("seeding").String("peer")
	if st := h.Run("status").Succeed().Expect("status"); st.String("role") != "peer" {
		t.Errorf("status %v: want that of the seed", st)
	}
	second := h.Start("seed", torrent, content, "--listen", "127.0.0.1:0", "--no-lan")
	if said := second.Expect("notice").String("message"); !strings.Contains(said, "do not reach this seed") {
		t.Errorf("a second seed with the same state directory says %q, want that it cannot be reached", said)
	}
	second.Expect("seeding")
	get := h.Start("get", torrent, "-o", h.Path("out"), "--peer", peer, "--no-lan") // half a minute at 40K
	get.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
	changed := h.Run("limit", "--limit-up", "45K", "--max-peers", "7").Succeed().Expect("limits")
	if now, peers := changed.Int("limit_up_now"), changed.Int("max_peers"); now != 45_000 || peers != 7 {
		t.Errorf("limits %v: want what was set", changed)
	}
	write("limit-up = \"0\"\n")
	seed.Signal(syscall.SIGHUP)
	get.Succeed() // at full speed
}

// A get that runs is slowed and quickened over a socket of its own, which is gone with it; a killed one's is removed by the next.
func TestLimitsOfARunningGetChange(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content := swarmtest.File(t, h.Path("release.bin"), 1<<20)
	_, serving := origin(h, content, "--state-dir", h.Path("origin"))
	left := daemon.RunSocket(h.Path("state"), 1<<30)
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	killed.Close()
	if err := os.Chtimes(left, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}

	get := h.Start("get", serving.String("url"), "-o", h.Path("out"), "--limit-down", "40K") // half a minute
	get.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
	if exists(left) {
		t.Errorf("%s is there still, want the killed command's socket removed", left)
	}
	slowed := h.Run("limit", "--limit-down", "20K", "--min-rate", "5K").Succeed().Expect("limits")
	if now, least := slowed.Int("limit_down_now"), slowed.Int("min_rate"); now != 20_000 || least != 5000 {
		t.Errorf("limits %v: want 20000 down, and 5000 at least from peers", slowed)
	}
	if e := h.Run("limit", "--origin-budget", "3").Fail(exitUsage).Expect("error"); !strings.Contains(e.String("message"), "no such limit") {
		t.Errorf("error %v: want that a get has no such limit", e)
	}
	contents, _ := h.Run("status").Succeed().Expect("status")["contents"].([]any)
	if len(contents) != 1 || contents[0].(map[string]any)["fetch"] == nil {
		t.Errorf("status shows contents %v, want one that is being fetched", contents)
	}

	second := h.Start("get", serving.String("url"), "-o", h.Path("other"), "--limit-down", "40K")
	second.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
	pid := strconv.Itoa(get.PID())
	if e := h.Run("limit", "--limit-down", "0").Fail(exitUsage).Expect("error"); !strings.Contains(e.String("message"), pid) {
		t.Errorf("error %v: want the processes named, %s among them", e, pid)
	}
	h.Run("limit", "--limit-down", "0", "--pid", pid).Succeed()
	get.Succeed() // at full speed
	h.Run("limit", "--limit-down", "0").Succeed()
	second.Succeed()
	if exists(h.Path("state")) && exists(filepath.Dir(left)) {
		t.Errorf("%s is there still, want nothing left of commands that have ended", filepath.Dir(left))
	}
}

// The limits of an update change while it fetches, over its socket and by SIGHUP; one that waits for the next version takes what the file says, and goes on.
func TestLimitsOfARunningUpdateChange(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	p := newPublisher(t)
	h := swarmtest.Local(t)
	file := h.Path("shoal.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("limit-down = \"30K\"\n") // half a minute
	u := h.Start("update", p.source, "--to", h.Path("opt"), "--root", p.root, "--listen", "127.0.0.1:0", "--every", "100ms", "--peers", "off", "--config", file)
	confirmed := func(version string) {
		t.Helper()
		u.Expect("update", func(e swarmtest.Event) bool {
			return e.String("state") == "confirmed" && e.String("version") == version
		})
	}
	fetches := func() {
		t.Helper()
		u.Expect("progress", func(e swarmtest.Event) bool { return e.Int("done") > 0 })
	}
	fetches()
	slowed := h.Run("limit", "--limit-down", "20K").Succeed().Expect("limits")
	if now := slowed.Int("limit_down_now"); now != 20_000 {
		t.Errorf("limits %v: want 20000 down", slowed)
	}
	write("limit-down = \"0\"\n")
	u.Signal(syscall.SIGHUP)
	confirmed("1") // at full speed

	write("limit-down = \"25K\"\n")
	u.Signal(syscall.SIGHUP) // nothing is fetched now
	for begin := time.Now(); strings.Count(u.Stderr(), "read again") < 2; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("the file is not read again:\n%s", u.Stderr())
		}
	}
	swarmtest.File(t, filepath.Join(p.content, "new.bin"), 1<<20)
	p.publish("2")
	fetches()
	if next := h.Run("limit").Succeed().Expect("limits"); next.Int("limit_down_now") != 25_000 {
		t.Errorf("limits %v: want the 25000 down of the file for the next version", next)
	}
	h.Run("limit", "--limit-down", "0").Succeed()
	confirmed("2")
}
