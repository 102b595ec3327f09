package release

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy is how a channel's version may spread over a fleet. It stands in the channel document, so that it is signed with the app's key: whoever steers the rollout
// can do so within it alone.
type Policy struct {
	Waves []Wave `json:"waves"`
	Every int64  `json:"every_seconds"` // that lie between two waves at least; an origin that hears of its machines goes on by itself if it is not 0
	// HaltAt is the share of failures among the reports of machines above which the rollout is halted, 0 to 1; nil: it is not halted because of reports.
	HaltAt *float64 `json:"halt_at,omitempty"`
	// MinReports is how many of the machines that the rollout has reached must have reported how it went, or all if they are fewer, before it goes on or is halted because of them.
	MinReports int `json:"min_reports,omitempty"`
	// Rollback allows whoever halts the rollout to send the machines that have the version back to the channel's previous one.
	Rollback bool `json:"rollback,omitempty"`
}

// Wave is which machines come together, by their places in the rollout. Those of the waves before it belong to it as well.
type Wave struct {
	Share  float64  `json:"share,omitempty"`  // of all machines, 0 to 1
	Groups []string `json:"groups,omitempty"` // and all machines of these groups
	Count  int      `json:"count,omitempty"`  // and so many more, whichever ask their origin first
}

// Rollout is a rollout document: how far a rollout is. It is signed online, names no version, and belongs to one channel document: what was steered before is void
// when the channel gets another version or policy.
type Rollout struct {
	Format  int       `json:"format"` // 1
	App     string    `json:"app"`
	Channel string    `json:"channel"`
	Of      string    `json:"of"`   // SHA-256 of the channel document in hex
	Wave    int       `json:"wave"` // the index of the wave that it has reached
	Paused  bool      `json:"paused,omitempty"`
	Halted  bool      `json:"halted,omitempty"` // for good
	Back    bool      `json:"back,omitempty"`   // halted, and machines that have the version are to go back
	Why     string    `json:"why,omitempty"`    // of pausing or halting
	At      time.Time `json:"at"`               // when it was steered: UTC, whole seconds
}

// Bounds of rollouts.
const (
	maxWaves  = 32
	maxGroups = 32
	maxWhy    = 1 << 10
	maxEvery  = 366 * 24 * 60 * 60 // seconds
	maxCount  = 1_000_000
)

// ErrSteered is that a rollout cannot be steered so: it is over, is paused, was halted, or the policy does not allow it yet.
var ErrSteered = errors.New("not within the rollout's policy")

func (p *Policy) check() error {
	if p == nil {
		return nil
	}
	if len(p.Waves) == 0 || len(p.Waves) > maxWaves || p.Every < 0 || p.Every > maxEvery {
		return fmt.Errorf("a rollout of %d waves, %d s apart", len(p.Waves), p.Every)
	}
	if p.HaltAt != nil && !(*p.HaltAt >= 0 && *p.HaltAt <= 1) || p.MinReports < 0 || p.MinReports > maxCount {
		return errors.New("a rollout that is halted at no share of failures, or by no number of reports")
	}
	share, count := 0.0, 0
	for i, w := range p.Waves {
		if !(w.Share >= share && w.Share <= 1) || w.Count < count || w.Count > maxCount || w.Share == 0 && w.Count == 0 && len(w.Groups) == 0 || len(w.Groups) > maxGroups {
			return fmt.Errorf("wave %d of a rollout is not one: shares and counts grow, up to all", i+1)
		}
		for _, g := range w.Groups {
			if !ValidGroup(g) {
				return fmt.Errorf("wave %d of a rollout has the group %.80q", i+1, g)
			}
		}
		share, count = w.Share, w.Count
	}
	return nil
}

// Reaches says whether the waves up to one, by its index, have come to a machine by its place or its groups. v2 is the content that it would get.
func (p *Policy) Reaches(wave int, machine string, groups []string, v2 string) bool {
	place := Place(machine, v2)
	for _, w := range p.Waves[:min(wave+1, len(p.Waves))] {
		if place < w.Share || slices.ContainsFunc(w.Groups, func(g string) bool { return slices.Contains(groups, g) }) {
			return true
		}
	}
	return false
}

// Counted is how many machines may come besides those that [Policy.Reaches], if they ask their origin, which counts them.
func (p *Policy) Counted(wave int) (n int) {
	for _, w := range p.Waves[:min(wave+1, len(p.Waves))] {
		n = max(n, w.Count)
	}
	return n
}

