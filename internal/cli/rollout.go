package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/internal/release"
)

func rolloutCommand() *command {
	channel := option{name: "channel", value: "CHANNEL", usage: "the channel that has it from now on", check: checkChannel}
	why := option{name: "reason", value: "TEXT", usage: "what machines that are held say"}
	wave := option{name: "wave", kind: kindInt, value: "N", usage: "go on to this wave, from 1 on, if it is not reached yet; 0 is the next"}
	steered := func(name, usage, example string, own []option, change func(*env, *release.Rollout)) *command {
		return &command{
			name: name, args: "APP:CHANNEL", usage: usage, examples: []string{example}, table: "rollout",
			options: concat(own, keyOptions(), outputOptions()), minArgs: 1, maxArgs: 1,
			run: func(ctx context.Context, e *env, args []string) error {
				return e.steer(ctx, args[0], func(r *release.Rollout) { change(e, r) })
			},
		}
	}
	return &command{
		name:  "rollout",
		args:  "APP:CHANNEL",
		usage: "bring a version to a fleet in waves",
		long: "Alone it shows how far a rollout is. start and promote need the app's key: which waves there are, and how far apart at\n" +
			"least, is signed with it. The others need the repository's online key alone, and can do no more than that allows.",
		examples: []string{"shoal rollout start myapp@1.5.0 --channel stable --waves 1%,10%,100% --every 6h", "shoal rollout advance myapp:stable"},
		options:  concat(keyOptions(), outputOptions()),
		minArgs:  1, maxArgs: 1,
		run: func(ctx context.Context, e *env, args []string) error { return e.rolloutStatus(ctx, args[0]) },
		sub: []*command{
			{
				name: "start", args: "APP@VERSION", usage: "have a channel point to a version, for the machines of the first wave", table: "rollout",
				long:     "Machines have places that differ from rollout to rollout; a wave of 10% is those up to a tenth, so that waves only grow.",
				examples: []string{"shoal rollout start myapp@1.5.0 --channel stable --waves canary,1,1%,10%,100% --every 6h --halt-at 2% --rollback"},
				options: concat([]option{
					channel,
					{name: "waves", value: "WAVES", usage: "in their order: shares of all machines, names of groups, or a number of machines", def: "1%,10%,50%,100%", check: checkWaves},
					{name: "every", kind: kindDuration, value: "TIME", usage: "that lies between two waves at least; the origin goes on by itself then, if what machines report allows it"},
					{name: "halt-at", value: "SHARE", usage: "have the origin halt it when more than this share of the machines fails, such as 2%", check: checkShare},
					{name: "min-reports", kind: kindInt, value: "N", usage: "machines that must have reported how it went before it goes on or is halted, or all it has reached if they are fewer (default 20 with --halt-at)"},
					{name: "safe", kind: kindBool, usage: "first one machine, then the rest if it is well: --waves 1,100% --halt-at 0% --min-reports 1"},
					{name: "rollback", kind: kindBool, usage: "when it is halted because of failures, send machines that have the version back; allows rollout halt --rollback"},
				}, rolloutWaitOptions(), keyOptions(), outputOptions()),
				minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.rolloutStart(ctx, args[0]) },
			},
			{
				name: "status", args: "APP:CHANNEL", usage: "show how far a rollout is", examples: []string{"shoal rollout status myapp:stable"}, table: "rollout",
				options: concat(keyOptions(), outputOptions()), minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.rolloutStatus(ctx, args[0]) },
			},
			steered("advance", "go on to the next wave; exit 8 if that is too early, or it is paused or halted", "shoal rollout advance myapp:stable --wave 2 --wait --deadline 30m", concat([]option{wave}, rolloutWaitOptions()),
				func(e *env, r *release.Rollout) {
					if n := int(e.settings.Int("wave")); n > 0 && !r.Halted {
						r.Wave = max(r.Wave, n-1)
					} else {
						r.Wave++
					}
				}),
			steered("pause", "let no further machine update until it is resumed", "shoal rollout pause myapp:stable --reason 'looking into #12'", []option{why},
				func(e *env, r *release.Rollout) {
					if why := e.settings.String("reason"); !r.Paused || why != "" { // doing it again without one changes nothing
						r.Paused, r.Why = true, why
					}
				}),
			steered("resume", "go on after a pause", "shoal rollout resume myapp:stable", rolloutWaitOptions(),
				func(_ *env, r *release.Rollout) { r.Paused, r.Why = false, "" }),
			steered("halt", "let no further machine update, for good", "shoal rollout halt myapp:stable --reason 'loses data' --rollback",
				[]option{why, {name: "rollback", kind: kindBool, usage: "and send machines that have the version back to the newest before it that all had, if rollout start --rollback has allowed it"}},
				func(e *env, r *release.Rollout) {
					if !r.Halted { // doing it again changes nothing
						r.Halted, r.Why = true, e.settings.String("reason")
					}
					r.Back = r.Back || e.settings.Bool("rollback")
				}),
			{
				name: "watch", args: "APP:CHANNEL", usage: "show how a rollout goes, until all its machines have shown it: exit 9 if it is halted", table: "rollout",
				long:     "It asks the origin of this machine, through the socket in its state directory. In a terminal it draws, elsewhere it prints a line when something has changed.",
				examples: []string{"shoal rollout watch myapp:stable --deadline 2h"},
				options:  concat(rolloutDeadlineOptions(), outputOptions()), minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.rolloutWatch(ctx, args[0]) },
			},
			{
				name: "promote", args: "APP:CHANNEL", usage: "end a rollout: all machines may have the channel's version now", table: "rollout",
				examples: []string{"shoal rollout promote myapp:stable --wait --deadline 1h"},
				options:  concat(rolloutWaitOptions(), keyOptions(), outputOptions()), minArgs: 1, maxArgs: 1,
				run: func(ctx context.Context, e *env, args []string) error { return e.rolloutPromote(ctx, args[0]) },
			},
		},
	}
}

