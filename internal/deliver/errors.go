package deliver

import (
	"errors"
	"fmt"

	"shoal/internal/units"
)

// How a delivery can end short. Each is wrapped by an *Error that says it in the user's words;
// internal/cli has the table from these to exit codes.
var (
	// ErrSource is a SOURCE that cannot be understood, or whose kind this version does not fetch.
	ErrSource = errors.New("not a source")
	// ErrNoSource is content that nobody has: no peer, no web seed, no metainfo at the URL.
	ErrNoSource = errors.New("no source")
	// ErrStalled means that no byte came for the stall timeout.
	ErrStalled = errors.New("stalled")
	// ErrDeadline means that the user's deadline passed before the content was complete.
	ErrDeadline = errors.New("deadline passed")
	// ErrInterrupted is a stop asked for before the content was complete. What is verified is kept.
	ErrInterrupted = errors.New("interrupted")
	// ErrOutput means that Request.Stdout could not be written to; the reason is wrapped beside it.
	ErrOutput = errors.New("writing to stdout")
)

// Error is one of the sentinels above with what the user should know.
type Error struct {
	Kind    error  // one of this package's sentinels; errors.Is finds it
	Message string // what is wrong with what, one line, lower case
	Hint    string // what to do about it; may be empty
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Kind }

// maxRuns is how many runs of lost pieces a message names: the rest is in LostError.
const maxRuns = 8

// LostError is the end of a delivery of which pieces are with nobody any more.
type LostError struct {
	Ended  *Error
	Pieces []int // in ascending order
}

func (e *LostError) Error() string {
	if len(e.Pieces) == 1 {
		return fmt.Sprintf("%s; nobody here has piece %d", e.Ended.Message, e.Pieces[0])
	}
	runs, more := units.Runs(e.Pieces), ""
	if len(runs) > maxRuns {
		runs, more = runs[:maxRuns], ", …"
	}
	return fmt.Sprintf("%s; nobody here has %d pieces: %s%s", e.Ended.Message, len(e.Pieces), units.FormatRuns(runs), more)
}

func (e *LostError) Unwrap() error { return e.Ended }
