package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/units"
	"shoal/piece"
)

func inspectCommand() *command {
	return &command{
		name:  "inspect",
		args:  "SOURCE|REPO",
		usage: "show what a .torrent, a magnet link, a release, a bundle or a repository says",
		long:  "The .torrent is checked in full: what is printed is safe to fetch, to seed and to unpack.",
		examples: []string{
			"shoal inspect debian.torrent --files",
			"shoal inspect 'magnet:?xt=urn:btih:…'",
			"shoal inspect https://origin.example/myapp:stable",
			"shoal inspect /srv/releases",
		},
		options: append([]option{
			{name: "files", kind: kindBool, usage: "list every file"},
		}, concat(releaseOptions(), stateOptions(), outputOptions())...),
		minArgs: 1, maxArgs: 1, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error {
			if strings.HasPrefix(strings.ToLower(args[0]), "magnet:") {
				return inspectMagnet(e, args[0])
			}
			if src, err := deliver.Classify(args[0]); err == nil && src.Signed() {
				return e.inspectRelease(ctx, src)
			} else if err == nil && src.Kind == deliver.KindRepository {
				return e.inspectRepository(ctx, args[0])
			}
			if strings.Contains(args[0], "://") {
				return usagef("fetch it first: curl -O "+args[0], "inspect takes a release, a file or a magnet link, and not a URL of anything else")
			}
			t, err := readTorrent(args[0])
			if err != nil {
				return err
			}
			inspectTorrent(e, t, e.settings.Bool("files"))
			return nil
		},
	}
}

// readTorrent reads a .torrent that the user named.
func readTorrent(path string) (*piece.Torrent, error) {
	t, err := piece.ReadFile(path)
	if errors.Is(err, syscall.EISDIR) {
		return nil, withHint(fmt.Errorf("%s is neither a .torrent nor a repository: %w", path, syscall.EISDIR), "shoal create makes a .torrent of it")
	}
	if err != nil && !strings.Contains(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return t, err
}

// described is what JSON says about a torrent, wherever one is printed.
type described struct {
	Name        string `json:"name"`
	Infohash    string `json:"infohash"` // v2 if there is one, else v1
	Format      string `json:"format"`
	V1          string `json:"v1,omitempty"`
	V2          string `json:"v2,omitempty"`
	Bytes       int64  `json:"bytes"`
	Files       int    `json:"files"`
	Pieces      int    `json:"pieces"`
	PieceLength int64  `json:"piece_length"`
	Padding     int64  `json:"padding_bytes"` // that clients without BEP 47 or 52 fetch too
	Private     bool   `json:"private"`
	Magnet      string `json:"magnet"`
}

func describe(t *piece.Torrent) described {
	d := described{
		Name: t.Name, Bytes: t.Length, Files: len(t.Files), Pieces: t.NumPieces(), PieceLength: t.PieceLength, Private: t.Private, Magnet: t.Magnet(),
	}
	switch {
	case t.HasV1 && t.HasV2:
		d.Format = "hybrid"
	case t.HasV2:
		d.Format = "v2"
	default:
		d.Format = "v1"
	}
	if t.HasV1 {
		d.V1 = hex.EncodeToString(t.V1[:])
		d.Infohash = d.V1
		d.Padding = t.Space() - t.Length
	}
	if t.HasV2 {
		d.V2 = hex.EncodeToString(t.V2[:])
		d.Infohash = d.V2
	}
	return d
}

// writeTo prints what every torrent has, a line each.
func (d described) writeTo(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", name, clean(fmt.Sprintf(format, args...)))
	}
	row("content", "%s, %s, %s", formatBytes(d.Bytes), plural(d.Files, "file"), d.Format)
	row("pieces", "%d of %s", d.Pieces, formatBytes(d.PieceLength))
	if d.Padding > 0 {
		row("padding", "%s (%.1f %%) that clients without v2 may fetch too", formatBytes(d.Padding), 100*float64(d.Padding)/float64(max(d.Bytes, 1)))
	}
	if d.V1 != "" {
		row("v1", "%s", d.V1)
	}
	if d.V2 != "" {
		row("v2", "%s", d.V2)
	}
	if d.Private {
		row("private", "yes: peers come from its trackers only")
	}
	row("magnet", "%s", d.Magnet)
}

