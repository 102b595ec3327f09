package updater

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shoal/internal/disk"
	"shoal/internal/schedule"
	"shoal/piece"
)

func TestUpdate(t *testing.T) {
	t.Parallel()
	for _, inPlace := range []bool{false, true} {
		m := newMachine(t, inPlace)
		m.install("1")
		if got, want := m.states(), "staging staged preparing switched confirmed"; got != want {
			t.Errorf("the first: %s, want %s", got, want)
		}
		if err := m.once(); err != nil {
			t.Errorf("again: %v", err)
		}
		if got := m.states(); got != "current" {
			t.Errorf("again: %s, want nothing done", got)
		}
		m.install("2")
		m.install("3")
		left, err := os.ReadDir(mustLayout(t, m).versions())
		if err != nil || len(left) != 2 || left[0].Name() != "2" || left[1].Name() != "3" {
			t.Errorf("versions there: %v (%v), want 2 and 3", left, err)
		}
		if j := m.journal(); j.Running != "3" || j.App != "app" || j.Source != "somewhere/app:stable" || len(j.History) != 3 || j.History[2].Previous != "2" {
			t.Errorf("journal %+v", j)
		}
	}
}

func mustLayout(t *testing.T, m *machine) *layout {
	t.Helper()
	l, err := newLayout(m.cfg.To, m.cfg.InPlace, &drive{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What is not well is gone back from, not tried again, and the next version is.
func TestBadVersion(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.states()
	m.cfg.Health, m.cfg.HealthTimeout = wellUnless("2"), 100*time.Millisecond
	log := filepath.Join(t.TempDir(), "log")
	m.cfg.Post = `echo "$SHOAL_STEP $SHOAL_VERSION after $SHOAL_PREVIOUS$SHOAL_ROLLBACK in $(readlink "$SHOAL_CURRENT")" >> ` + log
	m.shelf.offer.Version = "2"
	if err := m.once(); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("a bad version ends with %v", err)
	}
	m.has("1")
	if got, want := m.states(), "staging staged preparing switched going-back rolled-back"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b, err := os.ReadFile(log)
	if want := "post 2 after 1 in versions/2\npost 1 after 21 in versions/1\n"; err != nil || string(b) != want {
		t.Errorf("hooks: %q (%v), want %q", b, err, want)
	}
	var held *HeldError
	if err := m.once(); !errors.As(err, &held) || held.Decision.Reason != HeldBad {
		t.Errorf("the bad version again: %v", err)
	}
	m.has("1")
	m.cfg.HealthTimeout = time.Minute
	m.install("3")
	if _, err := os.Stat(filepath.Join(m.cfg.To, "versions", "2")); err == nil {
		t.Error("the bad version is still there")
	}
}

// A file that was there before us comes back when the first version is bad.
func TestFirstInPlaceIsUndone(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	if err := os.WriteFile(m.cfg.To, []byte("mine"), 0o755); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(m.cfg.To), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.cfg.To, []byte("mine"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.shelf.offer.Version = "1"
	m.cfg.Post = "false"
	if err := m.once(); !errors.Is(err, ErrRolledBack) {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(m.cfg.To); err != nil || string(b) != "mine" {
		t.Errorf("%q (%v), want what was there", b, err)
	}
}

func TestNotOurPlace(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	other := m.cfg
	other.App = "other"
	if u, err := New(other); err != nil {
		t.Fatal(err)
	} else if err := u.Once(t.Context()); !errors.Is(err, ErrLayout) {
		t.Errorf("another app: %v", err)
	}
	other = m.cfg
	other.InPlace = true
	if _, err := New(other); !errors.Is(err, ErrLayout) {
		t.Errorf("in place of a directory: %v", err)
	}
	taken := filepath.Join(t.TempDir(), "opt")
	if err := os.MkdirAll(filepath.Join(taken, "current"), 0o755); err != nil {
		t.Fatal(err)
	}
	other = m.cfg
	other.To = taken
	if _, err := New(other); !errors.Is(err, ErrLayout) {
		t.Errorf("a directory in the way: %v", err)
	}
}

func TestPreHookSaysNo(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.shelf.offer.Version = "2"
	m.cfg.Pre = "exit 3"
	err := m.once()
	var hook *HookError
	if !errors.As(err, &hook) || hook.Hook != "pre" || !strings.Contains(err.Error(), "exit code 3") || errors.Is(err, ErrRolledBack) {
		t.Errorf("%v, want the hook's exit code", err)
	}
	m.has("1")
	m.cfg.Pre = ""
	m.install("2") // it is not bad
}

// A hook that hangs is killed, with what it has started.
func TestHookHangs(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	pids := filepath.Join(t.TempDir(), "pids")
	m.cfg.Post = `[ "$SHOAL_ROLLBACK" ] && exit; sleep 1000 & echo $! $$ > ` + pids + `; sleep 1000`
	m.cfg.HookTimeout = 300 * time.Millisecond
	m.shelf.offer.Version = "2"
	if err := m.once(); !errors.Is(err, ErrRolledBack) || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v", err)
	}
	m.has("1")
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); running(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d of the hook still runs", pid)
			}
		}
	}
}

