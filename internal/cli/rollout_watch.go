package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/internal/fleet"
	"shoal/internal/release"
	"shoal/internal/updater"
)

// watchEvery is how often the origin is asked; it looks at what machines report once a second.
const watchEvery = 500 * time.Millisecond

// rolloutWaitOptions are for commands after which a rollout can be waited for, at its origin.
func rolloutWaitOptions() []option {
	return concat([]option{
		{name: "wait", kind: kindBool, usage: "wait until all machines that the rollout has reached have shown how it goes: exit 9 if it is halted"},
	}, rolloutDeadlineOptions())
}

func rolloutDeadlineOptions() []option {
	return concat([]option{{name: "deadline", kind: kindDuration, value: "TIME", usage: "wait no longer, exit 6; 0 is for ever"}}, stateOptions())
}

// goal is what a rollout is watched for.
type goal struct {
	of      string // the rollout's channel document; "": whichever there is
	version string // instead of it: the channel has it for all machines; "": it is a rollout
	wave    int    // the index of the wave that must have shown how it goes; -1: the last that comes without being told to
}

// meant says whether r is what is watched. The origin may not have read it yet.
func (g goal) meant(r *daemon.FleetRollout) bool {
	if g.version != "" {
		return r.All && r.Version == g.version
	}
	return g.of == "" || g.of == r.At.Of
}

// over says whether a rollout has come to where it is watched to. gone is that the origin knows of none for the channel.
func (g goal) over(r *daemon.FleetRollout) (done bool, err error) {
	switch {
	case r.At.Halted:
		return true, haltedError(&release.Channel{App: r.App, Channel: r.Channel, Version: r.Version}, r.At.Why)
	case g.wave < 0 && r.Policy.Every == 0: // nobody goes on by itself
		g.wave = r.Wave
	case g.wave < 0:
		g.wave = len(r.Policy.Waves) - 1
	}
	e, p := r.Evidence, r.Policy
	if p.HaltAt != nil && float64(e.Bad+e.Missing) > *p.HaltAt*float64(e.Good+e.Bad+e.Missing) { // the origin is about to halt it
		return false, nil
	}
	return r.Wave >= g.wave && e.Expected > 0 && e.Open == 0 && e.Good+e.Bad >= e.Expected, nil
}

func haltedError(c *release.Channel, why string) error {
	err := updater.ErrHalted
	if why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return fmt.Errorf("%s:%s, version %s: %w", c.App, c.Channel, c.Version, err)
}

func (e *env) rolloutWatch(ctx context.Context, arg string) error {
	ref, err := channelRef(arg)
	if err != nil {
		return err
	}
	return e.watchRollout(ctx, ref, goal{wave: -1})
}

