package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"slices"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

func logCommand() *command {
	options := concat(releaseOptions()[1:3], []option{repoOption()}, stateOptions(), outputOptions())
	return &command{
		name:  "log",
		usage: "look at a repository's transparency log",
		long: "Alone it is shoal log verify. Every release stands in an append-only log, and machines refuse one that does not, or a log that is not a continuation of\n" +
			"what they have seen. So who has stolen a publisher's keys cannot ship a release that nobody else can see.",
		examples: []string{"shoal log verify --repo https://origin.example", "shoal log show --repo repo"},
		options:  options,
		run:      func(ctx context.Context, e *env, _ []string) error { return e.showLog(ctx, nil) },
		sub: []*command{
			{
				name: "verify", usage: "check the whole log against its signed checkpoint and what this machine has seen before",
				examples: []string{"shoal log verify --repo https://origin.example --root root.json"},
				options:  options,
				run:      func(ctx context.Context, e *env, _ []string) error { return e.showLog(ctx, nil) },
			},
			{
				name: "show", usage: "list the releases in the log, checked", examples: []string{"shoal log show --app myapp"},
				options: append([]option{{name: "app", kind: kindList, value: "APP", usage: "only the releases of this app; may be repeated"}}, options...),
				run: func(ctx context.Context, e *env, _ []string) error {
					apps := e.settings.List("app")
					return e.showLog(ctx, func(n int64, entry release.LogEntry) {
						if len(apps) > 0 && !slices.Contains(apps, entry.App) {
							return
						}
						e.report.Result("logged", struct {
							Index    int64  `json:"index"`
							App      string `json:"app"`
							Version  string `json:"version"`
							Platform string `json:"platform"`
							Document string `json:"document"`
						}{n, entry.App, entry.Version, entry.Platform, entry.Document}, func(w io.Writer) {
							fmt.Fprintf(w, "%6d  %s@%s %s  %.16s\n", n, entry.App, entry.Version, entry.Platform, entry.Document)
						})
					})
				},
			},
		},
	}
}

// showLog reads a whole log, checked, and shows each entry, or what it came to.
func (e *env) showLog(ctx context.Context, show func(int64, release.LogEntry)) error {
	s := e.settings
	where := s.String("repo")
	if where == "" {
		var err error
		if where, err = nearestRepository(); err != nil {
			return err
		}
	}
	t, done, err := deliver.OpenRepository(ctx, where, deliver.ReleaseConfig{StateDir: s.String("state-dir"), Root: s.String("root"), FirstUse: s.Bool("trust-on-first-use"), UserAgent: userAgent()})
	if err != nil {
		return err
	}
	defer done()
	n := int64(0)
	err = t.Log(ctx, func(i int64, entry release.LogEntry) error {
		n++
		if show != nil {
			show(i, entry)
		}
		return e.report.Err()
	})
	if err != nil || show != nil {
		return err
	}
	c := t.Checkpoint()
	e.report.Result("log", struct {
		Repository string `json:"repository"`
		Size       int64  `json:"size"`
		Root       string `json:"root"`
	}{t.ID(), c.Size, base64.StdEncoding.EncodeToString(c.Hash[:])}, func(w io.Writer) {
		fmt.Fprintf(w, "the log of repository %s is whole: %s\n", t.ID(), c)
	})
	return nil
}
