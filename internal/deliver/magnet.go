package deliver

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/release"
)

// Magnet is a parsed magnet link: BEP 9 (xt, dn, tr, x.pe), BEP 52 (btmh), BEP 53 (so), and the
// widespread ws (web seed), xl (length) and xs (where the .torrent lies). At least one hash is there.
type Magnet struct {
	V1           [20]byte // SHA-1 info hash, valid if HasV1
	V2           [32]byte // SHA-256 info hash, valid if HasV2
	HasV1, HasV2 bool
	Name         string      // a suggestion by whoever wrote the link: unverified
	Length       int64       // as the link claims; 0 if it does not say
	Trackers     []string    // announce URLs, unchecked beyond having a scheme and a host
	WebSeeds     []string    // http(s) URLs, BEP 19
	MetainfoURLs []string    // http(s) URLs of the .torrent
	Peers        []string    // HOST:PORT, a literal IPv6 address in brackets
	Files        []FileRange // so=: the files to fetch, sorted and apart; empty means all
	Notices      []string    // what of the link was ignored, and why; a few at most

	// ItemKey and ItemSalt name a mutable item of the DHT (BEP 46: xs=urn:btpk:, s=) in place of a hash; HasItem says so.
	ItemKey  [32]byte
	ItemSalt []byte
	HasItem  bool
}

// FileRange is a run of file indices, both ends included, as BEP 53 counts them.
type FileRange struct{ First, Last int }

// Bounds for a link from a stranger. Real ones have a few dozen trackers and are below 8 KiB.
const (
	maxMagnetBytes  = 64 << 10
	maxMagnetParams = 1000
	maxMagnetURLs   = 200 // of each kind; what is beyond is ignored
	maxMagnetPeers  = 200
	maxNotices      = 5
	maxFileIndex    = 1 << 24
	maxFileRanges   = 10_000
)

// ParseMagnet parses a magnet link. Hashes and file selection must be well-formed. Trackers and web
// seeds that are no URL, and peers that are no address, are dropped: one bad one in a list of twenty must not make a link useless.
func ParseMagnet(link string) (*Magnet, error) {
	if len(link) > maxMagnetBytes {
		return nil, fmt.Errorf("magnet link of %d bytes: at most %d are read", len(link), maxMagnetBytes)
	}
	if !isMagnet(link) {
		return nil, errors.New(`a magnet link begins with "magnet:?"`)
	}
	query, ok := strings.CutPrefix(link[len(magnetScheme):], "?")
	if !ok {
		return nil, errors.New(`a magnet link begins with "magnet:?"`)
	}
	if strings.Count(query, "&") >= maxMagnetParams {
		return nil, fmt.Errorf("magnet link with more than %d parameters", maxMagnetParams)
	}
	m := &Magnet{}
	var unknownTopic string
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("magnet parameter %s: %w", key, err)
		}
		// The magnet scheme numbers repeated parameters: xt.1, tr.2.
		if base, number, ok := strings.Cut(key, "."); ok && key != "x.pe" && isDigits(number) {
			key = base
		}
		switch key {
		case "xt":
			var known bool
			if known, err = m.addTopic(value); !known {
				unknownTopic = value
			}
		case "dn":
			if m.Name == "" {
				m.Name = value
			}
		case "xl":
			// A wrong length harms nobody: it is only shown.
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
				m.Length = n
			}
		case "tr":
			m.Trackers = appendURL(m.Trackers, value, "")
		case "ws", "as":
			m.WebSeeds = appendURL(m.WebSeeds, value, "http")
		case "xs":
			if key, ok := cutPrefixFold(value, "urn:btpk:"); ok {
				err = m.addItemKey(key)
				break
			}
			m.MetainfoURLs = appendURL(m.MetainfoURLs, value, "http")
		case "s":
			if m.ItemSalt, err = hex.DecodeString(value); len(m.ItemSalt) == 0 {
				m.ItemSalt = nil
			}
			if err != nil || len(m.ItemSalt) > maxItemSalt {
				return nil, fmt.Errorf("salt %.80q is not up to %d bytes in hex", value, maxItemSalt)
			}
		case "x.pe":
			if bad := m.addPeer(value); bad != nil && len(m.Notices) < maxNotices {
				m.Notices = append(m.Notices, bad.Error()+": ignored")
			}
		case "so":
			err = m.addFiles(value)
		}
		if err != nil {
			return nil, err
		}
	}
	if !m.HasV1 && !m.HasV2 && !m.HasItem {
		if unknownTopic != "" {
			return nil, fmt.Errorf("magnet link for %q: only xt=urn:btih: and xt=urn:btmh: are fetched", unknownTopic)
		}
		return nil, errors.New("magnet link without an info hash (xt=urn:btih:… or xt=urn:btmh:…)")
	}
	m.Files = mergeRanges(m.Files)
	return m, nil
}

