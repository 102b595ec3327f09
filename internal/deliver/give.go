package deliver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"shoal/internal/disk"
	"shoal/piece"
	"shoal/swarm"
)

// Gift is a release that lies on this machine, to be given to others.
type Gift struct {
	V2        string     // the tree's info hash in hex
	Path      string     // of the tree, or of a directory with the one file
	Artefacts string     // a directory where Stage has left archives and patches, see Request.Artefacts; may be empty
	StateDir  string     // has the tree's description, see Request.StateDir
	Trackers  [][]string // beside those of the torrents themselves
	Release   *Trusted   // whose log peers are told of; may be nil
}

// Given is what of a Gift is given to others, until Close.
type Given struct {
	Bytes int64 // of content
	Left  error // why something is not given; nil: nothing is left out

	transfers []*swarm.Transfer
}

// Close ends it.
func (g *Given) Close() error {
	var err error
	for _, t := range g.transfers {
		err = errors.Join(err, t.Close())
	}
	return err
}

// Give hashes what lies there, and has node give what is right. What is changed later is noticed before it is sent, and given no more.
func Give(ctx context.Context, node *swarm.Node, g Gift) *Given {
	out := new(Given)
	add := func(t *piece.Torrent, path string) {
		err := out.add(ctx, node, t, path, g)
		if err != nil {
			out.Left = errors.Join(out.Left, fmt.Errorf("%s: %w", t.Name, err))
		}
	}
	if t := (installed{g.StateDir}).torrent(g.V2); t == nil {
		out.Left = errors.New("the description of what is installed is not here")
	} else if t.Dir {
		add(t, g.Path)
	} else {
		add(t, filepath.Join(g.Path, t.Name))
	}
	described, err := filepath.Glob(filepath.Join(quoteGlob(g.Artefacts), "*.torrent"))
	if g.Artefacts == "" || err != nil {
		return out
	}
	for _, file := range described {
		t, err := piece.ReadFile(file)
		if dir := strings.TrimSuffix(file, ".torrent"); err != nil || !t.HasV2 || t.Dir || hex.EncodeToString(t.V2[:]) != filepath.Base(dir) {
			out.Left = errors.Join(out.Left, fmt.Errorf("%s describes no archive or patch", file))
		} else if path := filepath.Join(dir, t.Name); disk.Exists(path) { // else it was not fetched to its end
			add(t, path)
		}
	}
	return out
}

// add verifies one content, and gives it.
func (out *Given) add(ctx context.Context, node *swarm.Node, t *piece.Torrent, path string, g Gift) error {
	stamps, err := Stamps(t.Info, path) // first: what changes from now on is another file
	if err != nil {
		return err
	}
	report, err := piece.Verify(ctx, t.Info, path, piece.VerifyConfig{})
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("%s: %w", report, piece.ErrCorrupt)
	}
	spec := swarm.Spec{Torrent: t, Content: path, Trackers: append(g.Trackers[:len(g.Trackers):len(g.Trackers)], t.Trackers...),
		Stamps: func(i int) (disk.Stamp, bool) { return stamps[i], true }}
	if g.Release != nil {
		spec.Note, spec.Heard = g.Release.Trust.Checkpoint().Note, g.Release.hear
	}
	transfer, err := node.Add(spec)
	if err != nil {
		return err
	}
	out.transfers = append(out.transfers, transfer)
	out.Bytes += t.Length
	return nil
}

// Stamps looks at the files of a content that lies at path, in its order.
func Stamps(info *piece.Info, path string) ([]disk.Stamp, error) {
	stamps := make([]disk.Stamp, len(info.Files))
	for i := range info.Files {
		fi, err := os.Lstat(FileOf(info, path, i))
		if err != nil {
			return nil, err
		}
		stamps[i] = disk.StampOfInfo(fi)
	}
	return stamps, nil
}

// FileOf is where file i of a content at path lies.
func FileOf(info *piece.Info, path string, i int) string {
	if !info.Dir {
		return path
	}
	return filepath.Join(append([]string{path}, info.Files[i].Path...)...)
}
