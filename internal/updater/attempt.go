package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// update switches to a version that lies staged or in versions/, and makes sure that it is well.
func (u *Updater) update(ctx context.Context, version, v2 string, bytes int64, byHand bool) error {
	if u.staged.version == version && u.staged.content != "" {
		if err := u.place(ctx); err != nil {
			return err
		}
		if err := u.layout.drive.remove(u.layout.stage(version)); err != nil {
			return err
		}
		u.staged.content = ""
	}
	j := u.journal
	if j.Running == "" {
		if err := u.layout.keepBefore(ctx); err != nil {
			return err
		}
	}
	j.Attempt = &attempt{Version: version, V2: v2, Previous: j.Running, Step: stepPre, Bytes: bytes, Begun: u.cfg.Now(), ByHand: byHand}
	if err := u.save(); err != nil {
		j.Attempt = nil
		return err
	}
	u.tell(Report{State: StatePreparing, Version: version, Previous: j.Running, Bytes: bytes})
	if err := u.runHook(ctx, "pre", u.cfg.Pre, version, j.Running, false); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return u.giveUp(ctx, err)
	}
	return u.finish(ctx)
}

// finish does what comes from the switch on, for the first time or after an interruption.
func (u *Updater) finish(ctx context.Context) error {
	j := u.journal
	a := j.Attempt
	if a.Step, a.Tries = stepSwitch, a.Tries+1; a.Tries > maxTries {
		return u.back(ctx, fmt.Sprintf("the update was interrupted %d times after the switch", maxTries), true)
	}
	if err := u.save(); err != nil {
		return err
	}
	if err := u.layout.switchTo(ctx, a.Version); err != nil {
		return u.refused(ctx, err)
	}
	u.tell(Report{State: StateSwitched, Version: a.Version, Previous: a.Previous, Bytes: a.Bytes})
	err := u.runHook(ctx, "post", u.cfg.Post, a.Version, a.Previous, false)
	if err == nil {
		err = u.health(ctx, a.Version, a.Previous, false)
	}
	if ctx.Err() != nil { // the next start goes on here
		return ctx.Err()
	}
	if err != nil {
		return u.back(ctx, err.Error(), true)
	}
	j.forgive(a.Version)
	j.end(StateConfirmed, u.cfg.Now())
	if err := u.save(); err != nil {
		return err
	}
	u.tell(Report{State: StateConfirmed, Version: a.Version, Previous: a.Previous, Bytes: a.Bytes, Healthy: u.cfg.Health != ""})
	u.staged = staged{}
	u.release(ctx)
	return errors.Join(u.drive.remove(u.layout.before()), u.prune())
}

// refused is a disk that did not let us switch: what was in place is still there.
func (u *Updater) refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return u.giveUp(ctx, err)
}

// giveUp goes back for a reason that is not the version's, and returns it with what comes of that.
func (u *Updater) giveUp(ctx context.Context, cause error) error {
	if err := u.back(ctx, cause.Error(), false); err != nil {
		return fmt.Errorf("%w; %w", cause, err)
	}
	return cause
}

// back gives up the update under way: what was in place before is so again. bad has the version not tried any more.
func (u *Updater) back(ctx context.Context, why string, bad bool) error {
	a := u.journal.Attempt
	a.Step, a.Why = stepBack, why
	if bad {
		u.journal.markBad(a.Version, why, u.cfg.Now())
	}
	if err := u.save(); err != nil {
		return err
	}
	return u.goBack(ctx)
}

// goBack does what stepBack says. Of a version that is bad it returns a *RolledBackError, else of one before it that is not well either an *UnwellError. The post hook runs whatever came of the pre hook, so that what that has stopped is started.
func (u *Updater) goBack(ctx context.Context) error {
	j := u.journal
	a := j.Attempt
	u.cfg.Log.Warn("going back", "version", a.Version, "previous", a.Previous, "err", a.Why)
	u.tell(Report{State: StateGoingBack, Version: a.Version, Previous: a.Previous, Why: a.Why})
	if err := u.layout.switchTo(ctx, a.Previous); err != nil {
		return err
	}
	healthy := false
	var unwell *UnwellError
	if a.Previous != "" {
		err := u.runHook(ctx, "post", u.cfg.Post, a.Previous, a.Version, true)
		if err == nil {
			err = u.health(ctx, a.Previous, a.Version, true)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if healthy = err == nil && u.cfg.Health != ""; err != nil {
			unwell = &UnwellError{a.Previous, err.Error()}
			u.cfg.Log.Error("the version before is in place again, and not well either", "version", a.Previous, "err", err)
		}
	}
	state := StateFailed
	if a.Tries > 0 {
		state = StateRolledBack
	}
	j.end(state, u.cfg.Now())
	r := Report{State: state, Version: a.Version, Previous: a.Previous, Why: a.Why, Healthy: healthy}
	if unwell != nil {
		r.Unwell = unwell.Why
		j.History[len(j.History)-1].Unwell = unwell.Why
	}
	if err := u.save(); err != nil {
		return err
	}
	u.tell(r)
	u.staged = staged{}
	u.release(ctx)
	err := u.prune()
	switch {
	case slices.Contains(j.badVersions(), a.Version): // else whoever gave it up says why
		err = errors.Join(&RolledBackError{u.app, a.Version, a.Previous, a.Why, a.Version == j.Pinned, unwell}, err)
	case unwell != nil:
		err = errors.Join(unwell, err)
	}
	return err
}

// recover brings what was interrupted to an end. That the end is to go back is no error here.
func (u *Updater) recover(ctx context.Context) error {
	j := u.journal
	a := j.Attempt
	var err error
	switch {
	case a == nil:
		err = u.heal(ctx)
	case a.Step == stepBack:
		err = u.goBack(ctx)
	case a.Step == stepSwitch && u.layout.has(a.Version):
		u.cfg.Log.Info("going on with an update that was interrupted", "version", a.Version)
		err = u.finish(ctx)
	default:
		err = u.back(ctx, "it was interrupted before the switch", false)
	}
	var unwell *UnwellError
	if err != nil && !errors.Is(err, ErrRolledBack) && !errors.As(err, &unwell) {
		return err
	}
	if j.Slot != nil {
		u.release(ctx)
	}
	return u.layout.emptyTrash()
}

// heal puts the version in place that should be, if somebody has taken the name away. Without the version nothing is installed.
func (u *Updater) heal(ctx context.Context) error {
	j := u.journal
	if j.Running == "" {
		return nil
	}
	if !u.layout.has(j.Running) {
		u.cfg.Log.Warn("the version that was installed is not there any more", "version", j.Running)
		j.Running = ""
		return u.save()
	}
	if u.layout.inPlace || u.layout.leadsTo(j.Running) {
		return nil
	}
	u.cfg.Log.Warn("the link to the version in place was changed, and is put right", "version", j.Running)
	return u.layout.switchTo(ctx, j.Running)
}
