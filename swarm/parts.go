package swarm

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"shoal/internal/disk"
	"shoal/piece"
)

// Parts is the place of a fetch before anybody is asked for anything: whoever can make content on this machine, from an archive, a patch or an
// older version, writes it here. What is right by the torrent's hashes is journalled, and the transfer that is then added with the same Dir
// takes it for its own and fetches only the rest. It needs v2, and is safe for concurrent use; one process has it at a time (disk.HeldError).
type Parts struct {
	store  *store
	leaves *leafStore
	copies atomic.Bool // the file system of the parts shares no blocks with that of an older version

	syncing atomic.Bool
	syncs   sync.WaitGroup // has the one that is under way

	mu      sync.Mutex
	have    bitset
	suspect bitset // were verified once, or written when their hashes were not known: they are to be hashed before they count
	failed  error  // of a sync
}

// Parts opens the place of a fetch into dir. What a former run has verified is still there.
func (n *Node) Parts(dir string, info *piece.Info) (*Parts, error) {
	if !info.HasV2 {
		return nil, errors.New("content without SHA-256 hashes is not put together from parts")
	}
	st, state, err := openStore(fetchSpec{dir: dir, boot: n.cfg.boot}, info)
	if err != nil {
		return nil, err
	}
	p := &Parts{store: st, leaves: keepLeaves(st.leaves), have: newBitset(info.NumPieces()), suspect: state.suspect}
	for i := range p.have.n {
		if state.synced.has(i) || state.trusted.has(i) {
			p.have.add(i)
		}
	}
	for i := range info.Files {
		if len(info.LayerRequests(i)) > 0 && info.Layer(i) == nil && p.Has(i) {
			if err := p.layer(i); err != nil && !errors.Is(err, piece.ErrCorrupt) {
				p.Close()
				return nil, err
			}
		}
	}
	return p, nil
}

// Has says whether all of a file is here and verified. Empty files and symlinks always are: the torrent says all about them.
func (p *Parts) Has(file int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, end := p.store.info.FilePieces(file)
	for i := first; i < end; i++ {
		if !p.have.has(i) {
			return false
		}
	}
	return true
}

// HasPiece says whether a piece is here and verified.
func (p *Parts) HasPiece(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.have.has(i)
}

// Missing is how many bytes of content are not here.
func (p *Parts) Missing() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.have.n {
		if !p.have.has(i) {
			n += p.store.info.PieceLen(i)
		}
	}
	return n
}

// Close lets go of the place. What is verified stays there; if nothing is, nothing does.
func (p *Parts) Close() error {
	p.syncs.Wait()
	return errors.Join(p.failed, p.store.Close())
}

// sync begins to bring to the disk what is recorded, unless that is under way. The disk has little left to do at the end then, when all wait for it.
func (p *Parts) sync() {
	if !p.syncing.CompareAndSwap(false, true) {
		return
	}
	p.syncs.Go(func() {
		defer p.syncing.Store(false)
		if err := p.store.sync(); err != nil {
			p.mu.Lock()
			p.failed = errors.Join(p.failed, err)
			p.mu.Unlock()
		}
	})
}

// layer computes a file's piece layer from the leaves that are kept.
func (p *Parts) layer(file int) error {
	layer, err := p.store.info.LayerFrom(file, p.leaves)
	if err != nil {
		return fmt.Errorf("%w: %w", piece.ErrCorrupt, err)
	}
	return p.store.info.SetLayer(file, layer)
}

// partBuffer is how much of a file is hashed and written at a time: whole leaves.
const partBuffer = 256 << 10

// partBuffers are for trees of many files, of which each would need its own else.
var partBuffers = sync.Pool{New: func() any { return new([partBuffer]byte) }}

// PartWriter takes a file's bytes from its begin to its end. It is for one goroutine.
type PartWriter struct {
	p       *Parts
	file    int
	at      int64 // in the file: what is hashed, and written
	buf     []byte
	written int64 // so much of the file was there before: it is only hashed
	touched int64 // so much of it may be other than it was
	leaves  []piece.Hash32
	sum     hash.Hash // SHA-1 of the piece under way; nil: there is no v1
	wrong   bitset    // by the file's pieces: their SHA-1 says so
	failed  error
}

// Create begins a file, or begins it anew. What is written beyond its length is an error; nothing else about the bytes is, see Close.
func (p *Parts) Create(file int) (*PartWriter, error) {
	info := p.store.info
	f := &info.Files[file]
	if f.Symlink != nil || f.Length == 0 {
		return nil, fmt.Errorf("%s has no bytes of its own", f.Name(info))
	}
	first, end := info.FilePieces(file)
	w := &PartWriter{p: p, file: file, buf: partBuffers.Get().(*[partBuffer]byte)[:0], wrong: newBitset(end - first)}
	if info.HasV1 {
		w.sum = sha1.New()
	}
	return w, nil
}

// Write takes the next bytes.
func (w *PartWriter) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 && w.failed == nil {
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
		m := copy(w.buf[len(w.buf):cap(w.buf)], b)
		if w.at+int64(len(w.buf)+m) > w.p.store.info.Files[w.file].Length {
			w.failed = fmt.Errorf("%s: more bytes than it has: %w", w.p.store.info.Files[w.file].Name(w.p.store.info), piece.ErrCorrupt)
			break
		}
		w.buf = w.buf[:len(w.buf)+m]
		b, n = b[m:], n+m
	}
	return n, w.failed
}