// Place is where in a rollout a machine comes, from 0 (first) up to 1: evenly spread, the same each time, and another for each content, so that it is not always
// the same machines that find out what is wrong. As a wave's share only grows, who is in stays in.
func Place(machine, v2 string) float64 {
	h := sha256.New()
	h.Write([]byte("shoal rollout\n" + v2 + "\n" + machine + "\n"))
	return float64(binary.BigEndian.Uint64(h.Sum(nil))>>11) / (1 << 53)
}

// ValidGroup says whether s can be the name of a group of machines.
func ValidGroup(s string) bool { return isWord(s, lower+upper+digits, lower+upper+digits+"._-", 64) }

func parseRollout(b []byte) (*Rollout, error) {
	var r Rollout
	if err := unmarshal(b, &r); err != nil {
		return nil, err
	}
	if r.Format != 1 {
		return nil, fmt.Errorf("a rollout document of format %d: a newer shoal is needed", r.Format)
	}
	if !ValidApp(r.App) || !ValidChannel(r.Channel) || r.Wave < 0 || r.Wave >= maxWaves || len(r.Why) > maxWhy {
		return nil, fmt.Errorf("a rollout document of %.80q, %.80q at wave %d", r.App, r.Channel, r.Wave)
	}
	return &r, nil
}

// id tells a channel document from those that the channel had before.
func (c *Channel) id() string {
	b, err := c.encode()
	if err != nil { // it was parsed, so that it can be written
		return ""
	}
	return sha256Hex(b)
}

// Reached is the wave that machines may count on at a time: the one that was steered to, but none that the policy does not allow yet.
func (c *Channel) Reached(r *Rollout, now time.Time) int {
	if r == nil || c.Rollout == nil {
		return 0
	}
	wave := min(r.Wave, len(c.Rollout.Waves)-1)
	for wave > 0 && now.Before(c.Opens(wave)) {
		wave--
	}
	return wave
}

// Opens is the earliest time of a wave.
func (c *Channel) Opens(wave int) time.Time {
	return c.At.Add(time.Duration(wave) * time.Duration(c.Rollout.Every) * time.Second)
}

// rollout reads how far a channel's rollout is; nil: nobody has steered it since the channel has its version.
func (t *Trust) rollout(ctx context.Context, c *Channel) (*Rollout, error) {
	m, err := t.targets(ctx, roleRollout, roleTargets)
	if err != nil {
		return nil, err
	}
	path := rolloutPath(c.App, c.Channel)
	f := m.Signed.Targets[path]
	if f == nil {
		return nil, nil
	}
	b, err := t.target(ctx, path, f, maxDocument, "rollout-"+c.App+"-"+c.Channel+".json")
	if err != nil {
		return nil, err
	}
	r, err := parseRollout(b)
	if err != nil {
		return nil, refused(path, err)
	}
	if r.App != c.App || r.Channel != c.Channel {
		return nil, refuse(RuleMismatch, "the rollout document of %s:%s is signed for %s:%s", c.App, c.Channel, r.App, r.Channel)
	}
	if r.Of != c.id() {
		return nil, nil
	}
	return r, nil
}

// Rollout reads a channel and how far its rollout is; of one that was not steered yet it is at the first wave. The channel is nil if there is none, and has no Rollout if
// its version is for all machines.
func (tx *Tx) Rollout(app, channel string) (*Channel, *Rollout, error) {
	c, err := tx.Channel(app, channel)
	if err != nil || c == nil || c.Rollout == nil {
		return c, nil, err
	}
	fresh := &Rollout{Format: 1, App: app, Channel: channel, Of: c.id(), At: c.At}
	m, err := tx.role(roleRollout)
	if err != nil {
		return nil, nil, err
	}
	path := rolloutPath(app, channel)
	f := m.Signed.Targets[path]
	if f == nil {
		return c, fresh, nil
	}
	b, err := tx.read(path, f)
	if err != nil {
		return nil, nil, err
	}
	r, err := parseRollout(b)
	if err != nil || r.Of != c.id() {
		return c, fresh, err
	}
	return c, r, nil
}

