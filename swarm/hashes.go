package swarm

import (
	"errors"
	"io"
	"os"
	"sync"

	"shoal/piece"
	"shoal/swarm/wire"
)

// leafStore keeps the SHA-256 of each 16 KiB leaf in a flat file, for hash requests (BEP 52).
// A nil one has none.
type leafStore struct {
	io.Closer
	io.ReaderAt
	io.WriterAt // nil if it is read only
}

func keepLeaves(f *os.File) *leafStore { return &leafStore{f, f, f} }

// openLeaves opens a file of leaves for reading; without one, leaves are computed when asked for.
func openLeaves(path string, info *piece.Info) (*leafStore, error) {
	if path == "" || !info.HasV2 {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &leafStore{f, f, nil}, nil
}

func (l *leafStore) put(first int64, leaves []piece.Hash32) {
	if l == nil || l.WriterAt == nil {
		return
	}
	b := make([]byte, 0, 32*len(leaves))
	for _, h := range leaves {
		b = append(b, h[:]...)
	}
	l.WriteAt(b, first*32) // a leaf that is not kept is computed again
}

// get reads leaves, false if some are not there.
func (l *leafStore) get(first int64, n int) ([]piece.Hash32, bool) {
	if l == nil {
		return nil, false
	}
	b := make([]byte, 32*n)
	if m, _ := l.ReadAt(b, first*32); m < len(b) {
		return nil, false
	}
	leaves := make([]piece.Hash32, n)
	for i := range leaves {
		leaves[i] = piece.Hash32(b[32*i:])
		if leaves[i] == (piece.Hash32{}) { // a hole of the file
			return nil, false
		}
	}
	return leaves, true
}

func (l *leafStore) close() {
	if l != nil {
		l.Close()
	}
}

// maxCachedLeaves bounds the computed leaves that are remembered, 32 bytes each: enough for 2 GiB.
const maxCachedLeaves = 128 << 10

// leafCache remembers leaves that had to be computed: of a piece that one peer asks about, others
// will ask soon.
type leafCache struct {
	mu     sync.Mutex // held while computing: one piece at a time
	pieces map[int][]piece.Hash32
	size   int
}

// leafReader is the flat file of all leaves (see piece.Info.FirstLeaf): kept ones, and where none
// are kept, or wrong ones, computed from the content.
type leafReader struct {
	kept  *leafStore
	cache *leafCache
	store storage
	info  *piece.Info
}

func (s *session) leafReader() leafReader {
	return leafReader{kept: s.leaves, cache: &s.computed, store: s.store, info: s.torrent.Info}
}

// ReadAt reads within the leaves of one piece.
func (l leafReader) ReadAt(b []byte, off int64) (int, error) {
	p := int(off / 32 / (l.info.PieceLength / piece.BlockSize))
	if p >= l.info.NumPieces() {
		return 0, io.EOF
	}
	leaves, err := l.piece(p)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := off/32 - l.info.FirstLeaf(p); i < int64(len(leaves)) && n < len(b); i++ {
		n += copy(b[n:], leaves[i][:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (l leafReader) piece(p int) ([]piece.Hash32, error) {
	_, known := l.info.PieceRoot(p)
	leaves, ok := l.kept.get(l.info.FirstLeaf(p), l.info.LeafCount(p))
	if ok && (!known || l.info.CheckLeaves(p, leaves)) {
		return leaves, nil
	}
	c := l.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if leaves := c.pieces[p]; leaves != nil {
		return leaves, nil
	}
	r := checkPiece(l.store, l.info, p, onlySHA256)
	if r.err != nil {
		return nil, r.err
	}
	if c.size+len(r.leaves) > maxCachedLeaves {
		c.pieces, c.size = nil, 0
	}
	if c.pieces == nil {
		c.pieces = make(map[int][]piece.Hash32)
	}
	c.pieces[p] = r.leaves
	c.size += len(r.leaves)
	return r.leaves, nil
}

// maxHashQueue is how many hash requests of one peer wait here.
const maxHashQueue = 512

// hashRequested has a hash request answered by the connection's writer, since hashes may have to
// be computed.
func (s *session) hashRequested(c *conn, h wire.HashSpec) error {
	if s.torrent == nil {
		return errors.New("hash request before we know the torrent")
	}
	info := s.torrent.Info
	_, ok := info.FileByRoot(h.Root)
	if !ok || h.Length > wire.MaxHashes || h.Index > 1<<30 || h.Base > 64 || h.ProofLayers > 64 || c.out.lazyLen() >= maxHashQueue {
		c.out.put(func(b []byte) []byte { return wire.AppendHash(b, wire.HashReject, h, nil) })
		return c.useless("hash requests that are turned down")
	}
	leaves := s.leafReader()
	c.out.later(func(b []byte) []byte { return appendHashes(b, info, h, leaves) })
	return nil
}

// appendHashes answers a hash request.
func appendHashes(b []byte, info *piece.Info, h wire.HashSpec, leaves io.ReaderAt) []byte {
	file, _ := info.FileByRoot(h.Root)
	q := piece.HashRequest{Base: int(h.Base), Index: int(h.Index), Length: int(h.Length), Proof: int(h.ProofLayers)}
	hashes, err := info.Hashes(file, q, leaves)
	if err != nil {
		return wire.AppendHash(b, wire.HashReject, h, nil)
	}
	flat := make([]byte, 0, 32*len(hashes))
	for _, x := range hashes {
		flat = append(flat, x[:]...)
	}
	return wire.AppendHash(b, wire.Hashes, h, flat)
}