func inspectTorrent(e *env, t *piece.Torrent, files bool) {
	d := describe(t)
	var created *string
	if !t.Created.IsZero() {
		text := t.Created.UTC().Format(time.RFC3339)
		created = &text
	}
	e.report.Result("torrent", struct {
		described
		Trackers  [][]string `json:"trackers"`
		WebSeeds  []string   `json:"web_seeds"`
		Comment   string     `json:"comment,omitempty"`
		CreatedBy string     `json:"created_by,omitempty"`
		Created   *string    `json:"created,omitempty"`
	}{d, orEmpty(t.Trackers), orEmpty(t.WebSeeds), t.Comment, t.CreatedBy, created}, func(w io.Writer) {
		fmt.Fprintln(w, clean(d.Name))
		d.writeTo(w)
		row := func(name, text string) {
			if text != "" {
				fmt.Fprintf(w, "  %-10s %s\n", name, clean(text))
			}
		}
		for _, tier := range t.Trackers {
			row("trackers", strings.Join(tier, " "))
		}
		for _, seed := range t.WebSeeds {
			row("web seed", seed)
		}
		row("comment", t.Comment)
		row("made by", t.CreatedBy)
		if created != nil {
			row("made on", *created)
		}
	})
	if !files {
		return
	}
	for i := range t.Files {
		inspectFile(e, t.Info, i)
	}
}

func inspectFile(e *env, in *piece.Info, i int) {
	f := &in.Files[i]
	first, end := in.FilePieces(i)
	var root string
	if f.Root != (piece.Hash32{}) {
		root = hex.EncodeToString(f.Root[:])
	}
	e.report.Result("file", struct {
		Index      int    `json:"index"`
		Path       string `json:"path"`
		Bytes      int64  `json:"bytes"`
		FirstPiece int    `json:"first_piece"`
		EndPiece   int    `json:"end_piece"`
		Executable bool   `json:"executable,omitempty"`
		Hidden     bool   `json:"hidden,omitempty"`
		Symlink    string `json:"symlink,omitempty"`
		Root       string `json:"root,omitempty"`
	}{i, f.Name(in), f.Length, first, end, f.Executable, f.Hidden, strings.Join(f.Symlink, "/"), root}, func(w io.Writer) {
		mark := ' '
		if f.Executable {
			mark = 'x'
		}
		name := f.Name(in)
		if f.Symlink != nil {
			name += " → " + in.Name + "/" + strings.Join(f.Symlink, "/")
		}
		fmt.Fprintf(w, "%12d %c %s\n", f.Length, mark, clean(name))
	})
}

func inspectMagnet(e *env, link string) error {
	s, err := deliver.Classify(link)
	if err != nil {
		return err
	}
	m := s.Magnet
	for _, n := range m.Notices {
		e.report.Notice("%s", n)
	}
	d := struct {
		Name     string   `json:"name"`
		V1       string   `json:"v1,omitempty"`
		V2       string   `json:"v2,omitempty"`
		Bytes    int64    `json:"bytes,omitempty"`
		Trackers []string `json:"trackers"`
		WebSeeds []string `json:"web_seeds"`
		Metainfo []string `json:"metainfo"`
		Peers    []string `json:"peers"`
		Files    string   `json:"files,omitempty"`
		Magnet   string   `json:"magnet"`
	}{
		Name: m.Name, Bytes: m.Length, Trackers: orEmpty(m.Trackers), WebSeeds: orEmpty(m.WebSeeds),
		Metainfo: orEmpty(m.MetainfoURLs), Peers: orEmpty(m.Peers), Magnet: m.String(),
	}
	if m.HasV1 {
		d.V1 = hex.EncodeToString(m.V1[:])
	}
	if m.HasV2 {
		d.V2 = hex.EncodeToString(m.V2[:])
	}
	for i, r := range m.Files {
		if i > 0 {
			d.Files += ","
		}
		d.Files += units.FormatRun(r.First, r.Last)
	}
	e.report.Result("magnet", d, func(w io.Writer) {
		row := func(name, text string) {
			if text != "" {
				fmt.Fprintf(w, "  %-10s %s\n", name, clean(text))
			}
		}
		name := m.Name
		if name == "" {
			name = "magnet link"
		}
		fmt.Fprintln(w, clean(name))
		row("v1", d.V1)
		row("v2", d.V2)
		if m.Length > 0 {
			row("content", formatBytes(m.Length)+", as the link says")
		}
		row("files", d.Files)
		for _, list := range []struct {
			name   string
			values []string
		}{{"tracker", m.Trackers}, {"web seed", m.WebSeeds}, {"metainfo", m.MetainfoURLs}, {"peer", m.Peers}} {
			for _, value := range list.values {
				row(list.name, value)
			}
		}
	})
	return nil
}

// orEmpty makes nil an empty list, so that JSON says [] and not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