// Steer changes how far a rollout is, with the online key. What the policy does not allow is an ErrSteered; waves are only gone forward, not while it is paused,
// and what is halted stays so. It reports whether anything has changed.
func (tx *Tx) Steer(app, channel string, change func(*Rollout)) (changed bool, err error) {
	c, was, err := tx.Rollout(app, channel)
	if err != nil {
		return false, err
	}
	if c == nil || c.Rollout == nil {
		return false, fmt.Errorf("%w: %s:%s has no rollout", ErrSteered, app, channel)
	}
	next, sentBack := *was, *was
	change(&next)
	sentBack.Back = true
	switch {
	case next == *was:
		return false, nil
	case next.Back && next.Halted && c.Rollout.Rollback && len(c.Previous) == 0:
		return false, fmt.Errorf("%w: no version before it has come to all machines, so that there is none to send them back to; halt it without --rollback, and promote a version", ErrSteered)
	case next.Back && !(next.Halted && c.Rollout.Rollback):
		return false, fmt.Errorf("%w: it does not allow to send machines back; halt it without --rollback, or withdraw the version", ErrSteered)
	case was.Halted && next != sentBack:
		return false, fmt.Errorf("%w: it was halted; promote or start a version", ErrSteered)
	case next.Wave >= len(c.Rollout.Waves):
		return false, fmt.Errorf("%w: it has %d waves, and the last is reached", ErrSteered, len(c.Rollout.Waves))
	case next.Wave < was.Wave:
		return false, fmt.Errorf("%w: waves only grow", ErrSteered)
	case next.Wave > was.Wave && was.Paused && next.Paused:
		return false, fmt.Errorf("%w: it is paused; resume it first", ErrSteered)
	case next.Wave > was.Wave && tx.now.Before(c.Opens(next.Wave)):
		return false, fmt.Errorf("%w: wave %d opens at %s", ErrSteered, next.Wave+1, c.Opens(next.Wave).Local().Format(time.RFC3339))
	}
	next.At = tx.now.UTC().Truncate(time.Second)
	b, err := json.Marshal(next)
	if err != nil {
		return false, err
	}
	b = append(b, '\n')
	if _, err := parseRollout(b); err != nil { // what we would not read we do not write
		return false, err
	}
	m, err := tx.role(roleRollout)
	if err != nil {
		return false, err
	}
	path := rolloutPath(app, channel)
	tx.documents = append(tx.documents, document{path, b})
	m.Signed.Targets[path] = describeTarget(b)
	tx.changed(roleRollout)
	return true, nil
}

// Steered is a rollout that is under way, or was halted.
type Steered struct {
	Channel *Channel
	At      *Rollout
	V2      map[string]string // the content's v2 info hash, by platform
}

// Rollouts lists the rollouts of all channels. It takes no lock.
func (r *Repository) Rollouts(ctx context.Context) (list []*Steered, err error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	apps, err := tx.Apps()
	if err != nil {
		return nil, err
	}
	for _, app := range apps {
		channels, err := tx.Channels(app)
		if err != nil {
			return nil, err
		}
		for _, c := range channels {
			if c.Rollout == nil {
				continue
			}
			s, err := tx.steered(c)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// Standing is a channel as Rollouts has those that are steered. One whose version is for all machines is like one whose only wave they are. Nil: there is no such channel. It
// takes no lock.
func (r *Repository) Standing(ctx context.Context, app, channel string) (*Steered, error) {
	tx := r.newTx(ctx)
	if err := tx.load(); err != nil {
		return nil, err
	}
	apps, err := tx.Apps()
	if err != nil || !slices.Contains(apps, app) {
		return nil, err
	}
	c, err := tx.Channel(app, channel)
	if err != nil || c == nil {
		return nil, err
	}
	s, err := tx.steered(c)
	if err == nil && s.At == nil {
		all := *c
		all.Rollout = &Policy{Waves: []Wave{{Share: 1}}}
		s.Channel, s.At = &all, &Rollout{Format: 1, App: app, Channel: channel, Of: c.id(), At: c.At}
	}
	return s, err
}

// steered reads how far a channel is, and what its machines get.
func (tx *Tx) steered(c *Channel) (*Steered, error) {
	s := &Steered{Channel: c, V2: map[string]string{}}
	var err error
	if _, s.At, err = tx.Rollout(c.App, c.Channel); err != nil {
		return nil, err
	}
	platforms, _, err := tx.platforms(c.App, c.Version)
	if err != nil {
		return nil, err
	}
	for _, p := range platforms {
		rel, _, err := tx.Find(c.App, c.Version, p)
		if err != nil {
			return nil, err
		}
		s.V2[p] = rel.Tree().V2
	}
	return s, nil
}