// running says whether a process does, which nobody may have waited for yet.
func running(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(state, "Z")
}

// Health that comes and goes is none.
func TestHealthFlaps(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%3 == 0 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	m.cfg.Health, m.cfg.HealthTimeout = server.URL, 200*time.Millisecond
	m.shelf.offer.Version = "2"
	if err := m.once(); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("after %d checks: %v", asked.Load(), err)
	}
	m.has("1")
}

func TestTwoUpdaters(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.shelf.offer.Version = "2"
	second := m.cfg
	second.Reporter = nil
	m.cfg.Reporter = reporterFunc(func(r Report) {
		if r.State != StateSwitched {
			return
		}
		u, err := New(second)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Once(t.Context()); !errors.Is(err, disk.ErrHeld) {
			t.Errorf("a second updater: %v, want held", err)
		}
		if c, err := Check(t.Context(), second); err != nil || c.Running != "1" {
			t.Errorf("a check beside it: %+v, %v", c, err)
		}
	})
	if err := m.once(); err != nil {
		t.Fatal(err)
	}
	m.has("2")
}

// What arrives on the disk is verified as it lies there, whoever brought it.
func TestBrokenContent(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.shelf.offer.Version, m.shelf.broken = "2", true
	if err := m.once(); !errors.Is(err, piece.ErrCorrupt) {
		t.Fatal(err)
	}
	m.has("1")
	m.shelf.broken = false
	m.install("2")
}

