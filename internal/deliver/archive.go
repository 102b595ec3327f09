package deliver

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"shoal/internal/disk"
	"shoal/piece"
)

// An archive, the artefact F of a release, is its tree T as one solid tar.zst, for machines that have nothing of it: raw trees are several times
// larger on the wire. Its first member is T's info dictionary, which says all about the files, so that a fresh install needs no other description;
// then come T's files in T's order, with names as tar unpacks them. It depends on the content alone, and on the version of the compressor: nobody
// makes it anew to have the same one.

const (
	// archiveWindow is how far back the compressor looks, in bytes: with it a version that a tree has twice costs once. Whoever unpacks
	// needs as much memory.
	archiveWindow = 128 << 20
	// archiveInfo is the name of the first member.
	archiveInfo = ".shoal-info"
	// maxArchiveInfo bounds it; piece.ParseInfo takes no more.
	maxArchiveInfo = 16 << 20
	// maxMember bounds what a member has beside its content: its headers, and padding.
	maxMember = 16 << 10
)

// ErrBadArchive is wrapped by errors about the bytes of an archive.
var ErrBadArchive = errors.New("not an archive of this release")

// WriteArchive writes the archive of the content of t, which lies at path. Progress, if it is not nil, is told how many bytes were read.
func WriteArchive(ctx context.Context, w io.Writer, t *piece.Torrent, path string, progress func(done, total int64)) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(windowFor(t)), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	dirs, err := openTree(t.Info, path)
	if err != nil {
		return err
	}
	defer dirs.Close()
	tw := tar.NewWriter(z)
	if err := tw.WriteHeader(archiveHeader(archiveInfo, int64(len(t.Bytes)))); err != nil {
		return err
	}
	if _, err := tw.Write(t.Bytes); err != nil {
		return err
	}
	var done int64
	read := func(n int) {
		if done += int64(n); progress != nil {
			progress(done, t.Length)
		}
	}
	for i := range t.Files {
		f := &t.Files[i]
		h := archiveHeader(f.Name(t.Info), f.Length)
		if f.Executable {
			h.Mode = 0o755
		}
		if f.Symlink != nil {
			h.Typeflag, h.Size = tar.TypeSymlink, 0
			if h.Linkname, err = dirs.Root().Readlink(treeName(t.Info, path, i)); err != nil {
				return err
			}
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if f.Symlink != nil || f.Length == 0 {
			continue
		}
		if err := copyInto(ctx, tw, dirs, treeName(t.Info, path, i), f.Length, read); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return z.Close()
}

// windowFor is a window that holds all of a small tree, so that it is unpacked with little memory.
func windowFor(t *piece.Torrent) int {
	all := t.Length + int64(len(t.Bytes)) + 2048*int64(len(t.Files)+1) // a member has a header and is padded
	window := 1 << 20
	for int64(window) < all && window < archiveWindow {
		window *= 2
	}
	return window
}

func archiveHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
}

// openTree opens the directory that content at path lies in: the tree's own, or that of the single file.
func openTree(in *piece.Info, path string) (*disk.Dirs, error) {
	if !in.Dir {
		path = filepath.Dir(path)
	}
	return disk.OpenDirs(path)
}

// treeName is where file i lies below what openTree opens.
func treeName(in *piece.Info, path string, i int) string {
	if !in.Dir {
		return filepath.Base(path)
	}
	return filepath.Join(in.Files[i].Path...)
}

func copyInto(ctx context.Context, w io.Writer, dirs *disk.Dirs, name string, length int64, read func(n int)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := dirs.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyN(w, toldReader{f, read}, length)
	if err == io.EOF {
		return fmt.Errorf("%s has %d bytes and not %d: %w", name, n, length, io.ErrUnexpectedEOF)
	}
	return err
}

// toldReader tells how much is read: a single file may be all of a release.
type toldReader struct {
	io.Reader
	read func(n int)
}

func (r toldReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.read(n)
	return n, err
}

// archive is an archive that is being read, from its begin to its end.
type archive struct {
	info *piece.Info
	z    *zstd.Decoder
	left *io.LimitedReader // of z: what an archive of info has at most
	tar  *tar.Reader
}

// openArchive reads the info dictionary and holds it against its hash: nothing else of the archive is used before.
func openArchive(r io.Reader, v2 piece.Hash32) (a *archive, err error) {
	z, err := zstd.NewReader(bufio.NewReaderSize(r, 256<<10), zstd.WithDecoderMaxWindow(archiveWindow), zstd.WithDecoderMaxMemory(1<<50), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			z.Close()
		}
	}()
	left := &io.LimitedReader{R: z, N: maxArchiveInfo + maxMember}
	a = &archive{z: z, left: left, tar: tar.NewReader(left)}
	h, err := a.tar.Next()
	if err != nil {
		return nil, badArchive(err)
	}
	if h.Name != archiveInfo || h.Typeflag != tar.TypeReg || h.Size > maxArchiveInfo {
		return nil, badArchive(errors.New("it begins with something else"))
	}
	b := make([]byte, h.Size)
	if _, err := io.ReadFull(a.tar, b); err != nil {
		return nil, badArchive(err)
	}
	if sha256.Sum256(b) != v2 {
		return nil, badArchive(errors.New("it describes another content"))
	}
	if a.info, err = piece.ParseInfo(b); err == nil {
		left.N = a.info.Length + maxMember*int64(len(a.info.Files)+1)
	}
	return a, err
}

// badArchive wraps an error of decoding; those of the source's, which are about the way to the bytes, stay what they are.
func badArchive(err error) error {
	var source *sourceError
	if errors.As(err, &source) {
		return source.err
	}
	return fmt.Errorf("%w: %w", ErrBadArchive, err)
}

// files unpacks the files that create wants: a nil writer is a file that is here already. What the bytes are is for the writers to find out.
func (a *archive) files(create func(file int) (io.WriteCloser, error)) error {
	byName := make(map[string]int, len(a.info.Files))
	for i := range a.info.Files {
		byName[a.info.Files[i].Name(a.info)] = i
	}
	for {
		h, err := a.tar.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badArchive(err)
		}
		i, ok := byName[h.Name]
		delete(byName, h.Name)
		if !ok || h.Typeflag == tar.TypeReg && h.Size != a.info.Files[i].Length {
			return badArchive(fmt.Errorf("%.200q is no file of it", h.Name))
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue // the info dictionary has told all about it
		}
		if err := unpackOne(i, h.Size, a.tar, create); err != nil {
			return err
		}
	}
}

func unpackOne(i int, size int64, r io.Reader, create func(file int) (io.WriteCloser, error)) error {
	w, err := create(i)
	if err != nil || w == nil {
		return err
	}
	_, err = io.CopyN(onlyWriter{w}, r, size)
	if end := w.Close(); end != nil {
		return end
	}
	var disk *writeError
	if err == nil || errors.As(err, &disk) {
		return err
	}
	return badArchive(err)
}

// onlyWriter tells errors of writing from those of reading.
type onlyWriter struct{ w io.Writer }

func (o onlyWriter) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// sourceError is that the bytes of an artefact did not come.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func (a *archive) Close() { a.z.Close() }
