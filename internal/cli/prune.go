package cli

import (
	"context"
	"fmt"
	"io"

	"shoal/internal/release"
)

func pruneCommand() *command {
	return &command{
		name:  "prune",
		usage: "forget old versions that no channel has, and their content",
		long: "Kept are the versions that channels have, those they would go back to, those named with --pin, and the newest of the rest.\n" +
			"Entries in the transparency log stay.",
		examples: []string{"shoal prune --keep 5", "shoal prune --pin myapp@1.0.0"},
		options: concat([]option{
			{name: "keep", kind: kindInt, value: "N", usage: "how many other versions of each app stay", def: "3"},
			{name: "pin", kind: kindList, value: "APP@VERSION", usage: "a version that stays; may be repeated", check: checkVersioned},
		}, keyOptions(), outputOptions()),
		run: func(ctx context.Context, e *env, _ []string) error { return e.prune(ctx) },
	}
}

func (e *env) prune(ctx context.Context) error {
	r, err := e.repository(e.signing())
	if err != nil {
		return err
	}
	pinned := map[string][]string{}
	for _, text := range e.settings.List("pin") {
		ref, _ := release.ParseRef(text) // checked
		pinned[ref.App] = append(pinned[ref.App], ref.Version)
	}
	var gone []*release.Release
	done, err := r.Update(ctx, func(tx *release.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			list, err := tx.Prune(app, int(e.settings.Int("keep")), pinned[app])
			if err != nil {
				return err
			}
			gone = append(gone, list...)
		}
		return nil
	})
	if err != nil {
		return changeError(err)
	}
	e.unfinished(done)
	freed := int64(0)
	if !done.Unfinished { // else what is in effect still needs it all
		if freed, err = r.Sweep(ctx); err != nil {
			return err
		}
	}
	var names []string
	for _, g := range gone {
		names = append(names, g.Ref().String()+" "+g.Platform)
	}
	e.report.Result("pruned", struct {
		Releases []string `json:"releases"`
		Bytes    int64    `json:"bytes"`
	}{orEmpty(names), freed}, func(w io.Writer) {
		for _, n := range names {
			fmt.Fprintf(w, "forgot %s\n", n)
		}
		fmt.Fprintf(w, "%s, %s freed\n", plural(len(gone), "release"), formatBytes(freed))
	})
	return nil
}
