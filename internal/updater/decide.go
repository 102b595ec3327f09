package updater

import (
	"fmt"
	"slices"
	"time"

	"shoal/internal/schedule"
)

// Reason is why something is held: a word for scripts, never renamed.
type Reason string

const (
	HeldBad    Reason = "bad"    // this machine had to go back from it
	HeldWindow Reason = "window" // not at this time
	HeldPolicy Reason = "policy" // the policy hook says no
	HeldWave   Reason = "wave"   // others come first
	HeldPaused Reason = "paused" // the rollout is
	HeldHalted Reason = "halted" // the rollout is, for good
	HeldLock   Reason = "lock"   // too many machines switch at this moment
)

// Action is what comes of a decision.
type Action uint8

const (
	Stay    Action = iota // the machine has what it should have
	Hold                  // it should have something else, and not now
	Install               // now
)

// Decision is what a machine does about an offer.
type Decision struct {
	Action Action
	Reason Reason    // of Hold
	Why    string    // the same for people
	Until  time.Time // when the answer changes by itself; zero: not known
	// Counted is that it may Install if the origin of its fleet counts it in, and not otherwise.
	Counted bool
}

// Situation is everything that a decision depends on.
type Situation struct {
	Now     time.Time
	Offer   *Offer
	Running string    // the confirmed version; "": none
	Since   time.Time // when this machine first saw what is offered
	Bad     []string  // versions that it had to go back from
	Pinned  string    // that it is to stay at; "": none

	Machine string
	Groups  []string
	Asks    bool // it can ask the origin of its fleet to be counted in

	Window   schedule.Windows // when it may change; nil: always
	MaxDefer time.Duration    // after which window and policy count no more; 0: never
	Refused  string           // why the policy hook says no; "": it does not, or was not asked
}

// decide says what a machine does. What the publisher has signed comes first, then what the fleet allows, then what the machine's owner wants.
// The version is the channel's, whichever it is: versions are never ordered by name, and that a channel is not an older one again is TUF's to make sure.
func decide(s Situation) Decision {
	o := s.Offer
	if o.Version == s.Running {
		return Decision{Action: Stay}
	}
	if slices.Contains(s.Bad, o.Version) {
		why := "this machine had to go back from it; the next version is tried, or this one when it is pinned"
		if o.Version == s.Pinned {
			why = "this machine had to go back from it, and is pinned to it; it is tried when it is pinned once more, the channel's version when it is unpinned"
		}
		return Decision{Action: Hold, Reason: HeldBad, Why: why}
	}
	install := Decision{Action: Install}
	if r := o.Rollout; r != nil {
		in := r.Reached(s.Machine, s.Groups, o.V2)
		install.Counted = !in && r.Counted() && s.Asks
		switch {
		case r.Halted:
			return Decision{Action: Hold, Reason: HeldHalted, Why: because("its rollout is halted", r.Why)}
		case r.Paused:
			return Decision{Action: Hold, Reason: HeldPaused, Why: because("its rollout is paused", r.Why)}
		case !in && !install.Counted:
			return Decision{Action: Hold, Reason: HeldWave, Why: fmt.Sprintf("its rollout is at wave %d of %d, and has not reached this machine", r.Wave+1, len(r.Waves))}
		}
	}
	since := s.Since
	if since.After(s.Now) { // the clock was put back
		since = s.Now
	}
	latest := since.Add(s.MaxDefer)
	if s.MaxDefer > 0 && !s.Now.Before(latest) {
		return install
	}
	earlier := func(t time.Time) time.Time {
		if s.MaxDefer > 0 && (t.IsZero() || latest.Before(t)) {
			return latest
		}
		return t
	}
	if s.Window != nil && !s.Window.Open(s.Now) {
		opens, _ := s.Window.Next(s.Now)
		return Decision{Action: Hold, Reason: HeldWindow, Why: "it is outside of the window " + s.Window.String(), Until: earlier(opens)}
	}
	if s.Refused != "" {
		return Decision{Action: Hold, Reason: HeldPolicy, Why: s.Refused, Until: earlier(time.Time{})}
	}
	return install
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}
