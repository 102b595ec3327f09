package cli

import (
	"context"
	"fmt"
	"io"

	"shoal/internal/deliver"
)

func planCommand() *command {
	return &command{
		name:  "plan",
		args:  "SOURCE",
		usage: "say how a release would be fetched, and why",
		long: "SOURCE is a signed release. It can come as its own files, as one archive, or as a patch of a version that is here; the cheapest way\n" +
			"is taken, by the bytes that are to be fetched and the work to unpack them. Nothing is fetched but descriptions.",
		examples: []string{"shoal plan https://origin.example/myapp:stable --from /opt/myapp-1.3.0", "shoal plan myapp@1.4.0 --repo releases -o /opt"},
		options: concat([]option{
			{name: "output", short: "o", value: "DIR", usage: "the directory that it is to go to", def: ".", complete: "dir"},
			fromOption(),
		}, releaseOptions(), stateOptions(), logOptions("warn"), outputOptions()),
		minArgs: 1, maxArgs: 1,
		run: func(ctx context.Context, e *env, args []string) error { return e.plan(ctx, args[0]) },
	}
}

// fromOption is for commands that bring a release here.
func fromOption() option {
	return option{name: "from", kind: kindList, value: "DIR", usage: "an older version, or a directory that has some: what is in them is not fetched; may be repeated", complete: "dir"}
}

func (e *env) plan(ctx context.Context, source string) error {
	src, err := deliver.Classify(source)
	if err != nil {
		return err
	}
	if !src.Signed() {
		return usagef("", "%s is no signed release: only those come by more ways than one", source)
	}
	found, err := e.resolveRelease(ctx, src, true, nil)
	if err != nil {
		return err
	}
	defer found.Close()
	plan, err := deliver.PlanRelease(ctx, deliver.Request{Found: *found, Dir: e.settings.String("output"), From: e.settings.List("from"), StateDir: e.settings.String("state-dir")})
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
		if c.Err != "" {
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
