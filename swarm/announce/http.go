package announce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anacrolix/torrent/bencode"
)

// newClient is an HTTP client for trackers: bounded in time, headers and connections.
func newClient() *http.Client {
	return &http.Client{
		Timeout: announceTime,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 8 * time.Second}).DialContext,
			TLSHandshakeTimeout: 8 * time.Second, MaxResponseHeaderBytes: 32 << 10,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second,
		},
	}
}

// overHTTP announces by BEP 3, 7 and 23.
func (r Request) overHTTP(ctx context.Context, c *http.Client, u *url.URL) (Reply, error) {
	var q strings.Builder
	q.WriteString(u.RawQuery)
	add := func(key, value string) {
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString(key + "=" + value)
	}
	add("info_hash", escape(r.InfoHash[:]))
	add("peer_id", escape(r.PeerID[:]))
	add("port", strconv.Itoa(r.Port))
	add("uploaded", strconv.FormatInt(r.Uploaded, 10))
	add("downloaded", strconv.FormatInt(r.Downloaded, 10))
	add("left", strconv.FormatInt(r.Left, 10))
	add("compact", "1")
	add("numwant", strconv.Itoa(r.NumWant))
	add("key", fmt.Sprintf("%08X", r.Key))
	if r.Event != None {
		add("event", r.Event.String())
	}
	if r.TrackerID != "" {
		add("trackerid", url.QueryEscape(r.TrackerID))
	}
	if r.Site != "" {
		add("site", url.QueryEscape(r.Site))
	}
	body, err := fetch(ctx, c, u, q.String(), r.UserAgent)
	if err != nil {
		return Reply{}, err
	}
	return parseHTTP(body)
}

// fetch gets a tracker's answer to a query, which takes the place of the URL's own.
func fetch(ctx context.Context, c *http.Client, u *url.URL, query, userAgent string) ([]byte, error) {
	to := *u
	to.RawQuery, to.Fragment = query, ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.Do(req)
	if err != nil {
		var op *url.Error
		if errors.As(err, &op) { // its text has the whole query in it
			err = op.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxReply:
		return nil, badAnswer("answer is too long")
	case resp.StatusCode != http.StatusOK && !bytes.HasPrefix(body, []byte("d")):
		return nil, badAnswer("answers %s", resp.Status)
	}
	return body, nil
}

// escape writes bytes as a URL query has them.
func escape(b []byte) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, 3*len(b))
	for _, c := range b {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

// parseHTTP reads the bencoded answer. A failure reason is an error (BEP 3, 31).
func parseHTTP(b []byte) (rep Reply, err error) {
	var d map[string]bencode.Bytes
	if err := bencode.Unmarshal(b, &d); err != nil {
		if _, trailing := err.(bencode.ErrUnusedTrailingBytes); !trailing {
			return rep, badAnswer("the answer is not bencoded")
		}
	}
	text := func(key string) (s string) {
		if bencode.Unmarshal(d[key], &s) != nil {
			return ""
		}
		return s[:min(len(s), 300)]
	}
	number := func(key string) (n int64) {
		if bencode.Unmarshal(d[key], &n) != nil {
			return 0
		}
		return n
	}
	rep.Interval, rep.MinInterval = seconds(number("interval")), seconds(number("min interval"))
	rep.Seeders, rep.Leechers = int(max(0, number("complete"))), int(max(0, number("incomplete")))
	rep.TrackerID, rep.Warning = text("tracker id"), text("warning message")
	if reason := text("failure reason"); reason != "" {
		rep.RetryIn = retryIn(number("retry in"), text("retry in"))
		return rep, badAnswer("refuses: %q", reason)
	}
	var compact string
	var dicts []bencode.Bytes
	switch {
	case len(d["peers"]) == 0:
	case bencode.Unmarshal(d["peers"], &compact) == nil:
		err = rep.addCompact([]byte(compact), 6)
	case bencode.Unmarshal(d["peers"], &dicts) == nil:
		for _, x := range dicts {
			rep.addDict(x)
		}
	default:
		err = badAnswer("peers are neither a list nor compact")
	}
	if v, ok := d["peers6"]; ok && err == nil && bencode.Unmarshal(v, &compact) == nil {
		err = rep.addCompact([]byte(compact), 18)
	}
	return rep, err
}

// retryIn reads BEP 31's minutes, a number or a string of one, or "never", which is a day here: a
// tracker that was wrong about it can be found again.
func retryIn(minutes int64, text string) time.Duration {
	const never = 24 * time.Hour
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		minutes = n
	}
	if text == "never" {
		return never
	}
	return time.Duration(min(max(minutes, 0), int64(never/time.Minute))) * time.Minute
}

func (r *Reply) addDict(b bencode.Bytes) {
	var p struct {
		ID   string `bencode:"peer id"`
		IP   string `bencode:"ip"`
		Port int    `bencode:"port"`
	}
	if bencode.Unmarshal(b, &p) != nil || p.Port < 1 || p.Port > 65535 {
		return
	}
	a, err := netip.ParseAddr(p.IP)
	if err != nil {
		return
	}
	var id [20]byte
	if len(p.ID) == 20 {
		copy(id[:], p.ID)
	}
	r.add(netip.AddrPortFrom(a.Unmap(), uint16(p.Port)), id)
}
