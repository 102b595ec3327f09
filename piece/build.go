package piece

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// BuildConfig says what torrent to make. The zero value makes a hybrid named after the path.
type BuildConfig struct {
	// Name is the torrent's name. Empty means the last element of the path.
	Name string
	// PieceLength is a power of two of at least 16 KiB. Zero means one that gives about 1000 to 2000 pieces, less if a hybrid needs it.
	PieceLength int64
	Format      Format
	Private     bool // BEP 27

	Trackers           [][]string // tiers, BEP 12
	WebSeeds           []string   // BEP 19
	Comment, CreatedBy string
	Created            time.Time // zero: absent, and the result depends on nothing but the content

	// Workers is how many goroutines read and hash. Zero means GOMAXPROCS.
	Workers int
	// Progress is told how many bytes were read, from many goroutines.
	Progress func(done, total int64)
	// Leaves gets the hash of each leaf at leaf × 32, where leaf counts from the begin of the piece space (v2 and hybrid; Info.FirstLeaf).
	Leaves io.WriterAt
}

// BuildReport tells what was built.
type BuildReport struct {
	Format    Format // never Auto
	Padding   int64  // bytes of pad files
	EmptyDirs int    // directories without anything in them, which no torrent can tell of
	Notices   []string
	Stats     []FileStat // of each of the torrent's files, as it was while it was read
}

// Build hashes a file, or all below a directory, and describes it in a torrent that depends on names and content only. Empty files, symlinks within
// the tree and the owner's executable bit are kept. A file that changes while it is read is an error. Build returns soon after ctx is done.
func Build(ctx context.Context, path string, c BuildConfig) (*Torrent, *BuildReport, error) {
	s, err := scan(ctx, path, c.Name)
	if err != nil {
		return nil, nil, err
	}
	in, report, err := plan(s, c)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	roots, err := hashAll(ctx, in, s, path, c)
	if err != nil {
		return nil, nil, err
	}
	t := &Torrent{Trackers: c.Trackers, WebSeeds: c.WebSeeds, Comment: c.Comment, CreatedBy: c.CreatedBy, Created: c.Created}
	// Reading it back holds it to what is asked of strangers' torrents.
	if t.Info, err = ParseInfo(encodeInfo(in, s.files)); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range t.Files {
		if first, end := t.FilePieces(i); t.HasV2 && t.needsLayer(i) && t.Layer(i) == nil {
			if err := t.SetLayer(i, roots[first*32:end*32:end*32]); err != nil {
				return nil, nil, err
			}
		}
	}
	return t, report, nil
}

// plan lays the files out in a piece space; the hashes are still to come.
func plan(s *scanned, c BuildConfig) (*Info, *BuildReport, error) {
	format, pieceLength, notice, err := choose(c, s.dir, s.files)
	if err != nil {
		return nil, nil, err
	}
	in, err := layOut(s, format, pieceLength, c.Private)
	if err != nil {
		return nil, nil, err
	}
	// A torrent of very many files is found to be too large before the files are read.
	if n := len(encodeInfo(in, s.files)); n > maxInfo && c.Format == Auto && format == Hybrid {
		format, notice = V2, fmt.Sprintf("v2 only: the info dictionary of a hybrid would have %d bytes, more than %d", n, maxInfo)
		if in, err = layOut(s, format, pieceLength, c.Private); err != nil {
			return nil, nil, err
		}
	}
	if n := len(encodeInfo(in, s.files)); n > maxInfo {
		return nil, nil, fmt.Errorf("its info dictionary would have %d bytes, more than %d", n, maxInfo)
	}
	report := &BuildReport{Format: format, EmptyDirs: s.emptyDirs, Stats: s.stats}
	if notice != "" {
		report.Notices = append(report.Notices, notice)
	}
	if format == Hybrid {
		report.Padding = padding(s.dir, s.files, pieceLength)
	}
	if s.emptyDirs > 0 {
		report.Notices = append(report.Notices, leftOut(s.emptyDirs))
	}
	if len(s.special) > 0 {
		report.Notices = append(report.Notices, bitsLeftOut(s.special))
	}
	if n, name := unportable(s); n > 0 {
		report.Notices = append(report.Notices, fmt.Sprintf("names that Windows does not have, %d in all, such as %q: no machine with Windows can fetch this", n, name))
	}
	return in, report, nil
}