// maxItemSalt is BEP 44's.
const maxItemSalt = 64

// addItemKey reads the key of a mutable item: 64 hex digits (BEP 46).
func (m *Magnet) addItemKey(s string) error {
	if len(s) != 2*len(m.ItemKey) {
		return fmt.Errorf("btpk key of %d digits: expected %d", len(s), 2*len(m.ItemKey))
	}
	if _, err := hex.Decode(m.ItemKey[:], []byte(s)); err != nil {
		return fmt.Errorf("btpk key %q is not hex", s)
	}
	if m.HasItem {
		return errors.New("magnet link with two btpk keys")
	}
	m.HasItem = true
	return nil
}

const magnetScheme = "magnet:"

func isMagnet(s string) bool {
	return len(s) >= len(magnetScheme) && strings.EqualFold(s[:len(magnetScheme)], magnetScheme)
}

// addTopic reads one xt. Other topics than BitTorrent's are not an error: links carry several.
func (m *Magnet) addTopic(topic string) (known bool, err error) {
	if hash, ok := cutPrefixFold(topic, "urn:btih:"); ok {
		v1, err := parseBTIH(hash)
		if err != nil {
			return true, err
		}
		if m.HasV1 && m.V1 != v1 {
			return true, errors.New("magnet link with two different btih hashes")
		}
		m.V1, m.HasV1 = v1, true
		return true, nil
	}
	if hash, ok := cutPrefixFold(topic, "urn:btmh:"); ok {
		v2, err := parseBTMH(hash)
		if err != nil {
			return true, err
		}
		if m.HasV2 && m.V2 != v2 {
			return true, errors.New("magnet link with two different btmh hashes")
		}
		m.V2, m.HasV2 = v2, true
		return true, nil
	}
	return false, nil
}

// parseBTIH reads a SHA-1 info hash: 40 hex digits, or 32 digits of base32 as old clients wrote them (BEP 9).
func parseBTIH(s string) (hash [20]byte, err error) {
	switch len(s) {
	case 40:
		_, err = hex.Decode(hash[:], []byte(s))
	case 32:
		_, err = base32.StdEncoding.Decode(hash[:], []byte(strings.ToUpper(s)))
	default:
		return hash, fmt.Errorf("btih hash of %d digits: expected 40 (hex) or 32 (base32)", len(s))
	}
	if err != nil {
		return hash, fmt.Errorf("btih hash %q is neither hex nor base32", s)
	}
	return hash, nil
}

// parseBTMH reads a SHA-256 info hash: a multihash in hex, of which only 12 (sha2-256) 20 (32 bytes) is defined (BEP 52).
func parseBTMH(s string) (hash [32]byte, err error) {
	digest, ok := strings.CutPrefix(s, "1220")
	if !ok || len(digest) != 64 {
		return hash, errors.New("btmh hash: expected 1220 and 64 hex digits (a SHA-256 multihash)")
	}
	if _, err := hex.Decode(hash[:], []byte(digest)); err != nil {
		return hash, fmt.Errorf("btmh hash %q is not hex", s)
	}
	return hash, nil
}

// addPeer reads one x.pe: hostname:port, ipv4:port or [ipv6]:port (BEP 9).
func (m *Magnet) addPeer(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || len(host) > 255 {
		return fmt.Errorf("magnet peer %q: expected HOST:PORT", value)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return fmt.Errorf("magnet peer %q: port must be 1…65535", value)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	} else if strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._", r))
	}) {
		return fmt.Errorf("magnet peer %q: not a host name or address", value)
	}
	peer := net.JoinHostPort(host, strconv.FormatUint(number, 10))
	if len(m.Peers) < maxMagnetPeers && !slices.Contains(m.Peers, peer) {
		m.Peers = append(m.Peers, peer)
	}
	return nil
}

