package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"shoal/internal/units"
	"shoal/piece"
)

func createCommand() *command {
	return &command{
		name:  "create",
		args:  "PATH",
		usage: "make a .torrent of a file or a directory",
		long: "The .torrent is written when everything is hashed, as NAME.torrent in the current directory: an interrupted run leaves nothing.\n" +
			"The same content gives the same .torrent, on every machine.",
		examples: []string{
			"shoal create ./release --tracker http://origin.example:7070/announce",
			"shoal create disk.img -o /srv/disk.torrent --format v2 --piece-length 4Mi",
		},
		options: append([]option{
			{name: "output", short: "o", value: "FILE", usage: "where to write it (default NAME.torrent)", complete: "file"},
			{name: "force", kind: kindBool, usage: "replace the .torrent if it exists"},
			{name: "name", value: "NAME", usage: "name of the content (default: that of PATH)", check: piece.CheckContentName},
			{name: "format", value: "FORMAT", usage: "which hashes; Transmission 3 and older clients need v1 (default: hybrid, or v2 if that would need much padding)", choices: []string{"hybrid", "v1", "v2"}},
			{name: "piece-length", kind: kindSize, value: "SIZE", usage: "a power of two, such as 1Mi (default: by size)", check: checkPieceLength},
			{name: "private", kind: kindBool, usage: "peers are to come from the trackers only (BEP 27)"},
			{name: "tracker", kind: kindList, value: "URL", usage: "announce URL; again for the next tier, with commas within a tier", check: checkTier},
			{name: "web-seed", kind: kindList, value: "URL", usage: "where a web server has the content (BEP 19); may be repeated", check: checkURL("http", "https")},
			{name: "comment", value: "TEXT", usage: "a remark for people"},
			{name: "created", value: "TIME", usage: "date to write into it: now, or such as 2026-01-31T12:00:00Z (default: none)", check: checkCreated},
		}, outputOptions()...),
		minArgs: 1, maxArgs: 1, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return create(ctx, e, args[0]) },
	}
}

func create(ctx context.Context, e *env, path string) error {
	begin := time.Now()
	config := e.buildConfig()
	if config.Name == "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		config.Name = filepath.Base(absolute)
	}
	output := e.settings.String("output")
	if output == "" {
		output = config.Name + ".torrent"
	} else if info, err := os.Stat(output); err == nil && info.IsDir() {
		output = filepath.Join(output, config.Name+".torrent")
	}
	if err := checkOutput(output, path, e.settings.Bool("force")); err != nil {
		return err
	}
	config.Progress = e.progress("hashing " + config.Name)
	t, report, err := piece.Build(ctx, path, config)
	e.report.Stop()
	if err != nil {
		return buildError(err)
	}
	if err := writeNew(output, t.Write, e.settings.Bool("force")); err != nil {
		return err
	}
	for _, notice := range report.Notices {
		e.report.Notice("%s", notice)
	}
	d := describe(t)
	e.report.Result("created", struct {
		File string `json:"file"`
		described
		Notices []string `json:"notices"`
		Seconds float64  `json:"seconds"`
	}{output, d, orEmpty(report.Notices), seconds(time.Since(begin))}, func(w io.Writer) {
		fmt.Fprintln(w, clean(output))
		d.writeTo(w)
	})
	return nil
}

// buildConfig reads the settings of create. They were checked one by one.
func (e *env) buildConfig() piece.BuildConfig {
	s := e.settings
	c := piece.BuildConfig{
		Name: s.String("name"), PieceLength: s.Bytes("piece-length"), Private: s.Bool("private"),
		WebSeeds: s.List("web-seed"), Comment: s.String("comment"),
	}
	switch s.String("format") {
	case "hybrid":
		c.Format = piece.Hybrid
	case "v1":
		c.Format = piece.V1
	case "v2":
		c.Format = piece.V2
	}
	for _, tier := range s.List("tracker") {
		c.Trackers = append(c.Trackers, strings.Split(tier, ","))
	}
	c.Created, _ = parseCreated(s.String("created")) // checked already
	return c
}