func checkWaves(text string) error {
	_, err := parseWaves(text)
	return err
}

func checkShare(text string) error {
	_, err := parseShare(text)
	return err
}

// parseShare reads a share such as 2%.
func parseShare(text string) (float64, error) {
	number, isShare := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !isShare || err != nil || !(percent >= 0 && percent <= 100) {
		return 0, fmt.Errorf("%q is no share such as 2%%", text)
	}
	return percent / 100, nil
}

// parseWaves reads waves: 1% and the like, the name of a group, which comes on top of those before it, or a number of machines.
func parseWaves(text string) ([]release.Wave, error) {
	var list []release.Wave
	var last release.Wave
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		number, isShare := strings.CutSuffix(word, "%")
		percent, err := strconv.ParseFloat(number, 64)
		count, countErr := strconv.Atoi(word)
		switch {
		case countErr == nil && count > last.Count:
			last.Count = count
		case isShare && (err != nil || !(percent > 100*last.Share) || percent > 100):
			return nil, fmt.Errorf("%q is no share: they grow, up to 100%%", word)
		case isShare:
			last.Share = percent / 100
		case err == nil || !release.ValidGroup(word):
			return nil, fmt.Errorf("%q is neither a share such as 10%%, nor a number of machines that grows, nor the name of a group", word)
		default:
			last.Groups = append(last.Groups[:len(last.Groups):len(last.Groups)], word)
		}
		list = append(list, last)
	}
	return list, nil
}

// formatWave writes a wave for people.
func formatWave(w release.Wave) string {
	var parts []string
	if w.Share > 0 {
		parts = append(parts, strconv.FormatFloat(math.Round(w.Share*1e6)/1e4, 'f', -1, 64)+"%")
	}
	if w.Count > 0 && w.Share < 1 {
		parts = append(parts, strconv.Itoa(w.Count))
	}
	return strings.Join(append(parts, w.Groups...), "+")
}

// channelRef reads APP:CHANNEL.
func channelRef(text string) (release.Ref, error) {
	ref, ok := release.ParseRef(text)
	if !ok || ref.Channel == "" {
		return ref, usagef("such as myapp:stable", "%q is not APP:CHANNEL", text)
	}
	return ref, nil
}