// watchRollout shows how a rollout goes until it is over.
func (e *env) watchRollout(ctx context.Context, ref release.Ref, g goal) error {
	show := watcher{env: e, screen: screenOf(e.stdout, e.lookupEnv)}
	var late <-chan time.Time
	if d := e.settings.Duration("deadline"); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		late = t.C
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		list, err := askFleetFor[[]daemon.FleetRollout](ctx, e, http.MethodGet, "rollouts?"+url.Values{"app": {ref.App}, "channel": {ref.Channel}}.Encode(), nil)
		if err != nil {
			return err
		}
		switch over := len(list) == 0 || list[0].All; {
		case over && g == goal{wave: -1} && show.shown == nil:
			return &deliver.Error{Kind: deliver.ErrNoSource, Message: fmt.Sprintf("the origin of this machine has no rollout of %s", ref), Hint: "shoal rollout start begins one"}
		case over && g == goal{wave: -1}: // its version was promoted, or the channel has another one
			e.report.Notice("the rollout of %s is over", ref)
			return nil
		case len(list) > 0 && g.meant(&list[0]):
			show.show(&list[0])
			if done, err := g.over(&list[0]); done {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-late:
			return &deliver.Error{Kind: deliver.ErrDeadline, Message: fmt.Sprintf("the deadline passed before the rollout of %s was there", ref), Hint: "it goes on: shoal rollout watch shows how"}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watcher shows a rollout, and again when something has changed.
type watcher struct {
	*env
	screen *screen // nil: stdout is no terminal
	shown  *daemon.FleetRollout
	lines  int // of the screen that are to be drawn over
}

func (w *watcher) show(r *daemon.FleetRollout) {
	if w.shown != nil && reflect.DeepEqual(w.shown, r) {
		return
	}
	w.shown = r
	from, saved := r.Evidence.From, notSentByOrigin(r.Evidence.From)
	w.report.Result("watch", struct {
		App     string     `json:"app"`
		Channel string     `json:"channel"`
		Version string     `json:"version"`
		State   string     `json:"state"`
		Wave    int        `json:"wave"` // from 1 on
		Waves   []string   `json:"waves"`
		Next    *time.Time `json:"next"`
		Why     string     `json:"why"`
		Good    int        `json:"good"`
		Bad     int        `json:"bad"`
		Open    int        `json:"open"`
		Missing int        `json:"missing"`
		Reached int        `json:"reached"`
		From    FromBytes  `json:"from"`
		Saved   int64      `json:"saved_bytes"`
	}{r.App, r.Channel, r.Version, rolloutState(r), r.Wave + 1, formatWaves(r.Policy.Waves), orNull(r.Next), cmp.Or(r.At.Why, r.Evidence.Why), r.Evidence.Good, r.Evidence.Bad, r.Evidence.Open, r.Evidence.Missing,
		max(0, r.Evidence.Expected), FromBytes{Reuse: from.Reuse, LAN: from.LAN, Peers: from.Peers, Edges: from.Edges, Origin: from.Origin}, saved}, func(out io.Writer) {
		if w.screen == nil {
			fmt.Fprintln(out, strings.Join(watchLines(r), "; "))
			return
		}
		var b bytes.Buffer
		if w.lines > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", w.lines) // up, and clear to the end
		}
		lines := watchLines(r)
		for _, line := range lines {
			fmt.Fprintln(&b, cut(line, w.screen.columns()-1))
		}
		w.lines = len(lines)
		out.Write(b.Bytes())
	})
}

// notSentByOrigin is what machines have of a version, and the origin has not sent.
func notSentByOrigin(f fleet.From) int64 { return f.Reuse + f.LAN + f.Peers + f.Edges }

// watchLines say how a rollout goes.
func watchLines(r *daemon.FleetRollout) []string {
	e := r.Evidence
	waves := formatWaves(r.Policy.Waves)
	first := fmt.Sprintf("%s:%s is %s, %s: wave %d of %d, %s", r.App, r.Channel, r.Version, rolloutState(r), r.Wave+1, len(waves), waves[r.Wave])
	if !r.Next.IsZero() && !r.At.Halted && !r.At.Paused {
		first += fmt.Sprintf(", the next from %s on", r.Next.Local().Format(time.RFC3339))
	}
	machines := fmt.Sprintf("%s well", plural(e.Good, "machine"))
	for _, n := range []struct {
		n    int
		what string
	}{{e.Bad, "failed"}, {e.Open - e.Missing, "under way"}, {e.Missing, "not heard of again"}} {
		if n.n > 0 {
			machines += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	if e.Expected >= 0 {
		machines += fmt.Sprintf(", of %d reached", e.Expected)
	}
	lines := []string{first, machines}
	if saved := notSentByOrigin(e.From); saved+e.From.Origin > 0 {
		lines = append(lines, fmt.Sprintf("the origin sent %s, %s saved (%d%%)", formatBytes(e.From.Origin), formatBytes(saved), 100*saved/(saved+e.From.Origin)))
	}
	if why := cmp.Or(r.At.Why, e.Why); why != "" {
		lines = append(lines, clean(why))
	}
	return lines
}

// cut shortens a line to what fits.
func cut(line string, columns int) string {
	if runes := []rune(line); len(runes) > columns && columns > 0 {
		return string(runes[:columns])
	}
	return line
}

// rolloutState is a rollout's state in a word.
func rolloutState(r *daemon.FleetRollout) string {
	switch {
	case r.All:
		return "everywhere"
	case r.At.Halted:
		return "halted"
	case r.At.Paused:
		return "paused"
	}
	return "running"
}

func formatWaves(list []release.Wave) []string {
	waves := []string{}
	for _, w := range list {
		waves = append(waves, formatWave(w))
	}
	return waves
}

// waitFor waits, if the command was told to, until the wave that a rollout is at has shown how it goes, or where the channel's version is for all machines (at is nil) all have.
func (e *env) waitFor(ctx context.Context, c *release.Channel, at *release.Rollout) error {
	if !e.settings.has("wait") || !e.settings.Bool("wait") {
		return nil
	}
	g := goal{version: c.Version}
	if at != nil {
		g = goal{of: at.Of, wave: at.Wave}
	}
	return e.watchRollout(ctx, release.Ref{App: c.App, Channel: c.Channel}, g)
}
