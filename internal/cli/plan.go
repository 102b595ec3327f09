package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/updater"
)

func planCommand() *command {
	return &command{
		name:  "plan",
		args:  "[SOURCE]",
		usage: "say how a release would be fetched, and why",
		long: "SOURCE is a signed release. It can come as its own files, as one archive, or as a patch of a version that is here; the cheapest way\n" +
			"is taken, by the bytes that are to be fetched and the work to unpack them. Nothing is fetched but descriptions.\n" +
			"What a run has verified that was stopped counts as here. With --to it is what update would do; SOURCE may be left away then.",
		examples: []string{"shoal plan https://origin.example/myapp:stable --from /opt/myapp-1.3.0", "shoal plan myapp@1.4.0 --repo releases -o /opt", "shoal plan --to /opt/myapp"},
		options: concat([]option{
			{name: "output", short: "o", value: "DIR", usage: "the directory that it is to go to", def: ".", complete: "dir"},
			fromOption(),
		}, installedOptions(), releaseOptions(), stateOptions(), logOptions("warn"), outputOptions()),
		maxArgs: 1,
		run:     func(ctx context.Context, e *env, args []string) error { return e.plan(ctx, args) },
	}
}

// fromOption is for commands that bring a release here.
func fromOption() option {
	return option{name: "from", kind: kindList, value: "DIR", usage: "an older version, whatever it is called, or a directory that has some: what is in them is not fetched; may be repeated", complete: "dir"}
}

// older is what --from names. That it is not there is no error, so that a script can always say where a version would be, but it may be mistyped.
func (e *env) older() []string {
	dirs := e.settings.List("from")
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			e.report.Notice("nothing comes --from there: %v", err)
		}
	}
	return dirs
}

// tellUnfit says which of --from is a file, though the release is a directory: nothing is looked for in it.
func (e *env) tellUnfit(found *deliver.Found) {
	if found.Release == nil || !found.Release.IsTree() {
		return
	}
	for _, path := range e.settings.List("from") {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			e.report.Notice("nothing comes --from %s: it is a file, and %s a directory", path, found.Release.Ref())
		}
	}
}

// unused tells of what --from names in vain.
func (e *env) unused(path, why string) { e.report.Notice("nothing comes --from %s: %s", path, why) }

func (e *env) plan(ctx context.Context, args []string) error {
	s := e.settings
	to := updater.Config{To: s.String("to"), InPlace: s.Bool("in-place")}
	switch {
	case to.To == "" && to.InPlace:
		return usagef("such as --to /opt/mytool --in-place", "--in-place says what --to is")
	case to.To != "" && s.given("output"):
		return usagef("-o is for what get would do, --to for what update would", "-o and --to both say where it goes to")
	}
	src, err := planSource(to, args)
	if err != nil {
		return err
	}
	c := e.releaseConfig()
	if to.To != "" {
		known, err := updater.History(to)
		if err != nil {
			return err
		}
		c.Platform = cmp.Or(c.Platform, known.Platform)
	}
	found, err := e.resolveFor(ctx, src, c, true, nil)
	if err != nil {
		return err
	}
	defer found.Close()
	e.tellUnfit(found)
	r := deliver.Request{Found: *found, Dir: s.String("output"), From: e.older(), StateDir: s.String("state-dir")}
	if to.To != "" {
		to.App = found.Release.App
		places, err := updater.PlacesOf(to, found.Release.Version)
		if err != nil {
			return err
		}
		r.Dir = places.Dir
		for _, k := range places.Kept {
			r.From = append(r.From, k.Path)
		}
		if disk.Exists(places.Give) { // an update that stays keeps archives and patches there
			r.Artefacts = places.Give
		}
	}
	r.Reading, r.Unused = e.reading, e.unused
	plan, err := deliver.PlanRelease(ctx, r)
	e.report.Stop()
	if err != nil {
		return err
	}
	e.report.Result("plan", describePlan(plan), func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", clean(plan.Name), formatBytes(plan.Bytes))
		for i, c := range plan.Candidates {
			mark := " "
			if i == 0 {
				mark = "*"
			}
			fmt.Fprintf(w, "%s %-8s %-12s fetch %-10s here %-10s %7s  %s\n", mark, c.Way, clean(c.From), formatBytes(c.Fetch), formatBytes(c.Reuse), formatSeconds(seconds(c.Cost)), clean(c.Why))
		}
	})
	return nil
}

// planSource is what the plan is about: the argument, or what is followed at --to.
func planSource(to updater.Config, args []string) (deliver.Source, error) {
	source, pinned := "", ""
	switch {
	case len(args) > 0:
		source = args[0]
	case to.To == "":
		return deliver.Source{}, usagef("such as shoal plan https://origin.example/myapp:stable, or --to DIR for what is installed there", "shoal plan needs a SOURCE")
	default:
		known, err := updater.History(to)
		if err != nil {
			return deliver.Source{}, err
		}
		if source, pinned = known.Source, known.Pinned; source == "" {
			return deliver.Source{}, usagef("such as shoal plan https://origin.example/myapp:stable --to "+to.To, "nothing is installed at %s yet: name a SOURCE", to.To)
		}
	}
	src, err := deliver.Classify(source)
	if err != nil {
		return src, err
	}
	if !src.Signed() {
		return src, usagef("", "%s is no signed release: only those come by more ways than one", source)
	}
	if pinned != "" {
		src.Release.Channel, src.Release.Version = "", pinned
	}
	return src, nil
}

// plan, as JSON has it.
type planLine struct {
	Name       string          `json:"name"`
	Bytes      int64           `json:"bytes"`
	Way        string          `json:"way"`
	PatchFrom  string          `json:"patch_from,omitempty"`
	Fetch      int64           `json:"fetch_bytes"`
	Candidates []candidateLine `json:"candidates"`
}

type candidateLine struct {
	Way       string  `json:"way"`
	PatchFrom string  `json:"patch_from,omitempty"`
	Fetch     int64   `json:"fetch_bytes"`
	Reuse     int64   `json:"reuse_bytes"`
	Cost      float64 `json:"cost_seconds"` // an estimate, to compare with the others
	Why       string  `json:"why"`
	Err       string  `json:"failed,omitempty"`
}

func describePlan(p *deliver.Plan) planLine {
	c := p.Chosen()
	line := planLine{Name: p.Name, Bytes: p.Bytes, Way: c.Way, PatchFrom: c.From, Fetch: c.Fetch}
	for _, c := range p.Candidates {
		line.Candidates = append(line.Candidates, candidateLine{c.Way, c.From, c.Fetch, c.Reuse, seconds(c.Cost), c.Why, c.Err})
	}
	return line
}

// planned tells what way a release takes, and why another one was given up.
func (e *env) planned(p *fetchProgress, plan *deliver.Plan) {
	for _, c := range plan.Candidates {
		switch {
		case c.Short > 0:
			e.report.Notice("the %s made all but %s of %s right, and the rest is fetched: %s", wayName(&c), formatBytes(c.Short), formatBytes(plan.Bytes), c.Err)
		case c.Err != "":
			e.report.Notice("the %s did not do: %s", wayName(&c), c.Err)
		}
	}
	c := plan.Chosen()
	e.report.Event("plan", describePlan(plan))
	p.name, p.total = plan.Name, plan.Bytes
	if c.Way != deliver.WayTree {
		p.name, p.total = plan.Name+" ("+wayName(c)+")", c.Fetch
	}
	e.report.Start(p.name, p.total)
}

func wayName(c *deliver.Candidate) string {
	if c.From != "" {
		return c.Way + " from " + c.From
	}
	return c.Way
}
