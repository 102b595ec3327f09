package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// publisher makes versions of an app in a repository that an origin serves.
type publisher struct {
	t       *testing.T
	h       *swarmtest.Host
	content string
	source  string // what machines follow
	root    string
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	h := swarmtest.Local(t)
	p := &publisher{t: t, h: h, content: swarmtest.Tree(t, h.Path("app"), 1<<20), root: h.Path("repo", "root.json")}
	h.Run("init", h.Path("repo"), "--plain-keys").Succeed()
	p.publish("1")
	origin := h.Start("serve", h.Path("repo"), "--listen", "127.0.0.1:0")
	origin.Expect("ready")
	p.source = origin.Expect("releases").String("url") + "app:stable"
	return p
}

// publish makes a version the channel's, and returns a copy of it.
func (p *publisher) publish(version string) string {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.content, "bin", "version"), []byte(version), 0o755); err != nil {
		p.t.Fatal(err)
	}
	p.h.Run("publish", p.content, "--repo", p.h.Path("repo"), "--as", "app@"+version, "--channel", "stable").Succeed()
	kept := p.h.Path("kept", version)
	if err := os.CopyFS(kept, os.DirFS(p.content)); err != nil {
		p.t.Fatal(err)
	}
	return kept
}

// A machine follows a channel: a new version arrives by itself, a bad one is gone back from, and what is killed goes on.
func TestUpdateFollows(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	p := newPublisher(t)
	h := swarmtest.Local(t)
	opt := h.Path("opt")
	args := []string{"update", p.source, "--to", opt, "--root", p.root, "--listen", "127.0.0.1:0", "--every", "100ms",
		"--post", `echo "$SHOAL_VERSION $SHOAL_ROLLBACK" >> ` + h.Path("log"), "--health", "test $SHOAL_VERSION != 3", "--health-timeout", "20s"}
	state := func(s *swarmtest.Process, want, version string) swarmtest.Event {
		t.Helper()
		return s.Expect("update", func(e swarmtest.Event) bool { return e.String("state") == want && e.String("version") == version })
	}
	follower := h.Start(args...)
	state(follower, "confirmed", "1")
	two := p.publish("2")
	if e := state(follower, "staged", "2"); e.Int("from.reuse") == 0 || e.Int("from.origin") == 0 || e.Int("from.origin") > e.Int("bytes")/2 {
		t.Errorf("%v: want most of it reused", e)
	}
	state(follower, "confirmed", "2")
	swarmtest.Same(t, two, filepath.Join(opt, "current"))
	if code := h.Run("update", "check", "--to", opt).Wait(); code != 0 {
		t.Errorf("check beside it: exit code %d", code)
	}
	follower.Stop()

	p.publish("3")
	args[len(args)-1] = "100ms"
	follower = h.Start(args...)
	state(follower, "rolled-back", "3")
	if e := state(follower, "held", "3"); e.String("reason") != "bad" {
		t.Errorf("%v: want the bad version held", e)
	}
	swarmtest.Same(t, two, filepath.Join(opt, "current"))
	follower.Kill()

	// The machine goes down in the midst of the hook that follows the switch.
	four := p.publish("4")
	once := []string{"update", "--to", opt, "--once", "--listen", "127.0.0.1:0", "--post"}
	if code := h.Run(append(once, "kill -9 $PPID")...).Wait(); code != -1 {
		t.Fatalf("exit code %d, want killed", code)
	}
	swarmtest.Same(t, four, filepath.Join(opt, "current")) // switched, not confirmed
	h.Run(append(once, "true")...).Succeed()
	installed := h.Run("update", "history", "--to", opt).Succeed().Expect("installed")
	if installed.String("running") != "4" {
		t.Errorf("%v: want 4", installed)
	}
	b, err := os.ReadFile(h.Path("log"))
	if want := "1 \n2 \n3 \n2 1\n"; err != nil || string(b) != want {
		t.Errorf("hooks: %q (%v), want %q", b, err, want)
	}
}

// The words that scripts rely on.
func TestUpdateEvents(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	h := swarmtest.Local(t)
	opt := h.Path("opt")
	check := h.Run("update", "check", p.source, "--to", opt, "--root", p.root).Fail(exitAvailable)
	update := h.Run("update", p.source, "--to", opt, "--once").Succeed()
	history := h.Run("update", "history", "--to", opt).Succeed()
	for event, tt := range map[string]struct {
		from *swarmtest.Process
		want string
	}{
		"check":     {check, "event time app channel state running version pinned reason why until bytes withdrawn"},
		"update":    {update, "event time app channel state version previous reason why unwell until bytes from{reuse lan peers edges origin} seconds healthy machine way patch_from saved_bytes"},
		"installed": {history, "event time app source running pinned bad{}"},
		"past":      {history, "event time ended state version previous why unwell seconds by_hand"},
	} {
		tt.from.Expect(event)
		for _, line := range tt.from.Lines() {
			if !strings.HasPrefix(line, `{"event":"`+event+`"`) {
				continue
			}
			if got := keysOf(t, line); got != tt.want {
				t.Errorf("%s has the fields %s, want %s", event, got, tt.want)
			}
		}
	}
}
