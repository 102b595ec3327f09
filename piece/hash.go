package piece

import (
	"context"
	"crypto/sha1"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	batchBytes = 1 << 20   // what a worker takes at once, unless two pieces are longer
	bufBytes   = 256 << 10 // what it reads at once: stays in the core's cache between the read and the two hashes
)

var zeros [bufBytes]byte

// A hashRun reads content once and hashes each piece, on several cores.
type hashRun struct {
	in       *Info
	src      *source
	v1, v2   bool
	workers  int
	leaves   io.WriterAt
	progress func(done, total int64)
	total    int64
	want     func(p int) bool // nil: all
	// piece takes what was found for piece p, and tells whether its leaves are worth keeping. changed learns that a file is not what it was when
	// the run began. Both are called from many goroutines; their errors end the run.
	piece   func(p int, h *pieceHash) (keep bool, err error)
	changed func(file int, err error) error

	batch      int // pieces
	next, done atomic.Int64
	hole       sync.Once
	holeV1     Hash20
	holeLeaf   Hash32
}

// pieceHash is what was found for a piece.
type pieceHash struct {
	v1     Hash20
	leaves []Hash32
	err    error
	file   int // that could not be read
}

func (r *hashRun) run(ctx context.Context) error {
	defer r.src.close()
	if r.workers == 0 {
		r.workers = runtime.GOMAXPROCS(0)
	}
	// Two pieces at least, because two are hashed at once; but not if a core would be left without any.
	r.batch = max(1, int(batchBytes/r.in.PieceLength))
	if r.v1 && r.batch == 1 && r.in.pieces >= 8*r.workers {
		r.batch = 2
	}
	g, ctx := errgroup.WithContext(ctx)
	for range r.workers {
		g.Go(func() error {
			w := worker{hashRun: r, ctx: ctx, buf: make([]byte, bufBytes), sha1: sha1.New()}
			return w.loop()
		})
	}
	return g.Wait()
}
