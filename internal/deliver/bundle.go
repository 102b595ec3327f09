package deliver

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"shoal/internal/release"
)

// openBundle opens a bundle as a repository.
func openBundle(path string) (*repository, error) {
	b, err := release.OpenBundle(path)
	if err != nil {
		return nil, err
	}
	return &repository{files: b, id: b.Repository(), name: "", opener: bundleOpener{b}, carried: true, bundle: b, close: func() { b.Close() }}, nil
}

type bundleOpener struct{ *release.Bundle }

func (b bundleOpener) open(path string) (content, int64, error) {
	s, err := b.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return sectionContent{s}, s.Size(), nil
}

type sectionContent struct{ *io.SectionReader }

func (sectionContent) Close() error { return nil }

// WriteBundle writes a bundle of a version of an app from a publisher's repository, for the platforms named or for all, and returns the releases in it.
func WriteBundle(ctx context.Context, w io.Writer, r *release.Repository, ref release.Ref, platforms []string) ([]*release.Found, error) {
	if len(platforms) == 0 {
		var err error
		if platforms, err = r.Platforms(ctx, ref.App, ref.Version); err != nil {
			return nil, err
		}
		if len(platforms) == 0 {
			return nil, fmt.Errorf("%s %w", ref, release.ErrNoRelease)
		}
	}
	root, err := os.ReadFile(filepath.Join(r.Dir(), "root.json"))
	if err != nil {
		return nil, err
	}
	proof, found, err := release.Proof(ctx, r.Files(), root, []release.Ref{ref}, platforms)
	if err != nil {
		return nil, err
	}
	inPlace, err := r.InPlace()
	if err != nil {
		return nil, err
	}
	b, err := release.NewBundle(w, r.ID(), ref, proof)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for _, f := range found {
		if v2 := f.Tree().V2; !done[v2] { // platforms may share their content
			done[v2] = true
			if err := addContent(ctx, b, dirOpener{r.Public(), inPlace}, f); err != nil {
				return nil, err
			}
		}
	}
	return found, b.Close()
}

// addContent adds the files of a content to a bundle.
func addContent(ctx context.Context, b *release.BundleWriter, o opener, found *release.Found) error {
	a := found.Tree()
	t, err := UnpackMetainfo(found.Packed, a)
	if err != nil {
		return err
	}
	for i := range t.Files {
		f := &t.Files[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Symlink != nil || f.Length == 0 {
			continue // the torrent says all there is about them
		}
		path := "content/" + a.V2 + "/" + f.Name(t.Info)
		if err := addFile(b, o, path, f.Length); err != nil {
			return err
		}
	}
	return nil
}

func addFile(b *release.BundleWriter, o opener, path string, length int64) error {
	c, size, err := o.open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	if size != length {
		return fmt.Errorf("%s has %d bytes, not %d", path, size, length)
	}
	return b.Add(path, size, io.NewSectionReader(c, 0, size))
}
