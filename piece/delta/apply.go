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
// however large the files are; what it keeps of old content is 32 MiB at most.
//
// The patch is a stranger's. Its info dictionary is believed when it has the hash that is wanted; its files get the lengths that they have there. But
// their bytes are not verified: a damaged old file or a malicious patch gives others. Whoever uses them has to compare them with the roots in the Info.
//
// Errors about the patch's bytes wrap ErrBadPatch; those of the sink are returned as they are.
func Apply(ctx context.Context, old Tree, patch io.Reader, want Want, sink Sink) (err error) {
	r := &byteReader{Reader: patch}
	new, err := readHead(r, old.Info, want)
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
	d := newSectionDecoder(r, from)
	defer d.close()
	files := order(new, &changes)
	for _, file := range files {
		d.total += new.Files[file].Length
	}
	for _, file := range files {
		if err := d.writeFile(ctx, sink, file, new.Files[file].Length, begin(&changes, at, file)); err != nil {
			return err
		}
	}
	return d.finish()
}

// writeFile gives the sink a file.
func (s *sectionDecoder) writeFile(ctx context.Context, sink Sink, file int, length int64, t track) (err error) {
	w, err := sink.Create(file)
	if err != nil {
		return err
	}
	if w == nil {
		return s.file(ctx, io.Discard, length, t)
	}
	return errors.Join(s.file(ctx, w, length, t), w.Close())
}

// readHead reads a patch up to its first section.
func readHead(r *byteReader, old *piece.Info, want Want) (*piece.Info, error) {
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
	info, err := readInfo(r, old.Bytes, int64(n))
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
func readInfo(r *byteReader, old []byte, n int64) ([]byte, error) {
	d := newSectionDecoder(r, byteSource(old))
	defer d.close()
	d.total = n
	var info bytes.Buffer
	if err := d.file(context.Background(), &info, n, track{}); err != nil {
		return nil, err
	}
	return info.Bytes(), d.end()
}

// file makes a whole file.
func (s *sectionDecoder) file(ctx context.Context, w io.Writer, left int64, t track) error {
	for left > 0 {
		if s.left == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.next(); err != nil {
				return err
			}
		}
		n, err := s.op(w, left, &t)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// finish checks that the patch ends here.
func (s *sectionDecoder) finish() error {
	if err := s.end(); err != nil {
		return err
	}
	if _, err := s.r.ReadByte(); err == nil {
		return badf("bytes behind its end")
	} else if err != io.EOF {
		return readErr(err)
	}
	return nil
}
