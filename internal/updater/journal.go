package updater

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"shoal/internal/disk"
)

// step is how far an update is that has begun to change what is used.
type step string

const (
	// stepPre: the version lies in versions/, the pre hook runs. After an interruption the update is given up: post hook for the version that is in place.
	stepPre step = "pre"
	// stepSwitch: switch, post hook and health check are being done. After an interruption they are done again, up to maxTries times.
	stepSwitch step = "switch"
	// stepBack: the version before is being put in place again, then the post hook. After an interruption it is done again.
	stepBack step = "back"
)

// maxTries is how often an update is tried that is interrupted between the switch and its confirmation: what takes the machine down each time must not do so for ever.
const maxTries = 2

// Bounds of the journal.
const (
	maxHistory = 100
	maxBad     = 50
)

// journal is what a machine knows about one app: journal.json, replaced as a whole with each change. There is nothing else that knows which version was good, what proved
// bad and what is pinned, so a copy lies beside it. That is written first: like the journal it is never behind what was done.
type journal struct {
	Format   int      `json:"format"`         // 1
	Source   string   `json:"source"`         // as the user has named it
	Keep     int      `json:"keep,omitempty"` // versions, see Config.Keep
	App      string   `json:"app"`
	Platform string   `json:"platform,omitempty"` // that was named last; "": this machine's
	Running  string   `json:"running,omitempty"`  // the version that was confirmed last
	Placed   []string `json:"placed"`             // what is ours in versions/, see own.go; nil: an older shoal has written it, and what it names is
	Pinned   string   `json:"pinned,omitempty"`
	Seen     seen     `json:"seen,omitzero"`
	Hooks    Hooks    `json:"hooks"`
	Attempt  *attempt `json:"attempt,omitempty"` // what is under way; nil: nothing
	Slot     *slot    `json:"slot,omitempty"`    // what was asked of the fleet's lock and not given back
	Bad      []Bad    `json:"bad,omitempty"`
	History  []Past   `json:"history,omitempty"` // oldest first
}

// seen is when a version was first offered to this machine.
type seen struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
}

// attempt is an update that has begun to change what is used.
type attempt struct {
	Version  string    `json:"version"`
	V2       string    `json:"v2,omitempty"`       // the content's info hash in hex
	Previous string    `json:"previous,omitempty"` // what it goes back to; "": nothing was installed
	Step     step      `json:"step"`
	Tries    int       `json:"tries"` // how often switch, post and health were begun
	Bytes    int64     `json:"bytes"`
	Begun    time.Time `json:"begun"`
	Why      string    `json:"why,omitempty"` // it goes back
	ByHand   bool      `json:"by_hand,omitempty"`
}

// slot is a place among the machines that may switch at once.
type slot struct {
	Token   string `json:"token,omitempty"`
	Counted bool   `json:"counted,omitempty"` // it is of the origin that counts who comes
}

// Bad is a version that this machine had to go back from.
type Bad struct {
	Version string    `json:"version"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

// Past is an update that is over.
type Past struct {
	At       time.Time `json:"at"`
	State    State     `json:"state"` // confirmed, rolled-back or failed
	Version  string    `json:"version"`
	V2       string    `json:"v2,omitempty"` // the content's info hash in hex; "": an older shoal has written it
	Previous string    `json:"previous,omitempty"`
	Why      string    `json:"why,omitempty"`
	Unwell   string    `json:"unwell,omitempty"` // why Previous, gone back to, was not well either
	Seconds  float64   `json:"seconds"`          // from the pre hook on
	ByHand   bool      `json:"by_hand,omitempty"`
}

// readJournal reads the journal; where there is none it is empty. One that is gone or damaged is taken from its copy: damaged says then what is wrong with it.
func (l *layout) readJournal() (j *journal, damaged, err error) {
	b, err := os.ReadFile(l.journal())
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case gone && !disk.Exists(l.copy()):
		return &journal{Format: 1, Placed: []string{}}, nil, nil
	case gone:
		damaged = errors.New("it is gone")
	case err != nil:
		return nil, nil, err
	default:
		if j, damaged = parseJournal(b); damaged == nil || errors.Is(damaged, ErrLayout) {
			return j, nil, damaged
		}
	}
	if b, err = os.ReadFile(l.copy()); err == nil {
		j, err = parseJournal(b)
	}
	if err != nil {
		away := l.to
		if l.inPlace {
			away = l.state
		}
		return nil, nil, &LayoutError{fmt.Sprintf("%s is damaged (%v), and there is no good copy of it", l.journal(), damaged), "put it back from a backup, or move " + away + " away and name the SOURCE again"}
	}
	return j, damaged, nil
}

func parseJournal(b []byte) (*journal, error) {
	var j journal
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, err
	}
	if j.Format > 1 {
		return nil, &LayoutError{fmt.Sprintf("the journal of the installation has format %d: a newer shoal has written it", j.Format), "use that one"}
	}
	if j.Format < 1 {
		return nil, errors.New("it has no format")
	}
	if j.Placed == nil {
		j.Placed = j.named()
	}
	return &j, nil
}

func (j *journal) encode() ([]byte, error) {
	j.History = j.History[max(0, len(j.History)-maxHistory):]
	j.Bad = j.Bad[max(0, len(j.Bad)-maxBad):]
	b, err := json.MarshalIndent(j, "", "  ")
	return append(b, '\n'), err
}

func (j *journal) badVersions() (list []string) {
	for _, b := range j.Bad {
		list = append(list, b.Version)
	}
	return list
}

func (j *journal) markBad(version, why string, at time.Time) {
	j.forgive(version)
	j.Bad = append(j.Bad, Bad{version, why, at})
}

func (j *journal) forgive(version string) {
	j.Bad = slices.DeleteFunc(j.Bad, func(b Bad) bool { return b.Version == version })
}

// confirmed lists the versions that were found good, the last one first, each once. Those that proved bad later are not among them.
func (j *journal) confirmed() (list []string) {
	for _, p := range slices.Backward(j.History) {
		if p.State == StateConfirmed && !slices.Contains(list, p.Version) && !slices.Contains(j.badVersions(), p.Version) {
			list = append(list, p.Version)
		}
	}
	return list
}

// hash is the info hash of a version that was confirmed, in hex; "": it is not known.
func (j *journal) hash(version string) string {
	for _, p := range slices.Backward(j.History) {
		if p.Version == version && p.V2 != "" {
			return p.V2
		}
	}
	return ""
}

// end closes what is under way.
func (j *journal) end(state State, at time.Time) {
	a := j.Attempt
	j.History = append(j.History, Past{At: at, State: state, Version: a.Version, V2: a.V2, Previous: a.Previous, Why: a.Why, Seconds: at.Sub(a.Begun).Seconds(), ByHand: a.ByHand})
	j.Attempt = nil
	if state == StateConfirmed {
		j.Running = a.Version
	}
}
