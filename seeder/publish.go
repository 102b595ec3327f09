package seeder

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// PublishConfig says what a release is to be.
type PublishConfig struct {
	App, Version, Platform string
	Channel                string // that is to have it; "": none
	Notes                  string
	WebSeeds               []string // other web servers that have the content
	InPlace                bool     // refer to the content where it lies, do not copy it
	Progress               func(done, total int64)
	Archiving              func() // called when everything is hashed, and Progress begins again with the archive; may be nil
}

// Published is what Publish has done.
type Published struct {
	*release.Done
	Torrent  *piece.Torrent
	Archive  *release.Artefact // nil: none was made, it would save nothing
	Added    bool              // false: it was published already, with this content
	Promoted bool
	Shared   bool     // the copy shares its blocks with the original
	Restored []string // of what was published already: what the repository had lost, or not as it was signed: content, torrent, archive
	Notices  []string
}

// Publish describes the file or directory at path, brings it and an archive of it into the repository, and signs it as a release. Doing it again restores what the repository has lost of that,
// without signing it anew, and changes nothing else; another content under the same version is release.ErrPublished. A content is named APP-VERSION, or, if it is one file, as the file is.
func Publish(ctx context.Context, r *release.Repository, path string, c PublishConfig) (*Published, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if info.IsDir() {
		name = c.App + "-" + c.Version
	}
	if _, err := r.RemoveAbandoned(); err != nil {
		return nil, err
	}
	t, report, err := piece.Build(ctx, path, piece.BuildConfig{Name: name, WebSeeds: c.WebSeeds, Progress: c.Progress})
	if err != nil {
		return nil, err
	}
	p := &Published{Torrent: t, Notices: report.Notices}
	v2 := hex.EncodeToString(t.V2[:])
	there, err := r.Lookup(ctx, c.App, c.Version, c.Platform)
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	artefact, packed, err := artefactOf("T", t)
	if err != nil {
		return nil, err
	}
	again := map[string][]byte{} // metainfo that is lost, by v2 info hash
	bring := there == nil        // the content; if it is published with another one, it is to be refused
	var archive *release.Live    // that is to be made again
	if there != nil {
		lost, err := findLosses(ctx, r, there, t, absolute)
		if err != nil {
			return nil, err
		}
		if bring, archive = lost.content, lost.archive; bring {
			p.Restored = append(p.Restored, "content")
		}
		if lost.metainfo {
			again[v2] = packed
			p.Restored = append(p.Restored, "torrent")
		}
	}
	if bring && !c.InPlace {
		if p.Shared, err = copyContent(ctx, t, report, path, r.ContentDir(v2)); err != nil {
			return nil, err
		}
	}
	artefacts, metainfo := []release.Artefact{artefact}, [][]byte{packed}
	if there == nil || archive != nil {
		if c.Archiving != nil {
			c.Archiving()
		}
		var was *release.Artefact
		if archive != nil {
			was = &archive.Artefact
		}
		if p.Archive, packed, err = makeArchive(ctx, r, t, path, was, c.Progress); err != nil {
			return nil, err
		}
		if err := unchanged(t, report, path); err != nil {
			return nil, err
		}
		switch {
		case archive != nil && p.Archive != nil:
			again[p.Archive.V2] = packed
			p.Restored = append(p.Restored, "archive")
		case archive != nil:
			p.Notices = append(p.Notices, fmt.Sprintf("the archive of %s is lost for good: it was made by another version of shoal, and a version never changes. Fresh installs fetch the tree", there.Ref()))
		case p.Archive != nil:
			artefacts, metainfo = append(artefacts, *p.Archive), append(metainfo, packed)
		}
	}
	rel := release.Release{App: c.App, Version: c.Version, Platform: c.Platform, Notes: c.Notes, Artefacts: artefacts}
	p.Done, err = r.Update(ctx, func(tx *release.Tx) (err error) {
		if p.Added, err = tx.Add(rel, metainfo...); err != nil {
			return err
		}
		for v2, packed := range again {
			if err := tx.AddMetainfo(c.App, v2, packed); err != nil {
				return err
			}
		}
		if bring {
			if err := settle(tx, r, v2, absolute, c.InPlace); err != nil {
				return err
			}
		}
		if c.Channel != "" {
			p.Promoted, err = tx.Promote(c.App, c.Version, c.Channel)
		}
		return err
	})
	if err == nil && len(p.Restored) > 0 {
		err = r.Touch()
	}
	return p, err
}

// copyContent copies what was described to DIR/NAME, as a whole or not at all. The copy shares its blocks with the original where the file system can do that.
func copyContent(ctx context.Context, t *piece.Torrent, report *piece.BuildReport, path, dir string) (shared bool, err error) {
	if whole, err := isWhole(ctx, t, filepath.Join(dir, t.Name)); err != nil || whole {
		return false, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return false, err
	}
	temporary, err := os.MkdirTemp(parent, ".copy-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temporary)
	if err := os.Chmod(temporary, 0o755); err != nil {
		return false, err
	}
	shared = true
	for i := range t.Files {
		f := &t.Files[i]
		from := path
		if t.Dir {
			from = filepath.Join(path, filepath.Join(f.Path...))
		}
		to := filepath.Join(temporary, t.Name, filepath.Join(f.Path...))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return false, err
		}
		if f.Symlink != nil {
			text, err := os.Readlink(from)
			if err != nil {
				return false, err
			}
			if err := os.Symlink(text, to); err != nil {
				return false, err
			}
			continue
		}
		one, err := copyFile(ctx, from, to, f, report.Stats[i])
		if err != nil {
			return false, err
		}
		shared = shared && (one || f.Length == 0)
	}
	if err := disk.SyncFS(parent); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return false, err
	}
	return shared, bringIn(ctx, temporary, dir, t)
}

// unchanged says whether files are still those that were hashed.
func unchanged(t *piece.Torrent, report *piece.BuildReport, path string) error {
	for i := range t.Files {
		f := &t.Files[i]
		if f.Symlink != nil || f.Length == 0 {
			continue
		}
		name := filepath.Join(path, filepath.Join(f.Path...))
		now, err := os.Stat(name)
		if err != nil {
			return err
		}
		if was := report.Stats[i]; now.Size() != was.Size || now.ModTime().UnixNano() != was.ModTime {
			return fmt.Errorf("%s: %w", name, swarm.ErrChanged)
		}
	}
	return nil
}

// copyFile copies a file and makes sure that it is still the one that was hashed.
func copyFile(ctx context.Context, from, to string, f *piece.File, was piece.FileStat) (shared bool, err error) {
	src, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer src.Close()
	mode := fs.FileMode(0o644)
	if f.Executable {
		mode = 0o755
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if shared, err = disk.Clone(ctx, dst, src, 0, 0, f.Length); err != nil {
		return false, err
	}
	if err := dst.Chmod(mode); err != nil {
		return false, err
	}
	now, err := src.Stat()
	if err != nil {
		return false, err
	}
	if f.Length > 0 && (now.Size() != was.Size || now.ModTime().UnixNano() != was.ModTime) {
		return false, fmt.Errorf("%s: %w", from, swarm.ErrChanged)
	}
	return shared, nil
}
