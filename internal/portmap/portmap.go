package portmap

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Config configures Run.
type Config struct {
	// Port is the number to map, for TCP and UDP.
	Port int
	// Mapped is told at which address and port others reach us, when that is known or changes. The
	// address may be invalid: the router does not say it. Nil: nobody is told.
	Mapped func(external netip.AddrPort)
	// Log receives how it went. Nil discards it.
	Log *slog.Logger

	lease   time.Duration   // what is asked for; zero: two hours
	server  netip.AddrPort  // where PCP is spoken; zero: the router's port 5351
	noUPnP  bool            // for tests of the others
	retries []time.Duration // between attempts that found nobody
}

const pcpPort = 5351

// mapper is a router and how it is spoken with.
type mapper interface {
	add(ctx context.Context, r request) (answer, error)
	remove(ctx context.Context, r request)
}

// Run keeps the port mapped until ctx is done, and then gives the mapping back. Where no router
// maps it, it tries again from time to time, and says so once.
func Run(ctx context.Context, cfg Config) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.lease = cmp.Or(cfg.lease, 2*time.Hour)
	if cfg.retries == nil {
		cfg.retries = []time.Duration{30 * time.Second, 5 * time.Minute, 30 * time.Minute}
	}
	var nonce [12]byte
	crand.Read(nonce[:]) // the same for renewals, so that they are known as such
	reqs := []request{{Protocol: tcp}, {Protocol: udp}}
	for i := range reqs {
		reqs[i].Internal, reqs[i].External, reqs[i].Nonce, reqs[i].Lifetime = uint16(cfg.Port), uint16(cfg.Port), nonce, cfg.lease
	}
	var router mapper
	var told netip.AddrPort
	for fails := 0; ctx.Err() == nil; {
		var got answer
		var err error
		if router == nil {
			router, got, err = cfg.find(ctx, reqs[0])
		} else {
			got, err = router.add(ctx, reqs[0])
		}
		wait := time.Duration(0)
		if err != nil {
			if router = nil; fails == 0 && ctx.Err() == nil {
				cfg.Log.Warn("no router lets others in to our port", "port", cfg.Port, "err", err)
			}
			wait = cfg.retries[min(fails, len(cfg.retries)-1)]
			fails++
		} else {
			fails = 0
			reqs[0].External, reqs[0].Suggested = got.External.Port(), got.External.Addr()
			reqs[1].External, reqs[1].Suggested = reqs[0].External, reqs[0].Suggested
			if _, err := router.add(ctx, reqs[1]); err != nil {
				cfg.Log.Debug("the router maps TCP only", "err", err)
			}
			if got.External != told {
				told = got.External
				cfg.Log.Info("the router lets others in", "external", told.String(), "port", cfg.Port)
				if cfg.Mapped != nil {
					cfg.Mapped(told)
				}
			}
			wait = got.Lifetime / 2
		}
		sleep(ctx, wait)
	}
	if router != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		for _, r := range reqs {
			router.remove(ctx, r)
		}
	}
}

// find looks for a router that maps the port, by one protocol after the other.
func (cfg *Config) find(ctx context.Context, r request) (mapper, answer, error) {
	var all []error
	server := cfg.server
	if !server.IsValid() {
		if a, err := gateway(); err != nil {
			all = append(all, err)
		} else {
			server = netip.AddrPortFrom(a, pcpPort)
		}
	}
	if server.IsValid() {
		for _, m := range []mapper{pcp{server}, natPMP{server}} {
			a, err := m.add(ctx, r)
			if err == nil {
				return m, a, nil
			}
			all = append(all, err)
		}
	}
	if !cfg.noUPnP && ctx.Err() == nil {
		u, err := findUPnP(ctx)
		if err == nil {
			var a answer
			if a, err = u.add(ctx, r); err == nil {
				return u, a, nil
			}
		}
		all = append(all, err)
	}
	return nil, answer{}, errors.Join(all...)
}

// pcp is a router that speaks PCP, natPMP one that speaks NAT-PMP.
type (
	pcp    struct{ server netip.AddrPort }
	natPMP struct{ server netip.AddrPort }
)

func (p pcp) add(ctx context.Context, r request) (a answer, err error) {
	err = ask(ctx, p.server, func(client netip.Addr) []byte { r.Client = client; return appendPCP(nil, r) },
		func(b []byte) (err error) { a, err = parsePCP(b, r); return err })
	return a, err
}

func (p pcp) remove(ctx context.Context, r request) {
	r.Lifetime = 0
	r.External, r.Suggested = 0, netip.Addr{}
	p.add(ctx, r) // it ends with its lifetime, too
}

func (p natPMP) add(ctx context.Context, r request) (a answer, err error) {
	err = ask(ctx, p.server, func(netip.Addr) []byte { return appendNATPMP(nil, r) },
		func(b []byte) (err error) { a, err = parseNATPMP(b, r); return err })
	if err != nil {
		return a, err
	}
	var ip netip.Addr
	if ask(ctx, p.server, func(netip.Addr) []byte { return natAddress[:] },
		func(b []byte) (err error) { ip, err = parseNATAddress(b); return err }) == nil {
		a.External = netip.AddrPortFrom(ip, a.External.Port())
	}
	return a, nil
}

func (p natPMP) remove(ctx context.Context, r request) {
	r.Lifetime, r.External = 0, 0
	p.add(ctx, r)
}

// ask sends a question until it is answered: after a quarter of a second, a half, and one. Only
// the router is heard. An answer to something else is passed over.
func ask(ctx context.Context, server netip.AddrPort, question func(client netip.Addr) []byte, take func(b []byte) error) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", server.String())
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	q := question(c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
	b := make([]byte, 1100) // RFC 6887, 7: no message is longer
	for wait := 250 * time.Millisecond; wait <= time.Second; wait *= 2 {
		if _, err := c.Write(q); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(wait))
		for ctx.Err() == nil {
			n, err := c.Read(b)
			if err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					break
				}
				return err // such as: nobody listens there
			}
			if err := take(b[:n]); err != errForeign {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("no answer from %s", server)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
