package updater

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The scenarios that are stopped at each step. first is in place already ("": nothing), then 2 is offered.
var scenarios = []struct {
	name    string
	inPlace bool
	first   string
	bad     bool // what is offered is not well
	want    string
}{
	{"a tree", false, "1", false, "2"},
	{"a bad tree", false, "1", true, "1"},
	{"the first tree", false, "", false, "2"},
	{"a bad first tree", false, "", true, ""},
	{"a file", true, "1", false, "2"},
	{"a bad file", true, "1", true, "1"},
}

// wellUnless is a health check that a version fails.
func wellUnless(version string) string { return "test $SHOAL_VERSION != " + version }

// prepare makes a machine to which version 2 is offered.
func prepare(t *testing.T, inPlace bool, first string, bad bool) *machine {
	t.Helper()
	m := newMachine(t, inPlace)
	if first != "" {
		m.install(first)
	}
	m.shelf.offer.Version = "2"
	if bad {
		m.cfg.Health = wellUnless("2")
		m.cfg.HealthTimeout = time.Nanosecond
	}
	return m
}

// stopped is thrown where a kill would end the process.
type stopped struct{ at op }

// stopAt runs an update, and stops it before the nth change of the disk, as a kill does: nothing is cleaned up. It returns where, or nil if there were fewer.
func (m *machine) stopAt(n int) (at *op, err error) {
	m.t.Helper()
	defer func() {
		if s := recover(); s != nil {
			x, ok := s.(stopped)
			if !ok {
				panic(s)
			}
			at = &x.at
		}
	}()
	u, err := newUpdater(m.cfg, func(o op) {
		if n--; n < 0 {
			panic(stopped{o})
		}
	})
	if err != nil {
		return nil, err
	}
	return nil, u.Once(m.t.Context())
}

func TestStoppedAtEachStep(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				m := prepare(t, s.inPlace, s.first, s.bad)
				at, err := m.stopAt(n)
				if at == nil {
					if n < 10 {
						t.Fatalf("only %d steps", n)
					}
					if (err == nil) == s.bad {
						t.Fatalf("without a stop: %v", err)
					}
					m.has(s.want)
					t.Logf("%d steps", n)
					return
				}
				if v, err := m.inPlace(); err != nil || v != "2" && v != s.first {
					t.Fatalf("stopped before %v: in place is %q (%v)", *at, v, err)
				}
				settle(t, m, fmt.Sprint(*at), s.want, s.bad)
			}
		})
	}
}

// settle starts the updater again, and wants the end that it had been meant to have, with nothing left behind.
func settle(t *testing.T, m *machine, at, want string, bad bool) {
	t.Helper()
	err := m.once()
	if bad && !errors.Is(err, ErrRolledBack) && !errors.Is(err, ErrHeld) || !bad && err != nil {
		t.Fatalf("stopped before %v: the next start ends with %v", at, err)
	}
	m.has(want)
	err = m.once()
	if bad && !errors.Is(err, ErrHeld) || !bad && err != nil {
		t.Fatalf("stopped before %v: the start after that ends with %v", at, err)
	}
	m.has(want)
	j := m.journal()
	if j.Running != want || j.Attempt != nil || bad != (len(j.Bad) == 1 && j.Bad[0].Version == "2") {
		t.Fatalf("stopped before %v: the journal says %+v", at, j)
	}
	l, err := newLayout(m.cfg.To, m.cfg.InPlace, &drive{})
	if err != nil {
		t.Fatal(err)
	}
	lies, err := os.ReadDir(l.versions())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range lies { // what the journal does not know would be in the way for ever
		if !slices.Contains(j.Placed, e.Name()) {
			t.Fatalf("stopped before %v: in versions lies %s, and the journal knows %v", at, e.Name(), j.Placed)
		}
	}
	for _, dir := range []string{l.trash(), filepath.Dir(l.stage("x"))} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 && !bad {
			t.Fatalf("stopped before %v: left in %s: %v %v", at, dir, left, err)
		}
	}
}

// What takes the machine down each time, between the switch and its confirmation, does not do so for ever.
func TestInterruptedAgainAndAgain(t *testing.T) {
	m := prepare(t, false, "1", false)
	for tries := 1; ; tries++ {
		u, err := newUpdater(m.cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		interrupted := func() (err error) {
			defer func() {
				if recover() != nil {
					err = errors.New("stopped")
				}
			}()
			u.cfg.Reporter = reporterFunc(func(r Report) {
				if r.State == StateSwitched {
					panic("the machine goes down")
				}
			})
			return u.Once(t.Context())
		}()
		if errors.Is(interrupted, ErrHeld) {
			if tries != maxTries+1 {
				t.Errorf("gone back from after %d tries, want %d", tries-1, maxTries)
			}
			break
		}
		if tries > maxTries {
			t.Fatalf("try %d ends with %v", tries, interrupted)
		}
	}
	m.has("1")
}

type reporterFunc func(Report)

func (f reporterFunc) Report(r Report) { f(r) }
