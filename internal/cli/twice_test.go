package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// result is what a command that was run in this process has ended with: its exit code, and what it printed but for times.
func (s *simulated) result(t *testing.T, args ...string) string {
	t.Helper()
	s.mu.Lock()
	s.out.Reset()
	s.mu.Unlock()
	code := s.run(t.Context(), args...)
	text := fmt.Sprintln("exit code", code)
	for line := range bytes.Lines(s.out.Bytes()) {
		var e swarmtest.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.String("event") == "progress" {
			continue
		}
		for _, moment := range []string{"time", "seconds", "at", "seen", "sequence", "after"} {
			delete(e, moment)
		}
		if e.String("event") == "machine" { // what it has reported last is not what it has
			e = swarmtest.Event{"running": e["running"], "tried": e["tried"], "outcome": e["outcome"], "total": e["total"]}
		}
		text += fmt.Sprintln(e)
	}
	return text
}

// Every command may be given again, as a script does that does not know whether it was done: it ends as before, and nothing is changed by it any more.
func TestCommandsAreDoneOnce(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	content, two := swarmtest.File(t, h.Path("1", "app"), 100_000), swarmtest.File(t, h.Path("2", "app"), 100_001)
	f := newFleetTest(t, h, content)
	s := &simulated{env: map[string]string{"SHOAL_STATE_DIR": h.Path("state"), "SHOAL_NO_LAN": "true", "SHOAL_DHT": "off", "SHOAL_ENROLL_TOKEN": f.token}}
	root, to := filepath.Join(f.repo, "root.json"), h.Path("opt")
	inRepo := func(args ...string) []string { return append(args, "--repo", f.repo) }
	machine := func(args ...string) []string { return append(args, "--to", to) }

	// state is all that commands change.
	state := func() string {
		t.Helper()
		all := map[string]bool{}
		for _, dir := range []string{filepath.Join(f.repo, "public", "metadata"), filepath.Join(to, "versions")} {
			list, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, e := range list {
				all[e.Name()] = true
			}
		}
		return strings.Join(slices.Sorted(maps.Keys(all)), " ") + "\n" + s.result(t, inRepo("rollout", "status", "app:stable")...) + s.result(t, machine("update", "history")...) + s.result(t, "fleet", "slots") + s.result(t, "fleet", "ls")
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitDone, inRepo("publish", content, "--as", "app@1", "--channel", "stable")},
		{exitDone, inRepo("publish", two, "--as", "app@2")},
		{exitDone, inRepo("publish", two, "--as", "app@2", "--channel", "beta", "--patches-first")},
		{exitDone, inRepo("promote", "app@1", "--channel", "stable")},
		{exitDone, []string{"fleet", "enroll", f.base}},
		{exitAvailable, machine("update", "check", f.base+"app:stable", "--root", root)},
		{exitDone, machine("update", f.base+"app:stable", "--root", root, "--listen", "127.0.0.1:0", "--once", "--dry-run")},
		{exitDone, machine("update", f.base+"app:stable", "--root", root, "--listen", "127.0.0.1:0", "--once")},
		{exitDone, machine("update", "check")},
		{exitDone, machine("update", "pin")},
		{exitDone, machine("update", "unpin")},
		{exitDone, inRepo("rollout", "start", "app@2", "--channel", "stable", "--waves", "1,50%,100%", "--rollback")},
		{exitDone, inRepo("rollout", "app:stable")},
		{exitDone, inRepo("rollout", "pause", "app:stable", "--reason", "a look")},
		{exitHeld, machine("update", "--listen", "127.0.0.1:0", "--once")},
		{exitDone, inRepo("rollout", "resume", "app:stable")},
		{exitDone, inRepo("rollout", "advance", "app:stable", "--wave", "3")},
		{exitDone, machine("update", "--listen", "127.0.0.1:0", "--once")},
		{exitDone, inRepo("rollout", "advance", "app:stable", "--wave", "2")}, // it is there
		{exitDone, inRepo("rollout", "advance", "app:stable", "--wave", "3", "--wait", "--deadline", "1m")},
		{exitDone, []string{"rollout", "watch", "app:stable"}},
		{exitDone, inRepo("rollout", "halt", "app:stable", "--reason", "loses data")},
		{exitHalted, []string{"rollout", "watch", "app:stable"}},
		{exitHeld, inRepo("rollout", "advance", "app:stable")},
		{exitHeld, inRepo("rollout", "resume", "app:stable")},
		{exitDone, inRepo("rollout", "halt", "app:stable", "--rollback")},
		{exitDone, inRepo("rollout", "promote", "app:stable", "--wait", "--deadline", "1m")},
		{exitDone, inRepo("promote", "app@2", "--channel", "stable", "--wait", "--deadline", "1m")},
		{exitDone, machine("update", "rollback")},
		{exitHeld, machine("update", "--listen", "127.0.0.1:0", "--once")},
		{exitDone, machine("update", "history")},
		{exitDone, []string{"fleet", "retry", "app"}},
		{exitDone, []string{"fleet", "free", "default", "nobody"}},
		{exitDone, []string{"fleet", "export"}},
		{exitLocal, inRepo("withdraw", "app@2", "--reason", "loses data")}, // beta would have none
		{exitDone, inRepo("promote", "app@1", "--channel", "beta")},
		{exitDone, inRepo("withdraw", "app@2", "--reason", "loses data")},
		{exitDone, inRepo("prune", "--keep", "0")},
		{exitNoSource, inRepo("rollout", "start", "app@9", "--channel", "stable")},
	} {
		what := strings.Join(c.args, " ")
		first := s.result(t, c.args...)
		before := state()
		again := s.result(t, c.args...)
		if want := fmt.Sprintln("exit code", c.code); !strings.HasPrefix(first, want) || !strings.HasPrefix(again, want) {
			t.Fatalf("%s: want exit code %d twice\n%s\n%s", what, c.code, first, again)
		}
		if after := state(); after != before {
			t.Errorf("%s: the second time has changed something: before it\n%s\nafter it\n%s", what, before, after)
		}
	}
}
