package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/internal/units"
	"shoal/piece/delta"
	"shoal/seeder"
)

func publishCommand() *command {
	return &command{
		name:  "publish",
		args:  "PATH",
		usage: "sign a file or directory as a version of an app",
		long: "PATH is described, brought into the repository with an archive for fresh installs, entered in the transparency log and signed.\n" +
			"Then it is live, and patches from older versions are made and added. Doing it again restores what the repository has lost of\n" +
			"that, and changes nothing else; other content under the same version is refused. A version can be published for several platforms, one after the other. Whoever runs shoal serve on\n" +
			"the repository notices by itself.",
		examples: []string{
			"shoal publish build/ --as myapp@1.4.0 --channel stable",
			"shoal publish myapp.tar --as myapp@1.4.0 --platform linux-amd64 --notes NOTES.md",
			"shoal publish build/ --as myapp@1.4.0 --web-seed https://cdn.example/releases/",
		},
		options: concat([]option{
			{name: "as", value: "APP@VERSION", usage: "what it is", check: checkVersioned},
			{name: "platform", value: "PLATFORM", usage: "the machines it is for, such as linux-amd64, or any", def: release.AnyPlatform, check: checkPlatform},
			{name: "channel", value: "CHANNEL", usage: "the channel that has it from now on", check: checkChannel},
			{name: "notes", value: "FILE", usage: "release notes", complete: "file"},
			{name: "web-seed", kind: kindList, value: "URL", usage: "where a web server has the content too (BEP 19): the file, or a directory's parent, in which it is called APP-VERSION; may be repeated", check: checkURL("http", "https")},
			{name: "patch-from", kind: kindList, value: "VERSION", usage: "make a patch from this version as well as from the three newest of the channel, or else of the app; may be repeated", check: checkVersion},
			{name: "patches-first", kind: kindBool, usage: "have the channel point to it when its patches are there, so that no machine fetches the archive meanwhile"},
			{name: "no-patches", kind: kindBool, usage: "make no patches: older versions fetch the archive, or what has changed of the files, found by the index of blocks"},
			{name: "patch-memory", kind: kindSize, value: "SIZE", usage: "how much memory making a patch may take (default: 14 times the largest file, from 84Mi to 2Gi)", check: checkPatchMemory},
			{name: "in-place", kind: kindBool, usage: "refer to the content where it lies instead of copying it: it must stay there, unchanged"},
		}, keyOptions(), outputOptions()),
		minArgs: 1, maxArgs: 1, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return e.publish(ctx, args[0]) },
	}
}

func checkVersioned(text string) error {
	if r, ok := release.ParseRef(text); !ok || r.Version == "" || deliver.Reserved(r.App) {
		return fmt.Errorf("%q is not APP@VERSION, such as myapp@1.4.0", text)
	}
	return nil
}

func checkVersion(text string) error {
	if !release.ValidVersion(text) {
		return fmt.Errorf("%q is not a version, such as 1.4.0", text)
	}
	return nil
}

func checkChannel(text string) error {
	if !release.ValidChannel(text) {
		return fmt.Errorf("%q is not a channel, such as stable: lower-case letters, digits and -", text)
	}
	return nil
}

func checkPlatform(text string) error {
	if !release.ValidPlatform(text) {
		return fmt.Errorf("%q is not a platform, such as linux-amd64 or any", text)
	}
	return nil
}

func checkPatchMemory(text string) error {
	n, err := units.ParseSize(text)
	if err == nil && n > 0 && n < delta.MinMemory {
		err = fmt.Errorf("%q is less than the %s that a patch takes at least", text, formatBytes(delta.MinMemory))
	}
	return err
}

// versioned reads an argument APP@VERSION.
func versioned(text string) (release.Ref, error) {
	if err := checkVersioned(text); err != nil {
		return release.Ref{}, usagef("", "%s", err)
	}
	r, _ := release.ParseRef(text)
	return r, nil
}

