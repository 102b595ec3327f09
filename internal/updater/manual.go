package updater

import (
	"context"
	"fmt"
	"slices"

	"shoal/internal/release"
)

// Checked is what a check has found.
type Checked struct {
	App      string
	Running  string // the confirmed version; "": none
	Pinned   string
	Offer    *Offer
	Decision Decision // without asking the policy hook or the fleet's lock
}

// Check finds out what Once would do, and changes nothing. It needs no lock, and may run beside another.
func Check(ctx context.Context, c Config) (*Checked, error) {
	c = c.withDefaults()
	l, err := newLayout(c.To, c.InPlace, &drive{})
	if err != nil {
		return nil, err
	}
	j, err := readInstalled(c)
	if err != nil {
		return nil, err
	}
	o, err := c.Source.Check(ctx, Ask{Version: j.Pinned, Running: j.Running})
	if err != nil {
		return nil, err
	}
	d := decide(situation(c, j, o))
	if d.Action == Install {
		if err := l.free(j, o.Version); err != nil {
			return nil, err
		}
	}
	return &Checked{App: o.App, Running: j.Running, Pinned: j.Pinned, Offer: o, Decision: d}, nil
}

// readInstalled reads what is installed, without the lock: journals are replaced as a whole.
func readInstalled(c Config) (*journal, error) {
	l, err := newLayout(c.To, c.InPlace, &drive{})
	if err != nil {
		return nil, err
	}
	j, _, err := l.readJournal()
	if err != nil {
		return nil, err
	}
	_, err = sameApp(j, c)
	return j, err
}

// Installed is what is known about an installation.
type Installed struct {
	Source   string // as the user has named it
	Platform string // that he has named with it; "": this machine's
	App      string // "": nothing was ever installed
	Running  string
	Pinned   string
	Bad      []Bad
	History  []Past // oldest first
}

// History reads what was done at c.To, oldest first. It needs no lock, and no source.
func History(c Config) (*Installed, error) {
	j, err := readInstalled(c)
	if err != nil {
		return nil, err
	}
	return &Installed{j.Source, j.Platform, j.App, j.Running, j.Pinned, j.Bad, j.History}, nil
}

// PlacesOf says where an update of c.To would fetch a version to, and what it would begin with. It needs no lock, and nothing need be installed.
func PlacesOf(c Config, version string) (Places, error) {
	l, err := newLayout(c.To, c.InPlace, &drive{})
	if err != nil {
		return Places{}, err
	}
	j, err := readInstalled(c)
	if err != nil {
		return Places{}, err
	}
	return l.places(j, version), nil
}

// Rollback goes back to the version that was confirmed before the one in place, and has the latter not tried again. Without hooks of its own it runs those of the last Once.
// Where that was the last thing done it does nothing: who asks again may not have heard that it was. A version that is damaged is repaired first, with u's Source if that must be asked; where
// that fails it is a *DamagedError, and nothing was changed. asItLies has it not looked at.
func (u *Updater) Rollback(ctx context.Context, asItLies bool) error {
	done, err := u.take()
	if err != nil {
		return err
	}
	defer done()
	if u.cfg.Pre+u.cfg.Post+u.cfg.Health == "" {
		u.cfg.Hooks = u.journal.Hooks
	}
	if err := u.recover(ctx); err != nil {
		return err
	}
	j := u.journal
	if n := len(j.History); n > 0 && j.History[n-1].ByHand && j.History[n-1].State == StateConfirmed && j.History[n-1].Version == j.Running {
		u.tell(Report{State: StateCurrent, Version: j.Running})
		return nil
	}
	i := slices.IndexFunc(j.confirmed(), func(v string) bool { return v != j.Running && u.layout.owns(j, v) })
	if j.Running == "" || i < 0 {
		return fmt.Errorf("%w: there is none before %s to go back to", ErrNothing, ref(u.app, j.Running))
	}
	version := j.confirmed()[i]
	if !asItLies {
		if err := u.makeSure(ctx, version); err != nil {
			return err
		}
	}
	o := &Offer{App: u.app, Version: version}
	if d, err := u.acquire(ctx, o, false); err != nil {
		return err
	} else if d.Action == Hold {
		return u.hold(o, d)
	}
	j.markBad(j.Running, "rolled back by hand", u.cfg.Now())
	return u.update(ctx, version, j.hash(version), 0, true)
}

// Pin has the machine stay at a version, whatever the channel says; "" is the one in place. One that was bad here may be tried again.
func (u *Updater) Pin(version string) (string, error) {
	done, err := u.take()
	if err != nil {
		return "", err
	}
	defer done()
	if version == "" {
		version = u.journal.Running
	}
	if version == "" {
		return "", fmt.Errorf("%w: nothing is installed yet", ErrNothing)
	}
	if !release.ValidVersion(version) {
		return "", fmt.Errorf("%w: %q is not a version", ErrNothing, version)
	}
	u.journal.Pinned = version
	u.journal.forgive(version)
	return version, u.save()
}

// Running is the version that ran here when the journal was last read; "": none.
func (u *Updater) Running() string { return u.journal.Running }

// Unpin has the machine follow the channel again.
func (u *Updater) Unpin() error {
	done, err := u.take()
	if err != nil {
		return err
	}
	defer done()
	u.journal.Pinned = ""
	return u.save()
}

func ref(app, version string) string {
	if version == "" {
		return "nothing"
	}
	return app + "@" + version
}
