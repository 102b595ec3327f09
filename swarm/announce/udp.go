package announce

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// The actions of BEP 15.
const (
	actionConnect  = 0
	actionAnnounce = 1
	actionScrape   = 2
	actionError    = 3
	connectMagic   = 0x41727101980
)

// overUDP announces by BEP 15, with the URL's path as BEP 41 has it.
func (r Request) overUDP(ctx context.Context, pool *sockets, u *url.URL) (rep Reply, err error) {
	body := r.udpBody(u)
	err = pool.request(ctx, u, actionAnnounce, body, func(b []byte, peer int) error {
		rep, err = parseUDP(b, peer)
		return err
	})
	return rep, err
}

// udpBody is what follows the transaction id of an announce.
func (r Request) udpBody(u *url.URL) []byte {
	m := append(append([]byte(nil), r.InfoHash[:]...), r.PeerID[:]...)
	for _, n := range []int64{r.Downloaded, r.Left, r.Uploaded} {
		m = binary.BigEndian.AppendUint64(m, uint64(n))
	}
	m = binary.BigEndian.AppendUint32(m, uint32(r.Event))
	m = binary.BigEndian.AppendUint32(m, 0) // our address: as the tracker sees it
	m = binary.BigEndian.AppendUint32(m, r.Key)
	m = binary.BigEndian.AppendUint32(m, uint32(r.NumWant))
	m = binary.BigEndian.AppendUint16(m, uint16(r.Port))
	path := u.RequestURI()
	if r.Site != "" {
		sep := "?"
		if u.RawQuery != "" {
			sep = "&"
		}
		path += sep + "site=" + url.QueryEscape(r.Site)
	}
	for len(path) > 0 && path != "/" { // BEP 41: in runs of up to 255
		n := min(len(path), 255)
		m = append(m, 2, byte(n))
		m = append(m, path[:n]...)
		path = path[n:]
	}
	return m
}

// request asks a tracker and hands its answer to parse, with the size of a peer in it. A socket
// that was used before may lead nowhere by now, or hold an id that the tracker has forgotten: then
// a new one is tried.
func (p *sockets) request(ctx context.Context, u *url.URL, action uint32, body []byte, parse func(b []byte, peer int) error) error {
	if u.Port() == "" {
		return errors.New("a udp tracker needs a port")
	}
	if s := p.take(u.Host); s != nil {
		b, err := s.ask(ctx, action, body, 1)
		if err == nil {
			defer p.put(u.Host, s)
			return parse(b, s.peerSize)
		}
		s.conn.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	addrs, err := resolve(ctx, u)
	if err != nil {
		return err
	}
	tries := 4
	if len(addrs) > 1 { // leave time for the next
		tries = 2
	}
	for _, addr := range addrs {
		var s *socket
		if s, err = open15(ctx, addr, tries); err != nil {
			continue
		}
		var b []byte
		if b, err = s.ask(ctx, action, body, tries); err != nil {
			s.conn.Close()
			continue
		}
		defer p.put(u.Host, s)
		return parse(b, s.peerSize)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// resolve finds a tracker's addresses, the likeliest first. A name may have both families while
// the tracker serves one.
func resolve(ctx context.Context, u *url.URL) ([]netip.AddrPort, error) {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return nil, err
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		ips = append(ips, ip)
	} else if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips[:min(len(ips), 4)] {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}

// socket is connected to a tracker, in both senses: the system drops what others send to it and
// reports a closed port, and the tracker has given it a connection id.
type socket struct {
	conn     net.Conn
	id       [8]byte
	since    time.Time // the id's
	peerSize int       // of a peer in an answer: 6 over IPv4, 18 over IPv6
	buf      []byte
}

// open15 connects by BEP 15.
func open15(ctx context.Context, addr netip.AddrPort, tries int) (*socket, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", addr.String())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: c, peerSize: 6, buf: make([]byte, 32<<10)}
	if addr.Addr().Is6() {
		s.peerSize = 18
	}
	binary.BigEndian.PutUint64(s.id[:], connectMagic)
	b, err := s.ask(ctx, actionConnect, nil, tries)
	if err == nil && len(b) < 16 {
		err = badAnswer("a short answer to connect")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	copy(s.id[:], b[8:])
	s.since = time.Now()
	return s, nil
}

// ask sends a request up to so many times, after 1, 2 and 4 s, and waits for its answer: shorter
// than the 15 s × 2ⁿ of BEP 15, since a release waits for it. The answer is good until the next.
func (s *socket) ask(ctx context.Context, action uint32, body []byte, tries int) ([]byte, error) {
	var transaction [4]byte
	rand.Read(transaction[:])
	m := binary.BigEndian.AppendUint32(append([]byte(nil), s.id[:]...), action)
	m = append(append(m, transaction[:]...), body...)
	stop := context.AfterFunc(ctx, func() { s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for wait := time.Second; tries > 0; tries, wait = tries-1, 2*wait {
		if _, err := s.conn.Write(m); err != nil {
			return nil, err
		}
		s.conn.SetReadDeadline(time.Now().Add(wait))
		for ctx.Err() == nil {
			n, err := s.conn.Read(s.buf)
			if err != nil {
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					break
				}
				return nil, err
			}
			b := s.buf[:n]
			if n < 8 || [4]byte(b[4:8]) != transaction {
				continue // an answer to an earlier request
			}
			switch binary.BigEndian.Uint32(b) {
			case action:
				return b, nil
			case actionError:
				return nil, badAnswer("refuses: %q", b[8:min(n, 300)])
			}
			return nil, badAnswer("an answer to something else")
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, errors.New("no answer")
}

// parseUDP reads an announce's answer; size is that of a peer in it.
func parseUDP(b []byte, size int) (rep Reply, err error) {
	if len(b) < 20 || binary.BigEndian.Uint32(b) != actionAnnounce {
		return rep, badAnswer("a short answer to announce")
	}
	rep.Interval = seconds(int64(binary.BigEndian.Uint32(b[8:])))
	rep.Leechers, rep.Seeders = int(binary.BigEndian.Uint32(b[12:])), int(binary.BigEndian.Uint32(b[16:]))
	b = b[20:]
	return rep, rep.addCompact(b[:len(b)/size*size], size)
}