func (e *env) publish(ctx context.Context, path string) error {
	begin := time.Now()
	if e.settings.String("as") == "" {
		return usagef("such as --as myapp@1.4.0", "publish needs --as APP@VERSION")
	}
	ref, err := versioned(e.settings.String("as"))
	if err != nil {
		return err
	}
	r, err := e.repository(e.signing())
	if err != nil {
		return err
	}
	if err := e.checkPatchFrom(ctx, r, ref); err != nil {
		return err
	}
	notes, err := readNotes(e.settings.String("notes"))
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	c := seeder.PublishConfig{App: ref.App, Version: ref.Version, Platform: e.settings.String("platform"), Channel: e.settings.String("channel"), Notes: notes,
		WebSeeds: e.settings.List("web-seed"), InPlace: e.settings.Bool("in-place")}
	channel := c.Channel
	if e.settings.Bool("patches-first") {
		if channel == "" || e.settings.Bool("no-patches") {
			return usagef("such as --channel stable --patches-first", "--patches-first is for a channel, and for patches")
		}
		c.Channel = ""
	}
	c.Progress = e.progress("hashing " + ref.String())
	archiving := e.progress("compressing " + ref.String())
	var hashed atomic.Bool
	hashing := c.Progress
	c.Progress = func(done, total int64) {
		if hashed.Load() {
			archiving(done, total)
		} else {
			hashing(done, total)
		}
	}
	c.Archiving = func() { hashed.Store(true) }
	p, err := seeder.Publish(ctx, r, path, c)
	e.report.Stop()
	if err != nil {
		return buildError(changeError(err))
	}
	for _, n := range p.Notices {
		e.report.Notice("%s", n)
	}
	e.unfinished(p.Done)
	var index []string
	for _, l := range p.Logged {
		index = append(index, l.String())
	}
	archive := int64(0)
	if p.Archive != nil {
		archive = p.Archive.Bytes
	}
	e.report.Result("published", struct {
		App      string   `json:"app"`
		Version  string   `json:"version"`
		Platform string   `json:"platform"`
		Channel  string   `json:"channel,omitempty"`
		Name     string   `json:"name"`
		Infohash string   `json:"infohash"`
		Bytes    int64    `json:"bytes"`
		Archive  int64    `json:"archive_bytes,omitempty"`
		Added    bool     `json:"added"`
		Restored []string `json:"restored,omitempty"`
		Promoted bool     `json:"promoted"`
		Signed   []string `json:"signed"`
		Logged   []string `json:"logged"`
		Seconds  float64  `json:"seconds"`
	}{ref.App, ref.Version, c.Platform, c.Channel, p.Torrent.Name, p.Torrent.Key(), p.Torrent.Length, archive, p.Added, p.Restored, p.Promoted, orEmpty(p.Signed), orEmpty(index), seconds(time.Since(begin))},
		func(w io.Writer) {
			what := "published"
			switch {
			case len(p.Restored) > 0:
				what = "published already, now restored (" + strings.Join(p.Restored, ", ") + "):"
			case !p.Added:
				what = "published already, nothing changed:"
			}
			fmt.Fprintf(w, "%s %s for %s: %s\n", what, ref, c.Platform, formatBytes(p.Torrent.Length))
			if p.Promoted {
				fmt.Fprintf(w, "  channel    %s:%s\n", ref.App, c.Channel)
			}
			fmt.Fprintf(w, "  content    %s\n", hex.EncodeToString(p.Torrent.V2[:]))
			if p.Archive != nil {
				fmt.Fprintf(w, "  archive    %s\n", formatBytes(p.Archive.Bytes))
			}
		})
	later := c.Channel != channel
	c.Channel = channel // whose versions patches are made from
	if !p.Done.Unfinished {
		if err := e.patches(ctx, r, c); err != nil {
			return err
		}
	}
	if later {
		return e.promoteIn(ctx, r, ref, channel)
	}
	return nil
}

