package updater

import (
	"context"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

// Offer is what a machine should have, as it was signed and verified.
type Offer struct {
	App     string
	Channel string // "": a version that was pinned
	Version string
	V2      string // the content's info hash in hex; a version has one for ever
	Bytes   int64
	// Withdrawn is why the publisher has taken back the version that runs; "": it has not.
	Withdrawn string
	// Rollout is how far the version may have spread; nil: everywhere.
	Rollout *Rollout
	Damaged bool // it is here, and not as it should be
}

// Ask is what a Source is asked for.
type Ask struct {
	Version string // instead of the channel's; "": the channel's
	Running string // to be looked up as well, whether it was withdrawn; may be ""
}

// Source finds and fetches what is signed.
type Source interface {
	// Check finds out what this machine should have. It fetches no content.
	Check(ctx context.Context, a Ask) (*Offer, error)
	// Fetch brings the content of what was offered to p.Dir/NAME, and says what it should be; what lies there already is used.
	Fetch(ctx context.Context, o *Offer, p Places) (*Fetched, error)
}

// Describer is a Source that remembers what it has fetched.
type Describer interface {
	// Describe says what a content should be, by its v2 info hash in hex. It asks nobody; nil: it is not known here.
	Describe(v2 string) *piece.Info
}

// Places are where a Source finds and leaves what belongs to a fetch.
type Places struct {
	Dir string // where the content goes to
	// File says that only a single file is of use. A Source that knows that it is none refuses it before it fetches.
	File bool
	// Kept is what lies here of older versions, or of this one, to use what is right in it: the likeliest first.
	Kept []Kept
	// Gone are versions that were here, and may lie elsewhere on this machine: the newest first.
	Gone []string
	// Left is where another version was staged that the channel has left meanwhile, as far as that came; "": none. It goes when this one is here.
	Left string
	// Give is a directory where archives and patches may stay, for as long as the version is the one that runs.
	Give string
	// Final is where the content will lie when it is installed.
	Final func(info *piece.Info) string
}

// Kept is a version that lies on this machine.
type Kept struct {
	Path string // of the tree, of a directory with the one file, or of that
	V2   string // the content's info hash in hex; "": it is not known, and it may be anything
}

// Fetched is content on this disk, and its description, by which it is verified again.
type Fetched struct {
	Info *piece.Info // NAME is Info.Name
	From [swarm.Classes]int64
	Way  string // tree, archive or patch; "": not known
	Base string // the version that a patch begins with
}

// State is how far an update is: a word for scripts, never renamed.
type State string

const (
	StateCurrent    State = "current"     // nothing is to be done
	StateHeld       State = "held"        // there is something, and not now
	StateAvailable  State = "available"   // there is something: check and --dry-run end here
	StateStaging    State = "staging"     //
	StateStaged     State = "staged"      // verified, on this disk
	StatePreparing  State = "preparing"   // the pre hook runs
	StateSwitched   State = "switched"    // it is the one that is used from now on, until it proves bad
	StateConfirmed  State = "confirmed"   // and it is well
	StateGoingBack  State = "going-back"  //
	StateRolledBack State = "rolled-back" // the version before is in place again
	StateFailed     State = "failed"      // the switch was not made
	StateError      State = "error"       // something went wrong before anything was changed; it is tried again
)

// Report tells a step of an update.
type Report struct {
	Machine  string
	App      string
	Channel  string
	State    State
	Version  string // that the step is about
	Previous string // that was confirmed before it; may be ""
	Running  string // that is in place, confirmed; may be ""
	Reason   Reason // why it is held
	Why      string // for people: why it is held, or what went wrong
	Unwell   string // why Previous, which is in place again, is not well either
	Until    time.Time
	Bytes    int64                // of content
	From     [swarm.Classes]int64 // where they came from, once staged by this process
	Way      string               // and how, see Fetched
	Base     string
	Took     time.Duration // since the update began
	Healthy  bool          // a health check said so; false also where there is none
}

// Reporter hears of every step, in order. What goes wrong with telling is its own business.
type Reporter interface {
	Report(r Report)
}
