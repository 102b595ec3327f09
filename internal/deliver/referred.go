package deliver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"shoal/swarm"
)

// A server that many ask at once redirects to a magnet link in place of giving a .torrent, and leaves the rest to peers that have it.

// notToMagnet follows redirections as net/http does, but not to a magnet link: that is the answer.
func notToMagnet(req *http.Request, via []*http.Request) error {
	switch {
	case isMagnet(req.URL.String()):
		return http.ErrUseLastResponse
	case len(via) >= 10:
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// referred takes a magnet link that a server gives in place of a .torrent which peers have.
func (a Asking) referred(ctx context.Context, x *fetched, link string) (*fetched, error) {
	all := a
	all.Peers = false
	from := x.url.String()
	if !x.shoal || x.url.Scheme != "http" { // what was redirected may lead to one that is no peer
		return all.once(ctx, from)
	}
	m, err := ParseMagnet(link)
	if err != nil || m.HasItem || len(m.Files) > 0 {
		return all.once(ctx, from)
	}
	if len(m.Trackers) == 0 { // then the server is one
		m.Trackers = []string{(&url.URL{Scheme: "http", Host: x.url.Host, Path: "/announce"}).String()}
	}
	x.magnet = m
	x.again = func(ctx context.Context) (*fetched, error) { return all.once(ctx, from) }
	return x, nil
}

// referredTime is for how long nothing may come of the description, when the server has left that to peers.
const referredTime = 3 * time.Second

// awaitDescription waits for peers to describe the content, and asks the server for it when they do not.
func (r *Request) awaitDescription(ctx context.Context, node *swarm.Node, t *swarm.Transfer) (*swarm.Transfer, error) {
	if !r.Deadline.IsZero() {
		var end context.CancelFunc
		ctx, end = context.WithDeadline(ctx, r.Deadline)
		defer end()
	}
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	defer g.Wait()
	defer cancel()
	patience := time.NewTimer(referredTime)
	defer patience.Stop()
	whole := make(chan *Found, 1) // nil: there is none, and peers may still tell
	for came := int64(0); ; {
		select {
		case <-t.Known():
			return t, nil
		case <-t.Done(): // follow says why
			return t, nil
		case <-ctx.Done():
			return t, nil
		case <-patience.C:
			n, all := t.Described()
			switch {
			case all: // what lies there is being hashed
				return t, nil
			case n > came:
				came = n
				patience.Reset(referredTime)
			default:
				g.Go(func() {
					f, err := r.whole(ctx)
					if err != nil {
						f = nil
					}
					whole <- f
				})
			}
		case f := <-whole:
			if _, all := t.Described(); all || f == nil {
				return t, nil
			}
			if err := t.Close(); err != nil {
				return nil, err
			}
			r.Torrent = f.Torrent
			return r.begin(node)
		}
	}
}