func TestHeldAndPinned(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.install("2")
	m.shelf.offer.Version = "3"
	now := time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)
	m.cfg.Now = func() time.Time { return now }
	m.cfg.Window, _ = schedule.ParseWindows("Sat,Sun 02:00-05:00")
	m.cfg.MaxDefer = 72 * time.Hour
	held := func(reason Reason) {
		t.Helper()
		var h *HeldError
		if err := m.once(); !errors.As(err, &h) || h.Decision.Reason != reason || !errors.Is(err, ErrHeld) {
			t.Fatalf("%v, want held for %s", err, reason)
		}
		m.has("2")
	}
	held(HeldWindow)
	now = now.Add(71 * time.Hour)
	held(HeldWindow)
	m.cfg.Window, m.cfg.Policy = nil, "test $SHOAL_VERSION != 3"
	held(HeldPolicy)
	m.cfg.Policy, m.cfg.Lock = "", &fakeLock{full: true}
	held(HeldLock)
	m.cfg.Lock = nil

	u, err := New(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := u.Pin(""); v != "2" || err != nil {
		t.Fatalf("pinned %q, %v", v, err)
	}
	if err := m.once(); err != nil {
		t.Errorf("pinned: %v", err)
	}
	m.has("2")
	if _, err := u.Pin("1"); err != nil {
		t.Fatal(err)
	}
	if err := m.once(); err != nil {
		t.Errorf("pinned to 1: %v", err)
	}
	m.has("1")
	if err := u.Unpin(); err != nil {
		t.Fatal(err)
	}
	m.install("3")
	if _, err := u.Pin("../x"); err == nil {
		t.Error("a path is pinned")
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	log := filepath.Join(t.TempDir(), "log")
	m.cfg.Post = "echo $SHOAL_VERSION >> " + log
	m.install("1")
	u, err := New(Config{To: m.cfg.To, HealthEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Rollback(t.Context(), false); !errors.Is(err, ErrNothing) {
		t.Fatalf("with nothing to go back to: %v", err)
	}
	m.install("2")
	for range 2 { // again is once
		if err := u.Rollback(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		m.has("1")
	}
	if err := m.once(); !errors.Is(err, ErrHeld) {
		t.Errorf("after a rollback the channel's version is tried again: %v", err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "1\n2\n1\n" {
		t.Errorf("hooks ran for %q (%v), want the rollback's too", b, err)
	}
	if j := m.journal(); !j.History[2].ByHand || j.History[2].Version != "1" {
		t.Errorf("history %+v", j.History)
	}
	m.install("3")
}

// A version that is kept, and right, is gone back to without being fetched or copied; one that is damaged is put right.
func TestChannelGoesBack(t *testing.T) {
	t.Parallel()
	for _, inPlace := range []bool{false, true} {
		m := newMachine(t, inPlace)
		m.install("1")
		m.install("2")
		m.shelf.gone = true
		m.install("1")
		m.install("2")
		m.shelf.gone = false
		at := filepath.Join(mustLayout(t, m).version("1"), map[bool]string{true: "app", false: "bin/app"}[inPlace])
		if err := errors.Join(os.Remove(at), os.Mkdir(at, 0o755)); err != nil {
			t.Fatal(err)
		}
		m.install("1")
	}
}

// A version that is gone back to is what it should be, is made so, or is not gone back to; nobody need be asked where it is.
func TestRollbackLooksFirst(t *testing.T) {
	t.Parallel()
	for _, inPlace := range []bool{false, true} {
		for _, c := range []struct {
			name                    string
			damaged, gone, asItLies bool
			want                    string // in place; X is the damaged one
		}{
			{"a version that is right, with nobody to ask", false, true, false, "1"},
			{"one that is damaged", true, false, false, "1"},
			{"one that is damaged, with nobody to ask", true, true, false, "2"},
			{"one that is damaged, as it lies", true, true, true, "X"},
		} {
			m := newMachine(t, inPlace)
			m.install("1")
			m.install("2")
			if at := filepath.Join(mustLayout(t, m).version("1"), map[bool]string{true: "app", false: "bin/app"}[inPlace]); c.damaged {
				if err := os.WriteFile(at, []byte("#!/bin/sh\necho X\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			before := m.journal()
			m.shelf.gone = c.gone
			u, err := New(m.cfg)
			if err != nil {
				t.Fatal(err)
			}
			var damaged *DamagedError
			switch err := u.Rollback(t.Context(), c.asItLies); {
			case c.want != "2" && err != nil:
				t.Errorf("to %s: %v", c.name, err)
			case c.want == "2" && (!errors.Is(err, piece.ErrCorrupt) || !errors.As(err, &damaged) || damaged.Bad != 1):
				t.Errorf("to %s: %v, want it refused", c.name, err)
			}
			if v, err := m.inPlace(); v != c.want && !(c.want == "X" && v == "1" && err != nil) {
				t.Errorf("to %s: in place is %s (%v), want %s", c.name, v, err, c.want)
			}
			if after := m.journal(); c.want == "2" && (len(after.History) != len(before.History) || len(after.Bad) > 0 || after.Attempt != nil) {
				t.Errorf("to %s: the journal has changed: %+v", c.name, after)
			}
		}
	}
}

// A link that somebody has changed is put right, and a version that is gone is fetched again.
func TestHeals(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	if err := os.Remove(filepath.Join(m.cfg.To, "current")); err != nil {
		t.Fatal(err)
	}
	m.install("1")
	if err := os.RemoveAll(filepath.Join(m.cfg.To, "versions", "1")); err != nil {
		t.Fatal(err)
	}
	m.install("1")
}

func TestMachineID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a, err := MachineID(dir)
	if err != nil || len(a) != 32 {
		t.Fatalf("%q, %v", a, err)
	}
	if b, err := MachineID(dir); err != nil || b != a {
		t.Errorf("then %q, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "machine-id"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := MachineID(dir); err == nil {
		t.Errorf("an empty file is the id %q", b)
	}
}
