package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"shoal/internal/fleet"
	"shoal/internal/release"
)

// Evidence is how a rollout goes, by what machines have reported that are enrolled.
type Evidence struct {
	Good     int        `json:"good"`     // have the version, and are well
	Bad      int        `json:"bad"`      // went back from it, or could not switch
	Open     int        `json:"open"`     // are about it
	Missing  int        `json:"missing"`  // of Open: have begun, and were not heard of again in time
	Expected int        `json:"expected"` // that the rollout has reached, and that are heard of; -1: nobody has counted, since more than enough have reported
	Why      string     `json:"why"`      // what the last that went wrong has said
	From     fleet.From `json:"from"`     // bytes by source, of all that have fetched the version
}

// failures is what counts against the rollout.
func (e Evidence) failures() int { return e.Bad + e.Missing }

// settled is how many have shown how it goes.
func (e Evidence) settled() int { return e.Good + e.failures() }

// Step is what a gate does with a rollout.
type Step uint8

const (
	Wait Step = iota
	Advance
	Halt
)

// judge says how a rollout goes on, by its policy and the evidence. A rollout is halted when more than the allowed share of those that have shown how it goes have failed, once there are as many of
// them as the policy wants, or all that it has reached. It goes on when there are as many, and the time has come.
func judge(c *release.Channel, at *release.Rollout, e Evidence, now time.Time) (Step, string) {
	p := c.Rollout
	if at.Halted || at.Paused {
		return Wait, ""
	}
	need := p.MinReports
	if e.Expected >= 0 {
		need = min(need, e.Expected)
	}
	if p.HaltAt != nil && e.failures() > 0 && e.settled() >= need && float64(e.failures()) > *p.HaltAt*float64(e.settled()) {
		why := fmt.Sprintf("%d of %d machines failed, and more than %.4g%% may not", e.failures(), e.settled(), 100**p.HaltAt)
		if e.Missing > 0 {
			why += fmt.Sprintf("; %d of them were not heard of after the switch", e.Missing)
		}
		if e.Why != "" {
			why += ": " + e.Why
		}
		return Halt, why[:min(len(why), 1000)]
	}
	every := time.Duration(p.Every) * time.Second
	switch next := at.Wave + 1; {
	case every == 0 || next >= len(p.Waves): // nothing is said of when; or all may have it
	case now.Before(c.Opens(next)) || now.Before(at.At.Add(every)):
	case p.MinReports > 0 && (e.Expected == 0 || e.settled() < need): // nobody has said how it goes
	default:
		return Advance, ""
	}
	return Wait, ""
}

// gateBucket has, by APP:CHANNEL, the gate of its rollout.
const gateBucket = "gates"

// gate is what an origin remembers of a rollout.
type gate struct {
	Of   string `json:"of"`   // the channel document
	Base Tally  `json:"base"` // how the version had gone before this rollout began
}

// Evidence finds out how a rollout goes. What had happened to the version before it began does not count.
func (r *Reports) Evidence(ctx context.Context, s *release.Steered) (e Evidence, err error) {
	c := s.Channel
	key := tallyKey(c.App, c.Channel, c.Version)
	name := c.App + ":" + c.Channel
	look := func(tx Tx) (g gate, changed bool, err error) {
		e = Evidence{Expected: -1}
		var t Tally
		if _, err = get(tx, talliesBucket, key, &t); err != nil {
			return
		}
		if _, err = get(tx, gateBucket, name, &g); err != nil {
			return
		}
		switch {
		case g.Of != s.At.Of:
			g, changed = gate{s.At.Of, Tally{Good: t.Good, Bad: t.Bad, From: t.From}}, true
		case t.Good < g.Base.Good || t.Bad < g.Base.Bad: // some have another outcome now
			g.Base.Good, g.Base.Bad, changed = min(g.Base.Good, t.Good), min(g.Base.Bad, t.Bad), true
		}
		e.Good, e.Bad, e.Why = t.Good-g.Base.Good, t.Bad-g.Base.Bad, t.Why
		e.From = less(t.From, g.Base.From)
		now := r.now(tx)
		err = tx.Each(openBucket, key+"/", func(_ string, v []byte) error {
			e.Open++
			if due, err := time.Parse(time.RFC3339, string(v)); err != nil || now.After(due) {
				e.Missing++
			}
			return nil
		})
		if err == nil && e.settled() < c.Rollout.MinReports {
			e.Expected, err = r.expected(tx, s, now)
		}
		return
	}
	changed := false
	if err = r.store.View(ctx, func(tx Tx) (err error) { _, changed, err = look(tx); return err }); err != nil || !changed {
		return e, err
	}
	return e, r.store.Update(ctx, func(tx Tx) error {
		g, changed, err := look(tx)
		if err != nil || !changed {
			return err
		}
		return put(tx, gateBucket, name, g)
	})
}

// Progress is Evidence with the machines counted, however many have reported: for whoever waits until all have.
func (r *Reports) Progress(ctx context.Context, s *release.Steered) (Evidence, error) {
	e, err := r.Evidence(ctx, s)
	if err != nil || e.Expected >= 0 {
		return e, err
	}
	return e, r.store.View(ctx, func(tx Tx) (err error) {
		e.Expected, err = r.expected(tx, s, r.now(tx))
		return err
	})
}

