package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"shoal/piece"
)

// Want is what the signed release document says about the new version.
type Want struct {
	V2     piece.Hash32 // info hash
	Length int64        // of the content, Info.Length
}

// A Sink takes what Apply makes. Its methods are called one after the other, from the goroutine that called Apply.
type Sink interface {
	// Begin is called first. The hash of new is the one that was wanted. Directories, symlinks, empty files, and files that are Same or Renamed
	// are the sink's to make.
	Begin(new *piece.Info, c Changes) error
	// Create says where the content of a new file goes, which is Added or Changed and not empty. It is written in order from its beginning, and
	// closed when it is whole, or after an error. A nil writer skips the file.
	Create(file int) (io.WriteCloser, error)
}

// Apply makes the new version from the old one and a patch that Diff wrote, read once from front to back. Its memory is bounded by constants
// however large the files are; what it keeps of old content is 24 MiB at most.
//
// The patch is a stranger's. Its info dictionary is believed when it has the hash that is wanted; its files get the lengths that they have there. But
// their bytes are not verified: a damaged old file or a malicious patch gives others. Whoever uses them has to compare them with the roots in the Info.
//
// Errors about the patch's bytes wrap ErrBadPatch; those of the sink are returned as they are.
func Apply(ctx context.Context, old Tree, patch io.Reader, want Want, sink Sink) (err error) {
	r := &byteReader{Reader: patch}
	new, err := readHead(ctx, r, old.Info, want)
	if err != nil {
		return err
	}
	changes := Compare(old.Info, new)
	if err := sink.Begin(new, changes); err != nil {
		return err
	}
	at := newSpace(old.Info)
	from := newReader(&old, at)
	defer func() { err = errors.Join(err, from.close()) }()
	files := order(new, &changes)
	plans := make([]filePlan, len(files))
	for i, file := range files {
		plans[i] = filePlan{new.Files[file].Length, begin(&changes, at, file)}
	}
	made := newStages(ctx, r, from, plans)
	defer made.close()
	for _, file := range files {
		if err := writeFile(ctx, made, sink, file); err != nil {
			return err
		}
	}
	if _, err := made.next(ctx); err != nil {
		return err
	}
	return r.end()
}

// writeFile gives the sink a file.
func writeFile(ctx context.Context, made *stages, sink Sink, file int) (err error) {
	w, err := sink.Create(file)
	if err != nil {
		return err
	}
	if w == nil {
		return made.write(ctx, io.Discard)
	}
	return errors.Join(made.write(ctx, w), w.Close())
}

// readHead reads a patch up to its first section.
func readHead(ctx context.Context, r *byteReader, old *piece.Info, want Want) (*piece.Info, error) {
	head := make([]byte, len(magic)+len(old.V2))
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, readErr(err)
	}
	if string(head[:len(magic)]) != magic {
		return nil, badf("this is not a patch")
	}
	if !old.HasV2 || piece.Hash32(head[len(magic):]) != old.V2 {
		return nil, ErrWrongOld
	}
	n, err := r.uvarint()
	if err != nil {
		return nil, err
	}
	if n == 0 || n > maxInfo {
		return nil, badf("an info dictionary of %d bytes", n)
	}
	info, err := readInfo(ctx, r, old.Bytes, int64(n))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(info) != want.V2 {
		return nil, badf("its info dictionary is not the one that is wanted")
	}
	new, err := piece.ParseInfo(info)
	if err != nil {
		return nil, badf("%w", err)
	}
	if !new.HasV2 || new.V2 != want.V2 || new.Length != want.Length {
		return nil, badf("%d bytes of content, %d are wanted", new.Length, want.Length)
	}
	return new, nil
}

// readInfo reads the sections that make the info dictionary from the old one.
func readInfo(ctx context.Context, r *byteReader, old []byte, n int64) ([]byte, error) {
	made := newStages(ctx, r, byteSource(old), []filePlan{{length: n}})
	defer made.close()
	var info bytes.Buffer
	if err := made.write(ctx, &info); err != nil {
		return nil, err
	}
	_, err := made.next(ctx)
	return info.Bytes(), err
}