func (e *env) rolloutStart(ctx context.Context, arg string) error {
	channel := e.settings.String("channel")
	if channel == "" {
		return usagef("such as --channel stable", "rollout start needs --channel")
	}
	ref, err := versioned(arg)
	if err != nil {
		return err
	}
	policy, err := e.policy()
	if err != nil {
		return err
	}
	notice := ""
	c, at, err := e.rolloutChange(ctx, release.Ref{App: ref.App, Channel: channel}, func(tx *release.Tx) (err error) {
		_, notice, err = startVersion(tx, ref, channel, policy)
		return err
	})
	if err != nil {
		return err
	}
	if notice != "" {
		e.report.Notice("%s", notice)
	}
	if last := policy.Waves[len(policy.Waves)-1]; last.Share < 1 {
		e.report.Notice("the last wave, %s, is not all machines: shoal rollout promote %s:%s gives it to the others", formatWave(last), c.App, c.Channel)
	}
	e.printRollout(c, at)
	if at != nil && at.Halted { // it had been started before; nobody gets it
		return withHint(haltedError(c, at.Why), fmt.Sprintf("start another version, or this one with other waves; shoal rollout promote %s:%s gives it to all nevertheless", c.App, c.Channel))
	}
	return e.waitFor(ctx, c, at)
}

// startVersion has a channel point to a version. notice, if there is one, says why nobody goes back to the version that the channel had.
func startVersion(tx *release.Tx, ref release.Ref, channel string, policy *release.Policy) (changed bool, notice string, err error) {
	before, at, err := tx.Rollout(ref.App, channel)
	if err != nil {
		return false, "", err
	}
	if changed, err = tx.Start(ref.App, ref.Version, channel, policy); err != nil || !changed {
		return changed, "", err
	}
	c, err := tx.Channel(ref.App, channel)
	if err != nil {
		return false, "", err
	}
	to := "; there is no other to go back to"
	if len(c.Previous) > 0 {
		to = fmt.Sprintf(", but to %s@%s", ref.App, c.Previous[0])
	}
	switch {
	case at != nil && before.Version != ref.Version && !slices.Contains(c.Previous, before.Version):
		why := fmt.Sprintf("had come to wave %d of %d alone, as far as is known here", at.Wave+1, len(before.Rollout.Waves))
		if at.Halted {
			why = "was halted"
		}
		notice = fmt.Sprintf("%s@%s %s: nobody goes back to it%s", ref.App, before.Version, why, to)
	case policy != nil && policy.Rollback && len(c.Previous) == 0:
		notice = fmt.Sprintf("--rollback has no version to go back to: none has come to all machines of %s:%s yet", ref.App, channel)
	}
	return true, notice, nil
}

// policy is what rollout start says about how a version may spread.
func (e *env) policy() (*release.Policy, error) {
	s := e.settings
	text := s.String("waves")
	p := &release.Policy{Every: int64(s.Duration("every") / time.Second), Rollback: s.Bool("rollback"), MinReports: int(s.Int("min-reports"))}
	if s.Bool("safe") {
		if s.given("waves") || s.given("halt-at") || s.given("min-reports") {
			return nil, usagef("leave them away, or --safe", "--safe says what the waves are, and when they are halted")
		}
		text, p.HaltAt, p.MinReports = "1,100%", new(float64), 1
		p.Every = max(p.Every, 1)
	}
	if share := s.String("halt-at"); share != "" {
		at, err := parseShare(share)
		if err != nil {
			return nil, err
		}
		if p.HaltAt = &at; !s.given("min-reports") {
			p.MinReports = defaultMinReports
		}
	}
	var err error
	p.Waves, err = parseWaves(text)
	return p, err
}

const defaultMinReports = 20

func (e *env) rolloutPromote(ctx context.Context, arg string) error {
	ref, err := channelRef(arg)
	if err != nil {
		return err
	}
	return e.changeAndShow(ctx, ref, func(tx *release.Tx) error {
		c, err := tx.Channel(ref.App, ref.Channel)
		if err != nil {
			return err
		}
		if c == nil {
			return fmt.Errorf("channel %s %w", ref, release.ErrNoRelease)
		}
		_, err = tx.Promote(ref.App, c.Version, ref.Channel)
		return err
	})
}

