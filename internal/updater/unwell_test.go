package updater

import (
	"errors"
	"testing"
)

// The version before need not be well either: that is part of what an update ends with.
func TestNorIsTheOneBefore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, pre, post string
		state           State
		want            string
	}{
		{"bad", "", `[ "$SHOAL_ROLLBACK" ] && exit 3; exit 1`, StateRolledBack, "app@2: the post hook: exit code 1; 1 is in place again, and not well either: the post hook: exit code 3"},
		{"the pre hook fails", "exit 2", "exit 3", StateFailed, "the pre hook: exit code 2; 1 is in place again, and not well either: the post hook: exit code 3"},
	} {
		m := newMachine(t, false)
		m.install("1")
		m.shelf.offer.Version = "2"
		m.cfg.Pre, m.cfg.Post = tt.pre, tt.post
		err := m.once()
		var unwell *UnwellError
		if !errors.As(err, &unwell) || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		const why = "the post hook: exit code 3"
		if r := m.reports[len(m.reports)-1]; r.State != tt.state || r.Unwell != why || r.Healthy {
			t.Errorf("%s: told is %+v", tt.name, r)
		}
		if past := m.journal().History[1]; past.State != tt.state || past.Unwell != why {
			t.Errorf("%s: the journal has %+v", tt.name, past)
		}
		m.has("1")
		m.cfg.Pre, m.cfg.Post = "", ""
		m.install("3")
	}
}

// An update that was given up, and is brought to its end by the next start, does not keep that from going on.
func TestUnwellAfterAnInterruption(t *testing.T) {
	t.Parallel()
	m := newMachine(t, false)
	m.install("1")
	m.shelf.offer.Version = "2"
	m.cfg.Pre = "exit 2"
	m.cfg.Reporter = reporterFunc(func(r Report) {
		if r.State == StateGoingBack {
			panic("the machine goes down")
		}
	})
	func() {
		defer func() { _ = recover() }()
		t.Errorf("it goes on: %v", m.once())
	}()
	m.cfg.Reporter, m.cfg.Pre, m.cfg.Post = m, "", `[ -z "$SHOAL_ROLLBACK" ]`
	m.install("2")
	if past := m.journal().History[1]; past.State != StateFailed || past.Unwell == "" {
		t.Errorf("the journal has %+v", past)
	}
}