// progress returns a callback for piece.Build and piece.Verify, which may call it from any goroutine.
func (e *env) progress(name string) func(done, total int64) {
	var start sync.Once
	return func(done, total int64) {
		start.Do(func() { e.report.Start(name, total) })
		e.report.Update(done, FromBytes{})
	}
}

// buildError sorts the errors of piece.Build: of the disk, a stop asked for, and else content that cannot be
// shared as it is, such as names that other systems could not write.
func buildError(err error) error {
	err = interruptible(err, "nothing was written")
	if explain(err).code == exitUnexpected {
		return usagef("", "%s", err)
	}
	return err
}

// interruptible gives a stop asked for the hint of what it leaves behind.
func interruptible(err error, hint string) error {
	if errors.Is(err, context.Canceled) {
		return withHint(err, hint)
	}
	return err
}

// checkOutput finds out before an hour of hashing whether the .torrent can be written where it should be.
func checkOutput(output, content string, force bool) error {
	if info, err := os.Stat(output); err == nil {
		if source, err := os.Stat(content); err == nil && os.SameFile(info, source) {
			return usagef("choose another name with -o", "%s is the content itself", output)
		}
		if !force {
			return withHint(&fs.PathError{Op: "create", Path: output, Err: fs.ErrExist}, "--force replaces it, -o names another file")
		}
	}
	inside, err := isInside(output, content)
	if err != nil {
		return err
	}
	if inside {
		// The next run would hash it too, and with --force this one would hash what it then replaces.
		return usagef("write it elsewhere: -o FILE", "%s would lie inside the content", output)
	}
	probe, err := os.CreateTemp(filepath.Dir(output), ".shoal-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// isInside says whether a file at path would lie in the directory tree dir.
func isInside(path, dir string) (bool, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return false, err
	}
	parent, err := realPath(filepath.Dir(path))
	if err != nil {
		return false, err
	}
	root, err := realPath(dir)
	if err != nil {
		return false, err
	}
	relative, err := filepath.Rel(root, parent)
	// An error means that they have nothing in common, such as two drives.
	return err == nil && filepath.IsLocal(relative), nil
}

func realPath(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(absolute)
}

// writeNew writes a file so that it is there as a whole or not at all. Without replace, a file that appeared
// in the meantime is left alone.
func writeNew(path string, write func(io.Writer) error, replace bool) (err error) {
	temporary, err := os.OpenFile(fmt.Sprintf("%s.%d.tmp", path, os.Getpid()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temporary.Name())
		}
	}()
	if err := errors.Join(write(temporary), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if replace {
		return os.Rename(temporary.Name(), path)
	}
	// A hard link refuses to replace. Some file systems have none: then look first.
	if err := os.Link(temporary.Name(), path); err == nil || errors.Is(err, fs.ErrExist) {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(temporary.Name(), path)
}

func checkPieceLength(text string) error {
	n, err := units.ParseSize(text)
	if err != nil {
		return err
	}
	if n < piece.BlockSize || n > maxPieceLength || n&(n-1) != 0 {
		return fmt.Errorf("%q is not a power of two from 16Ki to 256Mi, such as 1Mi", text)
	}
	return nil
}

// maxPieceLength is beyond what any client makes or takes.
const maxPieceLength = 256 << 20

func checkTier(text string) error {
	check := checkURL("http", "https", "udp", "ws", "wss")
	for tracker := range strings.SplitSeq(text, ",") {
		if err := check(tracker); err != nil {
			return err
		}
	}
	return nil
}

func checkCreated(text string) error {
	_, err := parseCreated(text)
	return err
}

func parseCreated(text string) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return time.Now(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Unix() <= 0 {
		return time.Time{}, fmt.Errorf("%q is neither now nor a time such as 2026-01-31T12:00:00Z", text)
	}
	return at, nil
}
