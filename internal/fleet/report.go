package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"shoal/internal/release"
)

// The paths at an origin, below its base.
const (
	ReportPath = "/api/v1/report"
	EnrollPath = "/api/v1/enroll"
)

// MaxMessage bounds a report and an enrollment, in bytes.
const MaxMessage = 8 << 10

// Bounds of a report's fields.
const (
	maxWord   = 32 // of states and reasons
	maxWhy    = 1 << 10
	maxSite   = 64
	maxGroups = 32
	maxEvery  = 7 * 24 * 60 * 60 // seconds
)

// From is how many bytes came from each class of source.
type From struct {
	Reuse  int64 `json:"reuse"`
	LAN    int64 `json:"lan"`
	Peers  int64 `json:"peers"`
	Edges  int64 `json:"edges"`
	Origin int64 `json:"origin"`
}

// Sum is all of them.
func (f From) Sum() int64 { return f.Reuse + f.LAN + f.Peers + f.Edges + f.Origin }

// Report is how a machine is doing with an app: JSON, of at most MaxMessage bytes. Unknown fields are ignored, another format is refused.
type Report struct {
	Format   int       `json:"format"` // 1
	Sequence uint64    `json:"sequence"`
	After    string    `json:"after,omitempty"` // the Digest of the machine's report before this; "": it knows of none
	At       time.Time `json:"at"`              // by the machine's clock
	Every    int64     `json:"every_seconds"`   // within which the next one comes at the latest

	Machine  string   `json:"machine"` // updater.MachineID
	App      string   `json:"app"`
	Channel  string   `json:"channel"`
	Platform string   `json:"platform,omitempty"`
	Site     string   `json:"site,omitempty"`
	Groups   []string `json:"groups,omitempty"`

	State    string  `json:"state"`              // a word of updater.State: the last step
	Version  string  `json:"version,omitempty"`  // that the step is about
	Running  string  `json:"running,omitempty"`  // that is in place, confirmed
	Previous string  `json:"previous,omitempty"` // that was before it
	Reason   string  `json:"reason,omitempty"`   // why it is held: a word of updater.Reason
	Why      string  `json:"why,omitempty"`      // the same for people, or what went wrong
	Bytes    int64   `json:"bytes,omitempty"`    // of the version's content
	From     From    `json:"from"`               // where they came from
	Seconds  float64 `json:"seconds,omitempty"`  // since the update began
	Healthy  bool    `json:"healthy,omitempty"`  // a health check said so
	Again    bool    `json:"again,omitempty"`    // nothing has changed since the report before
}

// Encode writes a report. Texts that are too long are cut.
func (r Report) Encode() ([]byte, error) {
	r.Format, r.Why, r.Site = 1, cut(r.Why, maxWhy), cut(r.Site, maxSite)
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	_, err = ParseReport(b) // what the origin would not read is not sent
	return b, err
}

// Digest names a report as it was sent.
func Digest(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:8])
}

// ParseReport reads a report of a stranger.
func ParseReport(b []byte) (*Report, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("a report of %d bytes: at most %d", len(b), MaxMessage)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	version := func(s string) bool { return s == "" || release.ValidVersion(s) }
	switch {
	case r.Format != 1:
		return nil, fmt.Errorf("a report of format %d: a newer shoal is needed", r.Format)
	case !ValidMachine(r.Machine) || r.After != "" && !isHex(r.After, 16):
		return nil, errors.New("a report without a machine's id")
	case !release.ValidApp(r.App) || r.Channel != "" && !release.ValidChannel(r.Channel) || r.Platform != "" && !release.ValidPlatform(r.Platform):
		return nil, fmt.Errorf("a report of %.80q, %.80q, %.80q", r.App, r.Channel, r.Platform)
	case !version(r.Version) || !version(r.Running) || !version(r.Previous):
		return nil, errors.New("a report of what are no versions")
	case !isText(r.State, maxWord) || r.State == "" || !isText(r.Reason, maxWord) || !isText(r.Why, maxWhy) || !isText(r.Site, maxSite):
		return nil, errors.New("a report with texts that are none")
	case len(r.Groups) > maxGroups || slices.ContainsFunc(r.Groups, func(g string) bool { return !release.ValidGroup(g) }):
		return nil, errors.New("a report with groups that are none")
	case r.Every < 1 || r.Every > maxEvery || !(r.Seconds >= 0) || r.Bytes < 0:
		return nil, errors.New("a report with numbers that cannot be")
	}
	for _, n := range []int64{r.From.Reuse, r.From.LAN, r.From.Peers, r.From.Edges, r.From.Origin} {
		if n < 0 || n > 1<<50 {
			return nil, errors.New("a report with bytes that cannot be")
		}
	}
	return &r, nil
}

// Answer is what the origin says to a report.
type Answer struct {
	Counted bool `json:"counted"` // the machine is enrolled, and its report counts
	// Retry are versions that the machine should try again, though it had to go back from them.
	Retry []string `json:"retry,omitempty"`
}

// Enrollment makes a machine's key known to the origin.
type Enrollment struct {
	Token   string `json:"token"`
	Machine string `json:"machine"`
}

// ParseEnrollment reads an enrollment of a stranger.
func ParseEnrollment(b []byte) (*Enrollment, error) {
	var e Enrollment
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("an enrollment of %d bytes: at most %d", len(b), MaxMessage)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, err
	}
	if !ValidMachine(e.Machine) || len(e.Token) > 128 {
		return nil, errors.New("an enrollment without a machine's id")
	}
	return &e, nil
}

// ValidMachine says whether s can be a machine's id: 32 hex digits.
func ValidMachine(s string) bool { return isHex(s, 32) }

func isHex(s string, digits int) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == digits
}

// isText says whether s is text of at most so many bytes.
func isText(s string, limit int) bool { return len(s) <= limit && utf8.ValidString(s) }

// cut is s as text of at most so many bytes.
func cut(s string, limit int) string { return strings.ToValidUTF8(s[:min(len(s), limit)], "") }