// flush hashes and writes what is in the buffer.
func (w *PartWriter) flush() {
	if len(w.buf) == 0 || w.failed != nil {
		return
	}
	info := w.p.store.info
	w.touched = max(w.touched, w.at+int64(len(w.buf)))
	if w.at+int64(len(w.buf)) > w.written {
		w.failed = w.p.store.write(w.buf, info.Files[w.file].Offset+w.at)
	}
	w.leaves = piece.AppendLeaves(w.leaves, w.buf)
	for b := w.buf; len(b) > 0 && w.sum != nil; {
		left := info.PieceLength - w.at%info.PieceLength
		n := min(left, int64(len(b)))
		w.sum.Write(b[:n])
		b, w.at = b[n:], w.at+n
		if n == left {
			w.checkV1(int((w.at - 1) / info.PieceLength))
		}
	}
	if w.sum == nil {
		w.at += int64(len(w.buf))
	}
	w.buf = w.buf[:0]
}

// checkV1 ends the SHA-1 of the file's n-th piece.
func (w *PartWriter) checkV1(n int) {
	first, _ := w.p.store.info.FilePieces(w.file)
	if piece.Hash20(w.sum.Sum(nil)) != w.p.store.info.PieceHashV1(first+n) {
		w.wrong.add(n)
	}
	w.sum.Reset()
}

// Close ends the file: what of it is right counts from now on, and Has tells whether that is all. An error is one of the disk's, or of a torrent
// whose halves disagree (ErrInconsistent), not one of the bytes.
func (w *PartWriter) Close() error {
	w.flush()
	if w.failed != nil && !errors.Is(w.failed, piece.ErrCorrupt) {
		return errors.Join(w.failed, w.abandon())
	}
	w.release()
	info := w.p.store.info
	first, end := info.FilePieces(w.file)
	whole := w.at == info.Files[w.file].Length
	if last := w.at % info.PieceLength; whole && last != 0 && w.sum != nil { // BEP 47: the rest of the last piece is a pad, unless the torrent ends there
		w.sum.Write(make([]byte, info.PieceLenV1(end-1)-last))
		w.checkV1(end - 1 - first)
	}
	if len(w.leaves) > 1 { // else it is the file's root, and nobody asks for it
		w.p.leaves.put(info.FirstLeaf(first), w.leaves)
	}
	known := len(info.LayerRequests(w.file)) == 0 || info.Layer(w.file) != nil
	if !known && whole {
		known = w.p.layer(w.file) == nil
	}
	perPiece := int(info.PieceLength / piece.BlockSize)
	for i := first; i < end; i++ {
		at := (i - first) * perPiece
		if at+info.LeafCount(i) > len(w.leaves) {
			return w.doubt(i)
		}
		ok := known && info.CheckLeaves(i, w.leaves[at:at+info.LeafCount(i)])
		if ok && w.sum != nil && w.wrong.has(i-first) {
			return fmt.Errorf("%w: piece %d", ErrInconsistent, i)
		}
		if err := w.p.record(i, ok, known); err != nil {
			return err
		}
	}
	return nil
}

// abandon ends a file whose bytes were not all looked at.
func (w *PartWriter) abandon() error {
	w.release()
	first, _ := w.p.store.info.FilePieces(w.file)
	return w.doubt(first)
}

func (w *PartWriter) release() {
	partBuffers.Put((*[partBuffer]byte)(w.buf[:partBuffer]))
	w.buf = nil
}

// doubt has the pieces from one on hashed before they count again, as far as they were written to: they may have been right before.
func (w *PartWriter) doubt(from int) error {
	info := w.p.store.info
	first, end := info.FilePieces(w.file)
	for i := from; i < end && int64(i-first)*info.PieceLength < w.touched; i++ {
		if err := w.p.record(i, false, true); err != nil {
			return err
		}
	}
	return nil
}

// record notes how a piece was found. While its hash is not known, it is to be hashed later.
func (p *Parts) record(i int, ok, known bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := byte('R')
	switch {
	case ok:
		p.have.add(i)
	case !known || p.have.remove(i):
		kind = 'D'
		p.suspect.add(i)
	default:
		p.store.journal.touch()
		return nil
	}
	due, err := p.store.record(i, kind)
	if due {
		p.sync()
	}
	return err
}

// DropParts removes what a fetch of content with this v2 info hash has left in dir: of an artefact that is needed no more. What another process has stays.
func DropParts(dir string, v2 piece.Hash32) error {
	work := filepath.Join(dir, workDir(&piece.Info{HasV2: true, V2: v2}))
	if _, err := os.Lstat(work); err != nil {
		return nil
	}
	lock, err := disk.LockDir(work)
	if errors.Is(err, disk.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return os.RemoveAll(work)
}

// Staged is about how many bytes of content with this v2 info hash a former fetch has left in dir.
func Staged(dir string, v2 piece.Hash32) (n int64) {
	parts := filepath.Join(dir, workDir(&piece.Info{HasV2: true, V2: v2}), "parts")
	entries, err := os.ReadDir(parts)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if f, err := os.Open(filepath.Join(parts, e.Name())); err == nil {
			if fi, err := f.Stat(); err == nil {
				n += min(disk.Allocated(f), fi.Size()) // the last block of a file is a whole one: of many small files that is much
			}
			f.Close()
		}
	}
	return n
}