// addFiles reads one so: comma-separated indices and ranges, such as 0,2,4,6-8 (BEP 53).
func (m *Magnet) addFiles(value string) error {
	for item := range strings.SplitSeq(value, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		lo, err1 := parseFileIndex(first)
		hi, err2 := parseFileIndex(last)
		if err1 != nil || err2 != nil || lo > hi {
			return fmt.Errorf("magnet file selection so=%q: expected indices and ranges such as 0,2,4-7", value)
		}
		if len(m.Files) == maxFileRanges {
			return fmt.Errorf("magnet file selection with more than %d ranges", maxFileRanges)
		}
		m.Files = append(m.Files, FileRange{lo, hi})
	}
	return nil
}

func parseFileIndex(s string) (int, error) {
	if !isDigits(s) {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.Atoi(s)
	if err == nil && n > maxFileIndex {
		err = strconv.ErrRange
	}
	return n, err
}

func mergeRanges(ranges []FileRange) []FileRange {
	slices.SortFunc(ranges, func(a, b FileRange) int { return a.First - b.First })
	var merged []FileRange
	for _, r := range ranges {
		if n := len(merged); n > 0 && r.First <= merged[n-1].Last+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// Wants says whether the link asks for the file at this index. A link without so= asks for all.
func (m *Magnet) Wants(file int) bool {
	if len(m.Files) == 0 {
		return true
	}
	i, exact := slices.BinarySearchFunc(m.Files, file, func(r FileRange, f int) int { return r.First - f })
	return exact || i > 0 && file <= m.Files[i-1].Last
}

// String writes the link so that ParseMagnet reads back an equal Magnet. The hashes come first and
// unescaped: older clients look for them there.
func (m *Magnet) String() string {
	var b strings.Builder
	separator := magnetScheme + "?"
	add := func(key, value string) {
		b.WriteString(separator)
		b.WriteString(key + "=" + value)
		separator = "&"
	}
	if m.HasV1 {
		add("xt", "urn:btih:"+hex.EncodeToString(m.V1[:]))
	}
	if m.HasV2 {
		add("xt", "urn:btmh:1220"+hex.EncodeToString(m.V2[:]))
	}
	if m.HasItem {
		add("xs", "urn:btpk:"+hex.EncodeToString(m.ItemKey[:]))
	}
	if len(m.ItemSalt) > 0 {
		add("s", hex.EncodeToString(m.ItemSalt))
	}
	if m.Name != "" {
		add("dn", url.QueryEscape(m.Name))
	}
	if m.Length > 0 {
		add("xl", strconv.FormatInt(m.Length, 10))
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"tr", m.Trackers}, {"ws", m.WebSeeds}, {"xs", m.MetainfoURLs}, {"x.pe", m.Peers}} {
		for _, value := range list.values {
			add(list.key, url.QueryEscape(value))
		}
	}
	if len(m.Files) > 0 {
		var so []string
		for _, r := range m.Files {
			if r.First == r.Last {
				so = append(so, strconv.Itoa(r.First))
			} else {
				so = append(so, fmt.Sprintf("%d-%d", r.First, r.Last))
			}
		}
		add("so", strings.Join(so, ","))
	}
	return b.String()
}

// appendURL adds an absolute URL with a host, once. scheme "http" stands for http and https, "" for any.
func appendURL(list []string, raw, scheme string) []string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" || len(list) == maxMagnetURLs || slices.Contains(list, raw) {
		return list
	}
	if scheme == "http" && u.Scheme != "http" && u.Scheme != "https" {
		return list
	}
	return append(list, raw)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// ItemMagnet is the magnet link of a channel, for machines that have its repository's root: it leads to the item of a key (in hex) in the DHT.
func ItemMagnet(key, app, channel string) string {
	return "magnet:?xs=urn:btpk:" + key + "&s=" + hex.EncodeToString([]byte(release.ItemSalt)) + "&dn=" + app + ":" + channel
}
