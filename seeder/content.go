package seeder

import (
	"net/http"
	"sync"
	"time"

	"shoal/internal/release"
	"shoal/internal/webseed"
	"shoal/piece"
	"shoal/swarm"
)

// Content is one file or tree on offer.
type Content struct {
	Name     string
	Path     string
	Dir      bool
	Length   int64
	Files    int
	Pieces   int
	V1       piece.Hash20
	V2       piece.Hash32
	HasV1    bool
	HasV2    bool
	Private  bool
	Magnet   string
	Cached   bool     // the description was taken from the state directory
	Notices  []string // what the publisher should know about the description
	Transfer *swarm.Transfer
	Ration   *swarm.Ration // what is given to swarms

	hashes  [][20]byte    // what our tracker serves because of it
	release *release.Live // whose it is; nil: the repository has nothing to do with it
	plain   bool          // also /NAME and /NAME.torrent
	torrent string        // path of the .torrent
	looks   int           // how many files there are to look at
	look    func(i int) error
	mu      sync.Mutex
	gone    error
}

// Key is the content's name in URLs: the hex v2 info hash, or the v1 hash of a v1-only torrent.
func (c *Content) Key() string { return piece.Key(c.V1, c.V2, c.HasV2) }

// Gone says why the content is not served any more; nil while it is.
func (c *Content) Gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone == nil {
		return c.Transfer.Err()
	}
	return c.gone
}

// admit counts what a swarm's client asks for over HTTP against the budget, or has it wait.
func (c *Content) admit(r *http.Request, n int64) (wait time.Duration) {
	return c.Ration.Ask(webseed.Remote(r), n, time.Now())
}
