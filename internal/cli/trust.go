package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

// releaseOptions are for commands that find signed releases.
func releaseOptions() []option {
	return []option{
		repoOption(),
		{name: "root", value: "FILE", usage: "the repository's root.json: who may sign, pinned from now on", complete: "file"},
		{name: "trust-on-first-use", kind: kindBool, usage: "pin the root that the repository itself has, if none is known; compare the fingerprint that is shown"},
		{name: "platform", value: "PLATFORM", usage: "take the release for this platform, or else for any (default: this machine's)", check: checkPlatform},
	}
}

func (e *env) releaseConfig() deliver.ReleaseConfig {
	s := e.settings
	return deliver.ReleaseConfig{Repo: s.String("repo"), StateDir: s.String("state-dir"), Root: s.String("root"), FirstUse: s.Bool("trust-on-first-use"),
		Platform: s.String("platform"), UserAgent: userAgent()}
}

// resolveRelease finds a signed release, and says whom it was trusted by. inSwarm, asked when it is needed, is where it is found without its origin; nil: nowhere.
// A lean one is not described yet.
func (e *env) resolveRelease(ctx context.Context, src deliver.Source, lean bool, inSwarm func() (*deliver.Swarm, error)) (*deliver.Found, error) {
	return e.resolveFor(ctx, src, e.releaseConfig(), lean, inSwarm)
}

// resolveFor does so for another machine than this, perhaps.
func (e *env) resolveFor(ctx context.Context, src deliver.Source, c deliver.ReleaseConfig, lean bool, inSwarm func() (*deliver.Swarm, error)) (*deliver.Found, error) {
	c.Swarm, c.Lean = inSwarm, lean
	found, err := deliver.ResolveRelease(ctx, src, c)
	if err != nil {
		return nil, err
	}
	e.noteTrust(found.Release)
	return found, nil
}

// noteTrust says what the user should know about whom a release was trusted by.
func (e *env) noteTrust(r *deliver.Trusted) {
	if r.Trust.FirstUse() {
		e.report.Notice("trusted on first use: repository %s, root with SHA-256 %s", r.Trust.ID(), r.Trust.Fingerprint())
	}
	if r.Asked != "" && r.Asked != e.elsewhere {
		e.report.Notice("%s does not answer, or is behind: %s, which it had named, has the same repository", r.Name, r.Asked)
	}
	e.elsewhere = r.Asked
	if age := r.Trust.Age(); !age.IsZero() {
		e.report.Notice("what it says of itself held until %s: whether there is something newer cannot be told here", age.Format(time.DateOnly))
	}
}

// inspectRelease prints what is signed about a release.
func (e *env) inspectRelease(ctx context.Context, src deliver.Source) error {
	found, err := e.resolveRelease(ctx, src, false, nil)
	if err != nil {
		return err
	}
	defer found.Close()
	r, t := found.Release, found.Torrent
	channel := ""
	if r.Channel != nil {
		channel = r.Channel.Channel
	}
	d := describe(t)
	ways := r.Artefacts
	patches, err := r.Trust.Patches(ctx, r.Found)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil { // else they are not there, as in a bundle: a release does without
		ways = append(slices.Clone(ways), patches...)
	}
	type artefactLine struct {
		Kind     string `json:"kind"`
		From     string `json:"from,omitempty"`
		Name     string `json:"name"`
		Infohash string `json:"infohash,omitempty"`
		Bytes    int64  `json:"bytes"`
	}
	var artefacts []artefactLine
	for _, a := range ways {
		artefacts = append(artefacts, artefactLine{a.Kind, a.From, a.Name, a.V2, a.Bytes})
	}
	e.report.Result("release", struct {
		App         string    `json:"app"`
		Version     string    `json:"version"`
		Channel     string    `json:"channel,omitempty"`
		Platform    string    `json:"platform"`
		Published   time.Time `json:"published"`
		Notes       string    `json:"notes,omitempty"`
		Repository  string    `json:"repository"`
		Fingerprint string    `json:"fingerprint"`
		LogIndex    int64     `json:"log_index"`
		LogSize     int64     `json:"log_size"`
		described
		Artefacts []artefactLine `json:"artefacts"`
	}{r.App, r.Version, channel, r.Platform, r.Published, r.Notes, r.Trust.ID(), r.Trust.Fingerprint(), r.LogIndex, r.Trust.Checkpoint().Size, d, artefacts}, func(w io.Writer) {
		fmt.Fprintf(w, "%s for %s\n", r.Ref(), clean(r.Platform))
		row := func(name, format string, args ...any) {
			fmt.Fprintf(w, "  %-10s %s\n", name, clean(fmt.Sprintf(format, args...)))
		}
		if channel != "" {
			row("channel", "%s, since %s", channel, r.Channel.At.Format(time.RFC3339))
		}
		row("published", "%s", r.Published.Format(time.RFC3339))
		row("signed by", "repository %s, root with SHA-256 %s", r.Trust.ID(), r.Trust.Fingerprint())
		row("log", "entry %d of %d", r.LogIndex, r.Trust.Checkpoint().Size)
		d.writeTo(w)
		for _, a := range artefacts {
			switch a.Kind {
			case "F":
				row("archive", "%s", formatBytes(a.Bytes))
			case "P":
				row("patch", "%s from %s", formatBytes(a.Bytes), a.From)
			}
		}
		if r.Notes != "" {
			fmt.Fprintf(w, "\n%s\n", cleanLines(r.Notes))
		}
	})
	if e.settings.Bool("files") {
		for i := range t.Files {
			inspectFile(e, t.Info, i)
		}
	}
	return nil
}