// leftOut tells of empty directories.
func leftOut(dirs int) string {
	if dirs == 1 {
		return "an empty directory is left out: torrents have none"
	}
	return fmt.Sprintf("%d empty directories are left out: torrents have none", dirs)
}

// bitsLeftOut tells of files with a setuid, setgid or sticky bit.
func bitsLeftOut(files []string) string {
	which := files[0]
	if n := len(files); n > 1 {
		which = fmt.Sprintf("%d files, such as %s", n, files[0])
	}
	return fmt.Sprintf("the setuid, setgid or sticky bit of %s is left out: of modes torrents have only who may run a file", which)
}

// layOut gives each file its place.
func layOut(s *scanned, format Format, pieceLength int64, private bool) (*Info, error) {
	if format == V2 && s.dir && len(s.files) == 1 && len(s.files[0].Path) == 1 && s.files[0].Path[0] == s.name && s.files[0].Symlink == nil {
		return nil, fmt.Errorf("a v2 torrent of a directory with nothing but a file of the same name looks like that file alone; give it another name")
	}
	in := &Info{Name: s.name, Dir: s.dir, PieceLength: pieceLength, Private: private, HasV1: format != V2, HasV2: format != V1}
	in.Files = append(in.Files, s.files...)
	pad := padded(s.dir, s.files)
	for i := range in.Files {
		f := &in.Files[i]
		if in.HasV2 && f.Length > 0 {
			in.spaceV1 += padAfter(in.spaceV1, pieceLength)
		}
		f.Offset = in.spaceV1
		in.spaceV1 += f.Length
	}
	if in.HasV1 && in.HasV2 && pad {
		in.spaceV1 += padAfter(in.spaceV1, pieceLength)
	}
	if err := in.index(); err != nil {
		return nil, err
	}
	if in.HasV1 {
		in.hashes = make([]byte, in.pieces*20)
	}
	return in, nil
}

// hashAll reads everything once; it completes in with the v1 hashes and the files' roots, and returns the roots of all pieces.
func hashAll(ctx context.Context, in *Info, s *scanned, path string, c BuildConfig) (roots []byte, err error) {
	if in.HasV2 {
		roots = make([]byte, in.pieces*32)
	}
	src := newSource(in, func(i int) string { return filepath.Join(path, filepath.Join(in.Files[i].Path...)) })
	for i := range src.files {
		src.files[i].want, src.files[i].sparse = s.stats[i], s.sparse[i]
	}
	run := hashRun{
		in: in, src: src, v1: in.HasV1, v2: in.HasV2, workers: c.Workers, leaves: c.Leaves, progress: c.Progress, total: in.Length,
		piece: func(p int, h *pieceHash) (bool, error) {
			if h.err != nil {
				return false, h.err
			}
			if in.HasV1 {
				copy(in.hashes[p*20:], h.v1[:])
			}
			if in.HasV2 {
				root := rootOf(h.leaves, in.rootHeight(in.FileOfPiece(p)), 0)
				copy(roots[p*32:], root[:])
			}
			return true, nil
		},
		changed: func(_ int, err error) error { return err },
	}
	if err := run.run(ctx); err != nil {
		return nil, err
	}
	for _, i := range in.content {
		if in.HasV2 {
			first, end := in.FilePieces(int(i))
			in.Files[i].Root = layerRoot(roots[first*32:end*32], in.pieceHeight())
		}
	}
	return roots, nil
}
