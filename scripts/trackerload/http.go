//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// browser is one client over HTTP that announces again and again.
type browser struct {
	t      *target
	dialer net.Dialer
	keep   bool
	c      net.Conn // nil: none
	out    []byte
	in     []byte
	result result
}

// http measures announces over HTTP by so many clients, with a new connection each or one that is kept.
func (t *target) http(ctx context.Context, length time.Duration, clients int, keep bool, perSecond float64) (result, error) {
	r := result{}
	var all []*browser
	cpu, begin := t.cpu(), time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range clients {
		x := &browser{t: t, keep: keep, in: make([]byte, 0, 8<<10)}
		x.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source(i), 0))
		x.dialer.KeepAlive = -1
		all = append(all, x)
		g.Go(func() error {
			defer x.close()
			every := time.Duration(0)
			if perSecond > 0 {
				every = time.Duration(float64(clients) / perSecond * float64(time.Second))
			}
			next := begin.Add(time.Duration(rand.Int64N(int64(every) + 1)))
			for ctx.Err() == nil && time.Since(begin) < length {
				if every > 0 {
					time.Sleep(time.Until(next))
					next = next.Add(every)
				}
				if err := x.announce(ctx, rand.IntN(t.peers)); err != nil {
					x.result.lost++
					x.close()
				}
			}
			return nil
		})
	}
	err := g.Wait()
	r.took, r.cpu = time.Since(begin), t.cpu()-cpu
	for _, x := range all {
		r.add(&x.result)
	}
	if err == nil && r.lost > r.answers/100 {
		err = fmt.Errorf("%s: %d of %d announces failed", t.name, r.lost, r.answers+r.lost)
	}
	return r, err
}

func (x *browser) close() {
	if x.c != nil {
		x.c.Close()
		x.c = nil
	}
}

func (x *browser) announce(ctx context.Context, p int) error {
	begin := time.Now()
	if x.c == nil {
		var err error
		if x.c, err = x.dialer.DialContext(ctx, "tcp4", x.t.addr.String()); err != nil {
			return err
		}
	}
	if _, err := x.c.Write(x.request(p)); err != nil {
		return err
	}
	body, err := x.answer()
	if err != nil {
		return err
	}
	if !x.keep {
		x.close()
	}
	x.result.times.count(time.Since(begin))
	i := bytes.Index(body, []byte("5:peers"))
	if i < 0 {
		x.result.bad++
		return nil
	}
	n, _ := strconv.Atoi(string(body[i+7 : i+7+bytes.IndexByte(body[i+7:], ':')]))
	x.result.answers++
	x.result.peers += n / 6
	return nil
}

// request is what libtorrent sends.
func (x *browser) request(p int) []byte {
	hash, port, left := x.t.who(p)
	b := append(x.out[:0], "GET /announce?info_hash="...)
	for _, c := range hash {
		b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
	}
	b = fmt.Appendf(b, "&peer_id=-XX0000-%012d&port=%d&uploaded=0&downloaded=0&left=%d&corrupt=0&key=6A8B5C23&numwant=50&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 HTTP/1.1\r\n"+
		"Host: %s\r\nUser-Agent: libtorrent/2.0.8.0\r\nAccept-Encoding: gzip\r\nConnection: ", p, port, left, x.t.addr)
	if x.keep {
		b = append(b, "keep-alive\r\n\r\n"...)
	} else {
		b = append(b, "close\r\n\r\n"...)
	}
	x.out = b
	return b
}

// answer reads an answer and returns its body.
func (x *browser) answer() ([]byte, error) {
	x.c.SetReadDeadline(time.Now().Add(5 * time.Second))
	in := x.in[:0]
	for {
		n, err := x.c.Read(in[len(in):cap(in)])
		in = in[:len(in)+n]
		if head := bytes.Index(in, []byte("\r\n\r\n")); head >= 0 {
			i := bytes.Index(in[:head], []byte("Content-Length: "))
			if i < 0 {
				return nil, errors.New("an answer without Content-Length")
			}
			length := in[i+16 : head]
			if j := bytes.IndexByte(length, '\r'); j >= 0 {
				length = length[:j]
			}
			size, _ := strconv.Atoi(string(length))
			if body := in[head+4:]; len(body) >= size {
				return body[:size], nil
			}
		}
		switch {
		case len(in) == cap(in):
			return nil, errors.New("an answer that is too long")
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
	}
}
