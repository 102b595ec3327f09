package cli

import (
	"fmt"
	"io"
	"time"

	"shoal/internal/updater"
	"shoal/swarm"
)

// updateReporter tells the steps of an update to whoever runs it.
type updateReporter struct{ e *env }

// Report implements updater.Reporter. What an update ends with is a result, what comes before a notice.
func (u updateReporter) Report(r updater.Report) {
	out := u.e.report
	out.Stop()
	if out.json {
		out.Event("update", struct {
			App      string     `json:"app"`
			Channel  string     `json:"channel"`
			State    string     `json:"state"`
			Version  string     `json:"version"`
			Previous string     `json:"previous"`
			Reason   string     `json:"reason"`
			Why      string     `json:"why"`
			Unwell   string     `json:"unwell"`
			Until    *time.Time `json:"until"`
			Bytes    int64      `json:"bytes"`
			From     FromBytes  `json:"from"`
			Seconds  float64    `json:"seconds"`
			Healthy  bool       `json:"healthy"`
			Machine  string     `json:"machine"`
			Way      string     `json:"way"`
			Base     string     `json:"patch_from"`
			Saved    int64      `json:"saved_bytes"`
		}{r.App, r.Channel, string(r.State), r.Version, r.Previous, string(r.Reason), r.Why, r.Unwell, orNull(r.Until), r.Bytes, fromBytes(swarm.Stats{From: r.From}), seconds(r.Took), r.Healthy, r.Machine, r.Way, r.Base, saved(r)})
		return
	}
	name := r.App + "@" + r.Version
	switch r.State {
	case updater.StateCurrent:
		out.Result("", nil, func(w io.Writer) { fmt.Fprintf(w, "%s is in place\n", name) })
	case updater.StateConfirmed:
		out.Result("", nil, func(w io.Writer) {
			fmt.Fprintf(w, "%s is in place after %s", name, formatSeconds(r.Took.Seconds()))
			if r.Previous != "" {
				fmt.Fprintf(w, ", before it %s", r.Previous)
			}
			if n := saved(r); n > 0 {
				fmt.Fprintf(w, "; %s of %s saved", formatBytes(n), formatBytes(r.Bytes))
			}
			fmt.Fprintln(w)
		})
	case updater.StateHeld:
		if !u.e.settings.Bool("once") { // there the end says so
			out.Notice("%s is held (%s): %s", name, r.Reason, r.Why)
		}
	case updater.StateStaging:
		out.Notice("fetching %s: %s", name, formatBytes(r.Bytes))
	case updater.StateStaged:
		out.Notice("%s lies here, verified%s", name, sources(fromBytes(swarm.Stats{From: r.From})))
	case updater.StateGoingBack:
		out.Notice("%s: %s; going back", name, r.Why)
	case updater.StatePreparing, updater.StateSwitched, updater.StateRolledBack, updater.StateFailed: // a moment, or said by the error that follows
	}
}

// saved is how many bytes of a release did not come over the net, by what this process has fetched; 0 before that is known.
func saved(r updater.Report) int64 {
	if r.Way == "" {
		return 0
	}
	from := fromBytes(swarm.Stats{From: r.From})
	return max(0, r.Bytes-(from.sum()-from.Reuse))
}