// checkPatchFrom refuses versions to patch from that cannot be, before anything is signed.
func (e *env) checkPatchFrom(ctx context.Context, r *release.Repository, ref release.Ref) error {
	list, platform := e.settings.List("patch-from"), e.settings.String("platform")
	if len(list) > 0 && e.settings.Bool("no-patches") {
		return usagef("leave one of them away", "--no-patches and --patch-from exclude each other")
	}
	for _, version := range list {
		if version == ref.Version {
			return usagef("name an older one", "--patch-from %s is the version that is published", version)
		}
		rel, err := r.Lookup(ctx, ref.App, version, platform)
		if err != nil {
			return err
		}
		if rel == nil {
			return withHint(fmt.Errorf("--patch-from: %s@%s for %s %w", ref.App, version, platform, release.ErrNoRelease), "nothing was published; shoal inspect REPO lists what there is")
		}
	}
	return nil
}

// newestPatched is from how many versions patches are made unasked.
const newestPatched = 3

// patches adds the index of its blocks and patches to a release that is live; with --no-patches the index alone.
func (e *env) patches(ctx context.Context, r *release.Repository, p seeder.PublishConfig) error {
	c := seeder.PatchConfig{App: p.App, Version: p.Version, Platform: p.Platform, Channel: p.Channel, Newest: newestPatched,
		From: e.settings.List("patch-from"), Memory: e.settings.Int("patch-memory")}
	if e.settings.Bool("no-patches") {
		c.Newest = 0
	}
	c.Indexing = e.progress("indexing " + p.App + "@" + p.Version)
	var tell func(done, total int64)
	now := ""
	of := func(what string) func(from string, done, total int64) {
		return func(from string, done, total int64) {
			if is := what + from; is != now {
				now, tell = is, e.progress(is)
			}
			tell(done, total)
		}
	}
	c.Progress, c.Trying = of("patching from "), of("trying the patch from ")
	c.Made = func(m seeder.MadePatch) {
		e.report.Stop()
		e.report.Result("patch", struct {
			From  string `json:"from"`
			Bytes int64  `json:"bytes"`
			Kept  bool   `json:"kept"`
			Again string `json:"again,omitempty"`
		}{m.From, m.Bytes, m.Kept, m.Again}, func(w io.Writer) {
			switch before := "the one before was " + m.Again; {
			case !m.Kept && m.Again != "":
				fmt.Fprintf(w, "  patch      more than %s from %s, not worth it: %s, and is taken back\n", formatBytes(m.Bytes), m.From, before)
			case !m.Kept:
				fmt.Fprintf(w, "  patch      more than %s from %s, not worth it: not published\n", formatBytes(m.Bytes), m.From)
			case m.Again != "":
				fmt.Fprintf(w, "  patch      %s from %s, made again: %s\n", formatBytes(m.Bytes), m.From, before)
			default:
				fmt.Fprintf(w, "  patch      %s from %s\n", formatBytes(m.Bytes), m.From)
			}
		})
	}
	notices, err := seeder.AddPatches(ctx, r, c)
	e.report.Stop()
	for _, n := range notices {
		e.report.Notice("%s", n)
	}
	hint := "the release is live; run it again to add the patches that are missing"
	if e.settings.Bool("patches-first") {
		hint = fmt.Sprintf("the release is signed; run it again for the patches that are missing, and for %s:%s", p.App, p.Channel)
	}
	return interruptible(changeError(err), hint)
}

// unfinished says that somebody else must finish a change.
func (e *env) unfinished(d *release.Done) {
	if d.Unfinished {
		e.report.Notice("signed, but not in effect: the online keys are not here. shoal push REPO URL brings it to who has them")
	}
}

func readNotes(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if len(b) > 32<<10 {
		return "", usagef("put the rest on a page, and its address into the notes", "%s has %d bytes: notes may have 32 KiB", path, len(b))
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}
