package port

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

// Port is one number, held over TCP and UDP.
type Port struct {
	tcp       []*listening
	udp       []*udpSocket
	http, tls *listener

	decideTime time.Duration // 5 s; tests have less patience
	waiting    *waiting
}

// Handlers say who gets what. The zero value serves HTTP alone and refuses uTP.
type Handlers struct {
	// BitTorrent gets each connection that begins with a handshake, in a goroutine of its own; its bytes are all still to be read. The
	// connection is closed when the call returns and when ctx ends. Nil: such connections are closed.
	BitTorrent func(ctx context.Context, c net.Conn)
	// Encrypted gets, in the same way, each connection that begins with nothing that we know: such as an encrypted handshake (MSE), whose first
	// bytes are random. Nil: such connections are closed.
	Encrypted func(ctx context.Context, c net.Conn)
	// Quick answers short HTTP requests on the spot, before anybody else sees them. Nil: none is short.
	Quick QuickHandler
	// TLS says that somebody accepts from Port.TLS; otherwise such connections are closed.
	TLS bool
	// Tracker gets datagrams of BEP 15. Nil: dropped.
	Tracker UDPHandler
	// Warm, if it is not nil, is given the datagrams that have come at once before Tracker gets the first of them.
	Warm func(pkts iter.Seq[[]byte]) byte
	// DHT gets datagrams of BEP 5. It has queues of its own. Nil: dropped.
	DHT LaterHandler
	// Log receives what is refused, at Debug. Nil discards it.
	Log *slog.Logger
}

func newPort() *Port {
	return &Port{decideTime: 5 * time.Second, waiting: newWaiting(maxUndecided)}
}

// Number is the port's number.
func (p *Port) Number() int { return p.tcp[0].Addr().(*net.TCPAddr).Port }

// Addr is the address the port was taken on, with the real number.
func (p *Port) Addr() netip.AddrPort {
	a := p.tcp[0].Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// HTTP returns the listener whose connections speak HTTP, for http.Server.Serve. It is always the same one. Closing it closes HTTP
// connections from then on and nothing else. After Run has ended its Accept returns net.ErrClosed.
func (p *Port) HTTP() net.Listener { return p.http }

// TLS is the same for connections that begin with TLS, which are still to be decrypted. See Handlers.TLS.
func (p *Port) TLS() net.Listener { return p.tls }

// Close gives the number back. Only needed when Run is not called.
func (p *Port) Close() error {
	var err error
	for _, l := range p.tcp {
		err = errors.Join(err, l.Close())
	}
	for _, s := range p.udp {
		s.Close()
	}
	for _, l := range []*listener{p.http, p.tls} {
		if l != nil {
			l.Close()
		}
	}
	return err
}

// Run serves until ctx is done and then gives the number back; it returns once everything it started has stopped. A stop that was asked for is
// not an error. Run is called once.
func (p *Port) Run(ctx context.Context, h Handlers) error {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range p.tcp {
		g.Go(func() error { return p.serveTCP(ctx, l, &h) })
	}
	for _, s := range p.udp {
		g.Go(func() error { return p.serveUDP(ctx, s, &h) })
	}
	g.Go(func() error {
		<-ctx.Done()
		p.Close()
		p.waiting.closeAll()
		return nil
	})
	return g.Wait()
}
