package announce

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Event is why an announce is made (BEP 3), with the numbers of BEP 15.
type Event uint32

// The events.
const (
	None Event = iota
	Completed
	Started
	Stopped
	Paused // a partial seed (BEP 21); BEP 15 has no number for it, libtorrent sends this one
)

func (e Event) String() string {
	return [...]string{"", "completed", "started", "stopped", "paused"}[min(e, Paused)]
}

// Request is one announce of one info hash.
type Request struct {
	InfoHash, PeerID           [20]byte
	Port                       int
	Uploaded, Downloaded, Left int64 // Left < 0: not known
	Event                      Event
	NumWant                    int
	Key                        uint32
	Site, TrackerID, UserAgent string
}

// Reply is a tracker's answer.
type Reply struct {
	Interval, MinInterval time.Duration
	Seeders, Leechers     int
	Peers                 []Peer
	TrackerID, Warning    string
	RetryIn               time.Duration // with an error: not before (BEP 31)
}

// Bounds on what a tracker may answer.
const (
	maxReply = 1 << 20
	maxPeers = 1000
)

// supported says whether we can speak to a tracker of this URL's scheme.
func supported(raw string) bool {
	return strings.HasPrefix(raw, "http://") || strings.HasPrefix(raw, "https://") || strings.HasPrefix(raw, "udp://")
}

// answerError says that a tracker did answer, but did not serve us.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

func badAnswer(format string, args ...any) error {
	return &answerError{fmt.Sprintf(format, args...)}
}

// client speaks to trackers.
type client struct {
	http *http.Client
	udp  *sockets
}

// Once makes one announce. A refusal by the tracker is an error with its words. A nil client is
// one with sane bounds.
func Once(ctx context.Context, c *http.Client, raw string, r Request) (Reply, error) {
	one, end := single(c)
	defer end()
	return one.announce(ctx, raw, r)
}

// single is a client for one request, to be ended after it.
func single(c *http.Client) (one client, end func()) {
	one = client{http: c, udp: new(sockets)}
	if c != nil {
		return one, one.udp.close
	}
	one.http = newClient()
	return one, func() { one.udp.close(); one.http.CloseIdleConnections() }
}

func (c client) announce(ctx context.Context, raw string, r Request) (Reply, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Reply{}, err
	}
	if r.Left < 0 {
		r.Left = 16 << 10 // anything but a seed; what libtorrent says
	}
	switch u.Scheme {
	case "http", "https":
		return r.overHTTP(ctx, c.http, u)
	case "udp":
		return r.overUDP(ctx, c.udp, u)
	}
	return Reply{}, fmt.Errorf("tracker scheme %q", u.Scheme)
}

// addCompact adds peers in the form of BEP 23 (size 6) or BEP 7 (size 18).
func (r *Reply) addCompact(b []byte, size int) error {
	if len(b)%size != 0 {
		return badAnswer("compact peers of an odd length")
	}
	for ; len(b) > 0 && len(r.Peers) < maxPeers; b = b[size:] {
		a, _ := netip.AddrFromSlice(b[:size-2])
		r.add(netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[size-2:])), [20]byte{})
	}
	return nil
}

// add keeps a peer that can be dialled.
func (r *Reply) add(a netip.AddrPort, id [20]byte) {
	if a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast() && len(r.Peers) < maxPeers {
		r.Peers = append(r.Peers, Peer{a, id})
	}
}

// seconds reads a time that a tracker gives; out of range is none.
func seconds(n int64) time.Duration {
	if n < 0 || n > 7*24*3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