// inspectRepository prints what a publisher's repository has, and warns of what expires.
func (e *env) inspectRepository(ctx context.Context, dir string) error {
	r, err := release.Open(dir, release.Config{})
	if err != nil {
		return err
	}
	o, err := r.Inspect(ctx)
	if err != nil {
		return err
	}
	type roleLine struct {
		Role    string    `json:"role"`
		Version int64     `json:"version"`
		Expires time.Time `json:"expires"`
	}
	type releaseLine struct {
		Version   string    `json:"version"`
		Platform  string    `json:"platform"`
		Published time.Time `json:"published"`
		Bytes     int64     `json:"bytes"`
		Withdrawn string    `json:"withdrawn,omitempty"`
	}
	type appLine struct {
		App      string            `json:"app"`
		Channels map[string]string `json:"channels"`
		Releases []releaseLine     `json:"releases"`
	}
	roles, apps := []roleLine{}, []appLine{}
	for _, role := range o.Roles {
		roles = append(roles, roleLine{role.Role, role.Version, role.Expires})
		if left, warn := time.Until(role.Expires), warnBefore(role.Role); left < warn {
			e.report.Notice("%s %s: shoal key renew signs it again", role.Role, expires(left))
		}
	}
	for _, a := range o.Apps {
		line := appLine{a.App, map[string]string{}, []releaseLine{}}
		for _, c := range a.Channels {
			line.Channels[c.Channel] = c.Version
		}
		for _, rel := range a.Releases {
			line.Releases = append(line.Releases, releaseLine{rel.Version, rel.Platform, rel.Published, rel.Tree().Bytes, rel.Withdrawn})
		}
		apps = append(apps, line)
	}
	if o.Unpublished {
		e.report.Notice("something is signed and not in effect yet: shoal push REPO URL, or the next shoal publish where the online keys are, finishes it")
	}
	e.report.Result("repository", struct {
		Repository  string     `json:"repository"`
		Fingerprint string     `json:"fingerprint"`
		Roles       []roleLine `json:"roles"`
		Apps        []appLine  `json:"apps"`
		LogSize     int64      `json:"log_size"`
	}{o.ID, o.Fingerprint, roles, apps, o.Log.Size}, func(w io.Writer) {
		fmt.Fprintf(w, "repository %s, root with SHA-256 %s\n", o.ID, o.Fingerprint)
		for _, a := range o.Apps {
			fmt.Fprintf(w, "%s\n", clean(a.App))
			for _, c := range a.Channels {
				fmt.Fprintf(w, "  :%-14s %s since %s\n", c.Channel, c.Version, c.At.Format(time.DateOnly))
			}
			for _, rel := range a.Releases {
				note := ""
				if rel.Withdrawn != "" {
					note = "  withdrawn: " + rel.Withdrawn
				}
				fmt.Fprintf(w, "  @%-14s %-14s %s  %s%s\n", rel.Version, rel.Platform, rel.Published.Format(time.DateOnly), formatBytes(rel.Tree().Bytes), clean(note))
			}
		}
		fmt.Fprintf(w, "log: %s\n", o.Log)
		fmt.Fprintf(w, "%-16s %-8s %s\n", "ROLE", "VERSION", "EXPIRES")
		for _, role := range roles {
			fmt.Fprintf(w, "%-16s %-8d %s\n", clean(role.Role), role.Version, role.Expires.Format(time.RFC3339))
		}
		fmt.Fprintln(w, "keys: shoal key list")
	})
	return nil
}

// warnBefore is how long before a role expires its publisher is told: in time for somebody to fetch an offline key.
func warnBefore(role string) time.Duration {
	switch role {
	case "timestamp":
		return 10 * 24 * time.Hour
	case "snapshot":
		return 14 * 24 * time.Hour
	}
	return 60 * 24 * time.Hour
}

func expires(left time.Duration) string {
	days := int(left / (24 * time.Hour))
	switch {
	case left <= 0:
		return "has expired"
	case days == 0:
		return "expires within a day"
	}
	return "expires in " + plural(days, "day")
}