// sources says how much came from where, in percent.
func sources(f FromBytes) (text string) {
	separator := "; "
	for _, c := range f.classes() {
		text += fmt.Sprintf("%s%s %d%%", separator, c.name, (100*c.bytes+f.sum()/2)/f.sum())
		separator = ", "
	}
	return text
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// printChecked prints what a check has found.
func (e *env) printChecked(c *updater.Checked) {
	d, o := c.Decision, c.Offer
	state := map[updater.Action]updater.State{updater.Stay: updater.StateCurrent, updater.Hold: updater.StateHeld, updater.Install: updater.StateAvailable}[d.Action]
	e.report.Result("check", struct {
		App       string     `json:"app"`
		Channel   string     `json:"channel"`
		State     string     `json:"state"`
		Running   string     `json:"running"`
		Version   string     `json:"version"`
		Pinned    string     `json:"pinned"`
		Reason    string     `json:"reason"`
		Why       string     `json:"why"`
		Until     *time.Time `json:"until"`
		Bytes     int64      `json:"bytes"`
		Withdrawn string     `json:"withdrawn"`
	}{c.App, o.Channel, string(state), c.Running, o.Version, c.Pinned, string(d.Reason), d.Why, orNull(d.Until), o.Bytes, o.Withdrawn}, func(w io.Writer) {
		name := c.App + "@" + o.Version
		switch {
		case d.Action == updater.Stay:
			fmt.Fprintf(w, "%s is in place", name)
		case c.Running == "":
			fmt.Fprintf(w, "%s: %s, nothing is installed yet", name, formatBytes(o.Bytes))
		default:
			fmt.Fprintf(w, "%s: %s, in place is %s", name, formatBytes(o.Bytes), c.Running)
		}
		if o.Withdrawn != "" {
			fmt.Fprintf(w, ", which was withdrawn: %s", clean(o.Withdrawn))
		}
		if c.Pinned != "" {
			fmt.Fprintf(w, " (pinned)")
		}
		if d.Action == updater.Hold {
			fmt.Fprintf(w, "; held (%s): %s", d.Reason, d.Why)
		}
		fmt.Fprintln(w)
	})
}

func (e *env) printPinned(version string) {
	e.report.Result("pinned", struct {
		Version string `json:"version"`
	}{version}, func(w io.Writer) {
		if version == "" {
			fmt.Fprintln(w, "follows its channel")
			return
		}
		fmt.Fprintf(w, "stays at %s\n", version)
	})
}

// updateHistory prints what is installed, and what was done before.
func (e *env) updateHistory() error {
	c, err := e.installation()
	if err != nil {
		return err
	}
	known, err := updater.History(c)
	if err != nil {
		return err
	}
	if known.App == "" {
		return fmt.Errorf("%w: nothing was ever installed at %s", updater.ErrNothing, c.To)
	}
	bad := map[string]string{}
	for _, b := range known.Bad {
		bad[b.Version] = b.Why
	}
	e.report.Result("installed", struct {
		App     string            `json:"app"`
		Source  string            `json:"source"`
		Running string            `json:"running"`
		Pinned  string            `json:"pinned"`
		Bad     map[string]string `json:"bad"`
	}{known.App, known.Source, known.Running, known.Pinned, bad}, func(w io.Writer) {
		running := "nothing"
		if known.Running != "" {
			running = known.App + "@" + known.Running
		}
		if known.Pinned != "" {
			running += ", pinned to " + known.Pinned
		}
		fmt.Fprintf(w, "%s, from %s\n", running, clean(known.Source))
	})
	for _, p := range known.History {
		e.report.Result("past", struct {
			Ended    time.Time `json:"ended"`
			State    string    `json:"state"`
			Version  string    `json:"version"`
			Previous string    `json:"previous"`
			Why      string    `json:"why"`
			Unwell   string    `json:"unwell"`
			Seconds  float64   `json:"seconds"`
			ByHand   bool      `json:"by_hand"`
		}{p.At, string(p.State), p.Version, p.Previous, p.Why, p.Unwell, p.Seconds, p.ByHand}, func(w io.Writer) {
			fmt.Fprintf(w, "%s  %-11s  %s", p.At.Local().Format(time.DateTime), p.State, p.Version)
			if p.Previous != "" {
				fmt.Fprintf(w, " after %s", p.Previous)
			}
			if p.ByHand {
				fmt.Fprint(w, ", by hand")
			}
			if p.Why != "" {
				fmt.Fprintf(w, ": %s", clean(p.Why))
			}
			if p.Unwell != "" {
				fmt.Fprintf(w, "; %s was not well either: %s", p.Previous, clean(p.Unwell))
			}
			fmt.Fprintln(w)
		})
	}
	return nil
}