// Standing is how a channel's version goes at all machines that follow it and are heard of, whatever came before.
func (r *Reports) Standing(ctx context.Context, c *release.Channel) (e Evidence, err error) {
	err = r.store.View(ctx, func(tx Tx) error {
		e = Evidence{}
		var t Tally
		if _, err := get(tx, talliesBucket, tallyKey(c.App, c.Channel, c.Version), &t); err != nil {
			return err
		}
		e.From = t.From
		now := r.now(tx)
		return tx.Each(recordsBucket, c.App+"/", func(_ string, v []byte) error {
			var one Record
			if err := json.Unmarshal(v, &one); err != nil {
				return err
			}
			if one.Channel != c.Channel || one.Stale(now) {
				return nil
			}
			e.Expected++
			if one.Tried != c.Version {
				return nil
			}
			switch one.Outcome {
			case Good:
				e.Good++
			case Bad:
				e.Bad++
				e.Why = one.LastError
			case Open:
				e.Open++
				if now.After(one.due()) {
					e.Missing++
				}
			case Untried:
			}
			return nil
		})
	})
	return e, err
}

// expectation is a count of machines. It is not made again before twenty times as long is over as it took: with many machines they change little in that time.
type expectation struct {
	of      string
	wave, n int
	until   time.Time // by this process's clock
}

// expected counts the machines that a rollout has reached, and that are heard of.
func (r *Reports) expected(tx Tx, s *release.Steered, now time.Time) (n int, err error) {
	c := s.Channel
	wave := c.Reached(s.At, now)
	r.mu.Lock()
	known := r.counted[c.App+":"+c.Channel]
	r.mu.Unlock()
	begun := time.Now()
	if known.of == s.At.Of && known.wave == wave && begun.Before(known.until) {
		return known.n, nil
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.counted[c.App+":"+c.Channel] = expectation{s.At.Of, wave, n, time.Now().Add(20 * time.Since(begun))}
	}()
	var in []string // were counted in
	if _, err := get(tx, admittedBucket, s.At.Of, &in); err != nil {
		return 0, err
	}
	free, others := c.Rollout.Counted(wave)-len(in), 0
	err = tx.Each(recordsBucket, c.App+"/", func(_ string, v []byte) error {
		var one Record
		if err := json.Unmarshal(v, &one); err != nil {
			return err
		}
		switch v2, ok := s.V2[one.Platform]; {
		case one.Channel != c.Channel || one.Stale(now):
		case slices.Contains(in, one.Machine), (ok || len(s.V2) > 0) && c.Rollout.Reaches(wave, one.Machine, one.Groups, orAny(v2, s.V2)):
			n++
		default:
			others++
		}
		return nil
	})
	n += max(0, min(free, others))
	return n, err
}

// orAny is the content of a platform, or that for all.
func orAny(v2 string, all map[string]string) string {
	if v2 != "" {
		return v2
	}
	return all["any"]
}

func less(a, b fleet.From) fleet.From {
	return fleet.From{Reuse: a.Reuse - b.Reuse, LAN: a.LAN - b.LAN, Peers: a.Peers - b.Peers, Edges: a.Edges - b.Edges, Origin: a.Origin - b.Origin}
}

// Steer carries out what the gates of all rollouts say. steer changes a rollout within its policy, see release.Tx.Steer.
func (r *Reports) Steer(ctx context.Context, list []*release.Steered, steer func(app, channel string, change func(*release.Rollout)) error) error {
	for _, s := range list {
		if s.At.Halted || s.At.Paused {
			continue
		}
		e, err := r.Evidence(ctx, s)
		if err != nil {
			return err
		}
		var now time.Time
		if err := r.store.View(ctx, func(tx Tx) error { now = r.now(tx); return nil }); err != nil {
			return err
		}
		of, wave := s.At.Of, s.At.Wave
		step, why := judge(s.Channel, s.At, e, now)
		var change func(*release.Rollout)
		switch c := s.Channel; step {
		case Wait:
			continue
		case Halt:
			r.cfg.Log.Warn("a rollout is halted", "name", c.App+":"+c.Channel, "version", c.Version, "why", why)
			change = func(at *release.Rollout) {
				at.Halted, at.Why, at.Back = true, why, c.Rollout.Rollback && len(c.Previous) > 0
			}
		case Advance:
			r.cfg.Log.Info("a rollout goes on", "name", c.App+":"+c.Channel, "version", c.Version, "wave", wave+2)
			change = func(at *release.Rollout) { at.Wave = wave + 1 }
		}
		err = steer(s.Channel.App, s.Channel.Channel, func(at *release.Rollout) {
			if at.Of == of && at.Wave == wave && !at.Halted && !at.Paused { // nobody was faster
				change(at)
			}
		})
		if err != nil {
			return fmt.Errorf("steering %s:%s: %w", s.Channel.App, s.Channel.Channel, err)
		}
	}
	return nil
}
