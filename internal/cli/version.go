package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

func versionCommand() *command {
	return &command{
		name:     "version",
		usage:    "print the version and what it was built from",
		examples: []string{"shoal version", "shoal version --json"},
		options:  outputOptions(),
		run: func(_ context.Context, e *env, _ []string) error {
			printVersion(e)
			return nil
		},
	}
}

// buildVersion is what the Go toolchain recorded about this program.
type buildVersion struct {
	Version  string `json:"version"`            // a release's tag, a pseudo-version, or (devel)
	Revision string `json:"revision,omitempty"` // of the version control system
	Modified bool   `json:"modified,omitempty"` // built with changes that are not in the revision
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS-GOARCH, as releases name platforms
}

func readVersion() buildVersion {
	v := buildVersion{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "-" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func printVersion(e *env) {
	v := readVersion()
	e.report.Result("version", v, func(w io.Writer) {
		fmt.Fprintf(w, "shoal %s %s %s\n", v.Version, v.Platform, v.Go)
		if v.Revision != "" {
			changed := ""
			if v.Modified {
				changed = " with changes"
			}
			fmt.Fprintf(w, "built from %s%s\n", v.Revision, changed)
		}
	})
}
