package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

func bundleCommand() *command {
	return &command{
		name:  "bundle",
		args:  "APP@VERSION",
		usage: "put a release and everything that proves it into one file, for machines without a network",
		long:  "There, shoal get FILE --root root.json verifies the whole chain: signatures, transparency log, content.",
		examples: []string{
			"shoal bundle myapp@1.4.0 -o myapp.bundle",
			"shoal bundle myapp@1.4.0 --platform linux-amd64 -o myapp.bundle",
		},
		options: append([]option{
			{name: "output", short: "o", value: "FILE", usage: "the file to write (default: APP-VERSION.bundle)", complete: "file"},
			{name: "force", kind: kindBool, usage: "replace the file if it is there"},
			{name: "platform", value: "PLATFORM", usage: "for machines of this platform only (default: all)", check: checkPlatform},
			repoOption(),
		}, outputOptions()...),
		minArgs: 1, maxArgs: 1,
		run: func(ctx context.Context, e *env, args []string) error { return e.bundle(ctx, args[0]) },
	}
}

func (e *env) bundle(ctx context.Context, arg string) error {
	ref, err := versioned(arg)
	if err != nil {
		return err
	}
	r, err := e.repository(release.Config{})
	if err != nil {
		return err
	}
	output := e.settings.String("output")
	if output == "" {
		output = ref.App + "-" + ref.Version + ".bundle"
	}
	if !e.settings.Bool("force") {
		if _, err := os.Lstat(output); err == nil {
			return withHint(&os.PathError{Op: "create", Path: output, Err: os.ErrExist}, "--force replaces it, -o names another file")
		}
	}
	var platforms []string
	if p := e.settings.String("platform"); p != "" {
		platforms = []string{p}
	}
	var names []string
	err = writeNew(output, func(w io.Writer) error {
		found, err := deliver.WriteBundle(ctx, w, r, ref, platforms)
		for _, f := range found {
			names = append(names, f.Platform)
		}
		return err
	}, e.settings.Bool("force"))
	if err != nil {
		return changeError(err)
	}
	info, err := os.Stat(output)
	if err != nil {
		return err
	}
	e.report.Result("bundled", struct {
		File      string   `json:"file"`
		App       string   `json:"app"`
		Version   string   `json:"version"`
		Platforms []string `json:"platforms"`
		Bytes     int64    `json:"bytes"`
	}{output, ref.App, ref.Version, orEmpty(names), info.Size()}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s for %s, %s\n", clean(output), ref, strings.Join(names, ", "), formatBytes(info.Size()))
	})
	return nil
}
