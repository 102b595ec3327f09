package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/internal/units"
	"shoal/piece"
)

func verifyCommand() *command {
	return &command{
		name:  "verify",
		args:  "TORRENT PATH | PATH | SOURCE [PATH]",
		usage: "compare content on disk with its .torrent or signed release, and repair it",
		long: "Every byte is read. Bad files and their pieces are named on stdout, and the exit code is 4. Files that the description does not\n" +
			"know are left alone. PATH is the content itself, or the directory that holds it. Alone, it is what shoal get or update has put\n" +
			"there: that needs no network, since the state directory has the description. SOURCE is a signed release (APP@VERSION, APP:CHANNEL,\n" +
			"with the repository or without); where it lies is known if it was put there by get.",
		examples: []string{
			"shoal verify debian.torrent /srv/debian",
			"shoal verify --repair release.torrent /opt/release --peer origin.example:7070",
			"shoal verify --repair /opt/myapp",
			"shoal verify myapp:stable --repair",
		},
		options: concat([]option{
			{name: "repair", kind: kindBool, usage: "put right what is bad; what other versions here lack is fetched: from the release's repository and its peers, the torrent's trackers and web seeds, or from --peer"},
		}, releaseOptions(), fetchOptions(), swarmOptions(":0"), peerOptions(), dhtOptions(), waitOptions("1m"), stateOptions(), logOptions("warn"), outputOptions()),
		minArgs: 1, maxArgs: 2, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error {
			v, err := e.verifies(ctx, args)
			if err != nil {
				return err
			}
			report, err := verify(ctx, e, v.torrent.Info, v.path)
			if err != nil {
				return err
			}
			if e.settings.Bool("repair") && !report.OK() {
				return v.repair(ctx, report.Report)
			}
			return report.failure(v.torrent.Info)
		},
	}
}

// verified is a report of piece.Verify, told to the user.
type verified struct{ *piece.Report }

// verify compares the content at path with the torrent, and prints what it finds.
func verify(ctx context.Context, e *env, in *piece.Info, path string) (verified, error) {
	begin := time.Now()
	report, err := piece.Verify(ctx, in, path, piece.VerifyConfig{Progress: e.progress("verifying " + in.Name)})
	e.report.Stop()
	if err != nil {
		return verified{}, interruptible(err, "")
	}
	v := verified{report}
	v.print(e, in, path, time.Since(begin))
	return v, nil
}

func (v verified) print(e *env, in *piece.Info, path string, took time.Duration) {
	for _, f := range v.Files {
		name := in.Files[f.File].Name(in)
		pieces := units.Runs(f.Pieces)
		var reason string
		if f.Err != nil {
			reason = f.Err.Error()
		}
		e.report.Result("bad", struct {
			Path   string   `json:"path"`
			State  string   `json:"state"`
			Pieces [][2]int `json:"pieces"` // first and last of each run
			Reason string   `json:"reason,omitempty"`
		}{name, f.State.String(), pieces, reason}, func(w io.Writer) {
			fmt.Fprintf(w, "%-8s %s", f.State, clean(name))
			if len(pieces) > 0 {
				fmt.Fprintf(w, "  %s %s", pluralWord(len(f.Pieces), "piece"), units.FormatRuns(pieces))
			}
			if reason != "" {
				fmt.Fprintf(w, "  %s", clean(reason))
			}
			fmt.Fprintln(w)
		})
	}
	d := describe(&piece.Torrent{Info: in})
	e.report.Result("verified", struct {
		Name      string  `json:"name"`
		Infohash  string  `json:"infohash"`
		Path      string  `json:"path"`
		OK        bool    `json:"ok"`
		Bytes     int64   `json:"bytes"`
		GoodBytes int64   `json:"good_bytes"`
		BadFiles  int     `json:"bad_files"`
		BadPieces int     `json:"bad_pieces"`
		Seconds   float64 `json:"seconds"`
	}{in.Name, d.Infohash, path, v.OK(), v.Total, v.Good, len(v.Files), len(v.BadPieces), seconds(took)}, func(w io.Writer) {
		if v.OK() {
			fmt.Fprintf(w, "%s: %s, all %d pieces good\n", clean(path), formatBytes(v.Total), in.NumPieces())
		}
	})
}

// failure is the error for content that is not good, or nil.
func (v verified) failure(in *piece.Info) error {
	if v.OK() {
		return nil
	}
	if len(v.Files) > 0 && !slices.ContainsFunc(v.Files, func(f piece.FileReport) bool { return f.State != piece.Unreadable }) {
		return fmt.Errorf("%s: %w", in.Name, v.Files[0].Err) // this machine's fault, not the content's
	}
	what := piece.ErrCorrupt.Error()
	if slices.ContainsFunc(v.Files, func(f piece.FileReport) bool { return f.State != piece.Corrupt }) {
		what = v.states()
	}
	return &badContent{fmt.Sprintf("%s: %d of %s and %d of %s bad: %s", in.Name, len(v.Files), plural(len(in.Files), "file"),
		len(v.BadPieces), plural(in.NumPieces(), "piece"), what)}
}

// states says how many files are bad in which way.
func (v verified) states() string {
	counts := make([]int, piece.Unreadable+1)
	for _, f := range v.Files {
		counts[f.State]++
	}
	var parts []string
	for state, word := range []string{
		piece.Missing: "missing", piece.Short: "too short", piece.Long: "too long", piece.Corrupt: "with wrong bytes", piece.WrongType: "of another type",
		piece.WrongLink: "that links elsewhere", piece.WrongMode: "with another mode", piece.Unreadable: "unreadable",
	} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	return strings.Join(parts, ", ")
}

// badContent is content that is not as its torrent says.
type badContent struct{ message string }

func (e *badContent) Error() string { return e.message }
func (e *badContent) Unwrap() error { return piece.ErrCorrupt }

// repairable returns the absolute path of content that repair can work on: get puts it under its own name.
func repairable(t *piece.Torrent, path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if filepath.Base(abs) != t.Name {
		return "", usagef(fmt.Sprintf("rename it to %s, or get it anew", shellWord(filepath.Join(filepath.Dir(path), t.Name))),
			"%s cannot be repaired under another name than the torrent's, %q; nothing was read", path, t.Name)
	}
	return abs, nil
}

// findContent decides whether path is the content itself or the directory that holds it.
func findContent(in *piece.Info, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	held := filepath.Join(path, in.Name)
	if !in.Dir {
		if info.IsDir() {
			return held, nil
		}
		return path, nil
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a file, but %s is a directory: %w", path, in.Name, piece.ErrCorrupt)
	}
	// A directory may hold one of its own name, so count which of the two has more of the files.
	itself, below := countFiles(in, path), countFiles(in, held)
	switch {
	case itself > below:
		return path, nil
	case below > itself:
		return held, nil
	}
	if info, err := os.Stat(held); err == nil && info.IsDir() && filepath.Base(path) != in.Name {
		return held, nil
	}
	return path, nil
}

// countFiles counts how many of the torrent's files, of the first hundred, lie below dir.
func countFiles(in *piece.Info, dir string) int {
	found := 0
	for i := range min(len(in.Files), 100) {
		if _, err := os.Lstat(filepath.Join(dir, filepath.Join(in.Files[i].Path...))); err == nil {
			found++
		}
	}
	return found
}

func pluralWord(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
