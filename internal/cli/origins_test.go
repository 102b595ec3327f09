//go:build unix

package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"shoal/internal/rollout"
	"shoal/internal/swarmtest"
)

// slotOf asks an origin for a slot as Zincati does, or gives it back, and returns the status and the fencing token.
func slotOf(t *testing.T, base, path, id string) (status int, token int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(base, "/")+path, strings.NewReader(fmt.Sprintf(`{"client_params":{"id":%q,"group":"default"}}`, id)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("fleet-lock-protocol", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	token, _ = strconv.Atoi(resp.Header.Get(rollout.TokenHeader))
	return resp.StatusCode, token
}

// Two origins share a fleet, which is in PostgreSQL: what one grants or hears the other knows, whichever dies, and what is halted at one goes on at none.
func TestTwoOriginsShareAFleet(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	db := swarmtest.StartPostgres(t)
	h, other := swarmtest.Local(t), swarmtest.Local(t)
	f := newFleetTest(t, h, swarmtest.File(t, h.Path("1", "app"), 100_000), "--db", db.URL, "--fleet-slots", "1")
	second := other.Start("serve", f.repo, "--listen", "127.0.0.1:0", "--db", db.URL, "--fleet-slots", "1")
	otherBase := second.Expect("releases").String("url")
	second.Expect("ready")

	// The slot.
	status, first := slotOf(t, f.base, rollout.AcquirePath, "one")
	if status != http.StatusOK {
		t.Fatalf("a slot: %d", status)
	}
	if status, _ := slotOf(t, otherBase, rollout.AcquirePath, "two"); status != http.StatusConflict {
		t.Errorf("a second slot, at the other origin: %d", status)
	}
	if e := other.Run("fleet", "slots").Succeed().Expect("slots"); !strings.Contains(fmt.Sprint(e["holders"]), "one") {
		t.Errorf("the other origin knows of %v", e)
	}
	f.origin.Kill()
	if status, _ := slotOf(t, otherBase, rollout.AcquirePath, "two"); status != http.StatusConflict {
		t.Errorf("a second slot, after the death of who has given the first: %d", status)
	}
	slotOf(t, otherBase, rollout.ReleasePath, "one")
	f.serve(f.repo, "--db", db.URL, "--fleet-slots", "1")
	if status, token := slotOf(t, f.base, rollout.AcquirePath, "two"); status != http.StatusOK || token <= first {
		t.Errorf("then %d, token %d after %d", status, token, first)
	}
	slotOf(t, otherBase, rollout.ReleasePath, "two")

	// A wave of one machine: it comes to one origin, and fails. The machine of the other one is not touched.
	a, b := f.enrolled(f.base, "--once", "--post", "test $SHOAL_VERSION = 1"), f.enrolled(otherBase, "--once") // with one token
	for _, m := range f.machines {
		m.Run(m.args...).Succeed()
	}
	f.must("publish", swarmtest.File(t, h.Path("2", "app"), 100_001), "--as", "app@2", "--repo", f.repo, "--no-patches")
	f.rollout("start", "app@2", "--channel", "stable", "--safe", "--rollback")
	for _, o := range []*swarmtest.Host{h, other} {
		waitUntil(t, "the origin knows of the rollout", func() bool { return o.Run("rollout", "watch", "app:stable", "--deadline", "1ms").Wait() == exitStalled })
	}
	a.update = a.Start(a.args...)
	a.says("rolled-back", "2", "1")
	// Whichever origin it is told at, both know that it is halted.
	for _, o := range []*swarmtest.Host{h, other} {
		seen := o.Run("rollout", "watch", "app:stable", "--deadline", "1m").Fail(exitHalted).Events("watch") // the first before the report has come, perhaps
		if e := seen[len(seen)-1]; e.Int("bad") != 1 {
			t.Errorf("%v: want one machine that failed", e)
		}
		if n := len(o.Run("fleet", "ls", "app").Succeed().Events("machine")); n != 2 {
			t.Errorf("an origin knows of %d machines, want 2", n)
		}
	}
	b.Run(b.args...).Fail(exitHalted)
}
