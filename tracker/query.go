package tracker

import (
	"math"
	"strings"
)

// Bounds on what a query may hold.
const (
	maxQuery        = 4 << 10  // bytes of an announce's; real ones have some 400
	maxScrapeQuery  = 16 << 10 // bytes of a scrape's
	maxScrapeHashes = 100
	maxSite         = 64 // bytes of a site's name
	maxToken        = 64 // bytes of a token
)

// parseAnnounce reads the query of an announce into r, all but the source address. net/url would make a map and a string per key; this
// allocates nothing, and reads info hashes as what they are, bytes.
func parseAnnounce(query string, r *request) (dictionary, withoutIDs bool, err error) {
	if len(query) > maxQuery {
		return false, false, failure("query too long")
	}
	*r = request{want: -1, left: true, families: true, idle: true}
	var haveHash, haveID, havePort bool
	for query != "" {
		var key, value string
		key, value, query = nextPair(query)
		switch key {
		case "info_hash":
			if n := unescape(r.hash[:], value); n != len(r.hash) {
				return false, false, failure("info_hash is not 20 bytes")
			}
			haveHash = true
		case "peer_id":
			if n := unescape(r.id[:], value); n != len(r.id) {
				return false, false, failure("peer_id is not 20 bytes")
			}
			haveID = true
		case "port":
			n, ok := parseUint(value)
			if !ok || n > math.MaxUint16 {
				return false, false, failure("port is not a port")
			}
			r.port, havePort = uint16(n), true
		case "left":
			n, ok := parseUint(value)
			r.left = !ok || n != 0
		case "downloaded", "uploaded":
			if n, ok := parseUint(value); ok && n > 0 {
				r.idle = false
			}
		case "event":
			r.event = eventNamed(value)
		case "numwant":
			if n, ok := parseUint(value); ok {
				r.want = int(min(n, 1<<20))
			}
		case "compact":
			dictionary = value == "0"
		case "no_peer_id":
			withoutIDs = value == "1"
		case "site":
			r.site = parseSite(value)
		}
	}
	switch {
	case !haveHash:
		return false, false, failure("info_hash is missing")
	case !haveID:
		return false, false, failure("peer_id is missing")
	case !havePort:
		return false, false, failure("port is missing")
	}
	return dictionary, withoutIDs, nil
}

// parseScrape appends the info hashes of a scrape's query to hashes.
func parseScrape(query string, hashes [][20]byte) ([][20]byte, error) {
	if len(query) > maxScrapeQuery {
		return nil, failure("query too long")
	}
	for query != "" {
		var key, value string
		key, value, query = nextPair(query)
		if key != "info_hash" {
			continue
		}
		var h [20]byte
		if n := unescape(h[:], value); n != len(h) {
			return nil, failure("info_hash is not 20 bytes")
		}
		if len(hashes) == maxScrapeHashes {
			return nil, failure("too many info hashes")
		}
		hashes = append(hashes, h)
	}
	if len(hashes) == 0 {
		return nil, failure("info_hash is missing: this tracker does not list all swarms")
	}
	return hashes, nil
}

func eventNamed(s string) event {
	switch s {
	case "started":
		return eventStarted
	case "completed":
		return eventCompleted
	case "stopped":
		return eventStopped
	case "paused":
		return eventPaused
	default:
		return eventNone
	}
}

// parseSite returns the number of an escaped site name, 0 for one that is empty, too long or not well escaped.
func parseSite(value string) uint32 {
	var name [maxSite]byte
	n := unescape(name[:], value)
	if n < 0 {
		return 0
	}
	return siteOf(name[:n])
}

// nextPair cuts the first key=value off a query.
func nextPair(query string) (key, value, rest string) {
	if i := strings.IndexByte(query, '&'); i >= 0 {
		query, rest = query[:i], query[i+1:]
	}
	if i := strings.IndexByte(query, '='); i >= 0 {
		return query[:i], query[i+1:], rest
	}
	return query, "", rest
}

// unescape decodes a query value into dst and returns its length, or -1 if it is malformed or does not fit.
func unescape(dst []byte, s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if n == len(dst) {
			return -1
		}
		c := s[i]
		switch c {
		case '%':
			if i+2 >= len(s) {
				return -1
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return -1
			}
			c = hi<<4 | lo
			i += 2
		case '+':
			c = ' '
		}
		dst[n] = c
		n++
	}
	return n
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 0xff
	}
}

// parseUint reads a decimal number; one above 2^63 is not ok.
func parseUint(s string) (uint64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, n <= math.MaxInt64
}