func (e *env) steer(ctx context.Context, arg string, change func(*release.Rollout)) error {
	ref, err := channelRef(arg)
	if err != nil {
		return err
	}
	return e.changeAndShow(ctx, ref, func(tx *release.Tx) error {
		_, err := tx.Steer(ref.App, ref.Channel, change)
		return err
	})
}

func (e *env) rolloutStatus(ctx context.Context, arg string) error {
	ref, err := channelRef(arg)
	if err != nil {
		return err
	}
	return e.changeAndShow(ctx, ref, func(*release.Tx) error { return nil })
}

// changeAndShow changes a repository, and shows how far the channel's rollout is then.
func (e *env) changeAndShow(ctx context.Context, ref release.Ref, change func(*release.Tx) error) error {
	c, at, err := e.rolloutChange(ctx, ref, change)
	if err != nil {
		return err
	}
	return e.showRollout(ctx, c, at)
}

// showRollout prints how far a rollout is, and waits for it if the command was told to.
func (e *env) showRollout(ctx context.Context, c *release.Channel, at *release.Rollout) error {
	e.printRollout(c, at)
	return e.waitFor(ctx, c, at)
}

// rolloutChange changes a repository, and returns how far the channel's rollout is then.
func (e *env) rolloutChange(ctx context.Context, ref release.Ref, change func(*release.Tx) error) (c *release.Channel, at *release.Rollout, err error) {
	r, err := e.repository(e.signing())
	if err != nil {
		return nil, nil, err
	}
	done, err := r.Update(ctx, func(tx *release.Tx) (err error) {
		if err = change(tx); err == nil {
			c, at, err = tx.Rollout(ref.App, ref.Channel)
		}
		return err
	})
	if err != nil {
		return nil, nil, changeError(err)
	}
	if c == nil {
		return nil, nil, fmt.Errorf("channel %s %w", ref, release.ErrNoRelease)
	}
	e.unfinished(done)
	return c, at, nil
}

// printRollout prints how far a rollout is; at is nil where the channel's version is for all machines.
func (e *env) printRollout(c *release.Channel, at *release.Rollout) {
	state, wave, why := "everywhere", 0, ""
	waves := []string{}
	var next *time.Time
	if at != nil {
		state, wave, why = "running", at.Wave+1, at.Why
		switch {
		case at.Halted:
			state = "halted"
		case at.Paused:
			state = "paused"
		}
		for _, w := range c.Rollout.Waves {
			waves = append(waves, formatWave(w))
		}
		if wave < len(waves) {
			opens := c.Opens(wave)
			next = &opens
		}
	}
	e.report.Result("rollout", struct {
		App     string     `json:"app"`
		Channel string     `json:"channel"`
		Version string     `json:"version"`
		State   string     `json:"state"`
		Wave    int        `json:"wave"` // from 1 on; 0: there are none
		Waves   []string   `json:"waves"`
		Next    *time.Time `json:"next"` // the earliest time of the next wave
		Since   time.Time  `json:"since"`
		Why     string     `json:"why"`
		Back    bool       `json:"back"` // machines that have the version are sent back
	}{c.App, c.Channel, c.Version, state, wave, waves, next, c.At, why, at != nil && at.Back}, func(w io.Writer) {
		fmt.Fprintf(w, "%s:%s is %s, ", c.App, c.Channel, c.Version)
		if at == nil {
			fmt.Fprintln(w, "for all machines")
			return
		}
		fmt.Fprintf(w, "%s: wave %d of %d, %s", state, wave, len(waves), waves[wave-1])
		if at.Back {
			fmt.Fprint(w, ", and machines go back")
		}
		if why != "" {
			fmt.Fprintf(w, ": %s", clean(why))
		}
		switch {
		case state != "running":
		case next == nil && c.Rollout.Waves[wave-1].Share < 1:
			fmt.Fprint(w, ", the last; all others when it is promoted")
		case next == nil:
			fmt.Fprint(w, ", the last; it may be halted until it is promoted")
		case c.Rollout.Every == 0: // then nobody goes on by itself
			fmt.Fprintf(w, "; the next, %s, when it is advanced", waves[wave])
		default:
			fmt.Fprintf(w, "; the next, %s, from %s on", waves[wave], next.Local().Format(time.RFC3339))
		}
		fmt.Fprintln(w)
	})
}
