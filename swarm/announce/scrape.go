package announce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/anacrolix/torrent/bencode"
)

// Counts are how many peers a tracker knows of a swarm (BEP 48).
type Counts struct {
	Seeders, Leechers int
	Downloaded        int // how many have completed, ever
}

// maxScrape is how many swarms one scrape may ask for: what fits a datagram (BEP 15).
const maxScrape = 74

// Scrape asks a tracker, by its announce URL, how large swarms are. Those that it does not know are
// not in the answer over HTTP, and zero over UDP. A nil client is one with sane bounds.
func Scrape(ctx context.Context, c *http.Client, raw string, hashes ...[20]byte) (map[[20]byte]Counts, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	if len(hashes) == 0 || len(hashes) > maxScrape {
		return nil, fmt.Errorf("scraping %d swarms at once: want 1 to %d", len(hashes), maxScrape)
	}
	one, end := single(c)
	defer end()
	switch u.Scheme {
	case "http", "https":
		return scrapeHTTP(ctx, one.http, u, hashes)
	case "udp":
		return scrapeUDP(ctx, one.udp, u, hashes)
	}
	return nil, fmt.Errorf("tracker scheme %q", u.Scheme)
}

func scrapeHTTP(ctx context.Context, c *http.Client, u *url.URL, hashes [][20]byte) (map[[20]byte]Counts, error) {
	i := strings.LastIndex(u.Path, "announce")
	if i < 0 {
		return nil, errors.New("no scrape URL follows from the announce URL")
	}
	at := *u
	at.Path, at.RawPath = u.Path[:i]+"scrape"+u.Path[i+len("announce"):], ""
	var q strings.Builder
	q.WriteString(u.RawQuery)
	for _, h := range hashes {
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString("info_hash=" + escape(h[:]))
	}
	body, err := fetch(ctx, c, &at, q.String(), "Shoal")
	if err != nil {
		return nil, err
	}
	return parseScrape(body, hashes)
}

// parseScrape reads what a scrape over HTTP says of the hashes that were asked for.
func parseScrape(body []byte, hashes [][20]byte) (map[[20]byte]Counts, error) {
	var answer struct {
		Failure string                   `bencode:"failure reason"`
		Files   map[string]bencode.Bytes `bencode:"files"`
	}
	if err := bencode.Unmarshal(body, &answer); err != nil {
		return nil, badAnswer("the answer is not bencoded")
	}
	if answer.Failure != "" {
		return nil, badAnswer("refuses: %q", answer.Failure[:min(len(answer.Failure), 300)])
	}
	out := make(map[[20]byte]Counts)
	for _, h := range hashes {
		var n struct {
			Complete   int64 `bencode:"complete"`
			Incomplete int64 `bencode:"incomplete"`
			Downloaded int64 `bencode:"downloaded"`
		}
		if b, ok := answer.Files[string(h[:])]; ok && bencode.Unmarshal(b, &n) == nil {
			out[h] = Counts{int(max(n.Complete, 0)), int(max(n.Incomplete, 0)), int(max(n.Downloaded, 0))}
		}
	}
	return out, nil
}

func scrapeUDP(ctx context.Context, pool *sockets, u *url.URL, hashes [][20]byte) (map[[20]byte]Counts, error) {
	var body []byte
	for _, h := range hashes {
		body = append(body, h[:]...)
	}
	out := make(map[[20]byte]Counts)
	err := pool.request(ctx, u, actionScrape, body, func(b []byte, _ int) error {
		b = b[8:]
		if len(b) < 12*len(hashes) {
			return badAnswer("a short answer to scrape")
		}
		for i, h := range hashes {
			n := b[12*i:]
			out[h] = Counts{int(binary.BigEndian.Uint32(n)), int(binary.BigEndian.Uint32(n[8:])), int(binary.BigEndian.Uint32(n[4:]))}
		}
		return nil
	})
	return out, err
}
