package rollout

import (
	"time"

	"shoal/internal/fleet"
)

// Outcome is how a version has gone at a machine.
type Outcome string

const (
	Untried Outcome = ""     // it has not begun
	Open    Outcome = "open" // it has begun to change what is used, and has not said how that went
	Good    Outcome = "good" // the version is in place, and well
	Bad     Outcome = "bad"  // the machine went back from it, or could not switch
)

// Record is what is known of a machine and an app.
type Record struct {
	fleet.Report
	Key       string     `json:"key"`              // the id of the key that signs its reports; "": they are anonymous
	Seen      time.Time  `json:"seen"`             // by the origin's clock
	Digest    string     `json:"digest"`           // of the last report
	Tried     string     `json:"tried"`            // the version that Outcome is about
	Outcome   Outcome    `json:"outcome"`          //
	LastError string     `json:"last_error"`       //
	ErrorOf   string     `json:"error_version"`    // the version that was tried then; "": none, or it is not known
	ErrorAt   *time.Time `json:"error_at"`         // nil: there was none
	Total     fleet.From `json:"total"`            // bytes by source, of all that the machine has fetched since it reports
	Cloned    bool       `json:"cloned,omitempty"` // two machines report as one
}

// The states of package updater that say something about a version; they are never renamed.
const (
	stateCurrent    = "current"
	stateHeld       = "held"
	stateStaged     = "staged"
	statePreparing  = "preparing"
	stateSwitched   = "switched"
	stateConfirmed  = "confirmed"
	stateGoingBack  = "going-back"
	stateRolledBack = "rolled-back"
	stateFailed     = "failed"
	stateError      = "error"
)

// reasonBad is updater.HeldBad.
const reasonBad = "bad"

// next is what is known after a report, which is one that was not heard before. old is nil for the first. It reports nil for one that was heard already.
func (old *Record) next(r *fleet.Report, key, digest string, now time.Time) *Record {
	n := &Record{Report: *r, Key: key, Seen: now.UTC(), Digest: digest}
	if old != nil {
		if old.Digest == digest {
			return nil
		}
		n.Tried, n.Outcome, n.LastError, n.ErrorOf, n.ErrorAt, n.Total = old.Tried, old.Outcome, old.LastError, old.ErrorOf, old.ErrorAt, old.Total
		n.Cloned = old.Cloned || forked(old, r)
	}
	switch r.State {
	case stateStaged:
		if !r.Again {
			n.Total = sum(n.Total, r.From)
		}
	case statePreparing, stateSwitched, stateGoingBack:
		n.Tried, n.Outcome = r.Version, Open
	case stateConfirmed, stateCurrent:
		n.Tried, n.Outcome = r.Version, Good
	case stateRolledBack, stateFailed:
		n.Tried, n.Outcome = r.Version, Bad
	case stateHeld:
		if r.Reason == reasonBad { // how it came to that was not heard
			n.Tried, n.Outcome = r.Version, Bad
		}
	}
	switch r.State {
	case stateGoingBack, stateRolledBack, stateFailed, stateError:
		if r.Why != "" && !r.Again {
			at := now.UTC()
			n.LastError, n.ErrorOf, n.ErrorAt = r.Why, r.Version, &at
			if r.State == stateError { // nothing of it was tried
				n.ErrorOf = ""
			}
		}
	}
	return n
}

// forked says that a report does not follow the one before: each of two machines has gone on by itself.
func forked(old *Record, r *fleet.Report) bool {
	return r.Sequence <= old.Sequence || r.Sequence == old.Sequence+1 && r.After != "" && r.After != old.Digest
}

func sum(a, b fleet.From) fleet.From {
	return fleet.From{Reuse: a.Reuse + b.Reuse, LAN: a.LAN + b.LAN, Peers: a.Peers + b.Peers, Edges: a.Edges + b.Edges, Origin: a.Origin + b.Origin}
}

// due is when a machine must have reported again: what it has promised, and some more.
func (r *Record) due() time.Time {
	every := time.Duration(r.Every) * time.Second
	return r.Seen.Add(every + min(every/4, time.Minute))
}

// Stale says whether the machine has not been heard of for three times as long as it has promised.
func (r *Record) Stale(now time.Time) bool {
	return now.After(r.Seen.Add(3 * time.Duration(r.Every) * time.Second))
}
