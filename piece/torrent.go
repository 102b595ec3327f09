package piece

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxTorrent = 96 << 20 // the info, the piece layers of maxPieces pieces, and some
	maxURLs    = 1000     // trackers, and web seeds
	maxDate    = 253402300799
)

// Torrent is a .torrent file.
type Torrent struct {
	*Info
	Trackers           [][]string // tiers, BEP 12
	WebSeeds           []string   // BEP 19
	Comment, CreatedBy string
	Created            time.Time // zero: absent
}

// ReadFile reads a .torrent file; see Read.
func ReadFile(path string) (*Torrent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Read reads a .torrent file and checks all of it: the info dictionary, and the piece layers against the roots of the files. Layers may be absent
// (Info.HasLayers); then peers have them. What is wrong with the bytes is an error that wraps ErrBadTorrent.
func Read(r io.Reader) (*Torrent, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTorrent+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxTorrent {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrBadTorrent, maxTorrent)
	}
	if len(b) == 0 || b[0] != 'd' {
		return nil, fmt.Errorf("%w: this is not a torrent", ErrBadTorrent)
	}
	t, info, rawLayers, err := readTorrent(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadTorrent, err)
	}
	if t.Info, err = ParseInfo(info); err != nil {
		return nil, err
	}
	if rawLayers != nil && t.HasV2 {
		if err := t.readLayers(rawLayers); err != nil {
			return nil, fmt.Errorf("%w: piece layers: %w", ErrBadTorrent, err)
		}
	}
	return t, nil
}

// readTorrent takes the outer dictionary apart. Its keys may come in any order, as some web sites append theirs.
func readTorrent(b []byte) (t *Torrent, info, rawLayers []byte, err error) {
	t = &Torrent{}
	var announce []string
	c := &cursor{b: b}
	err = c.dict(true, func(key []byte) (err error) {
		switch string(key) {
		case "announce":
			announce, err = c.readURLs(0)
		case "announce-list":
			t.Trackers, err = c.readTiers()
		case "url-list":
			t.WebSeeds, err = c.readURLs(0)
		case "comment":
			t.Comment, err = c.text()
		case "created by":
			t.CreatedBy, err = c.text()
		case "creation date":
			var date int64
			if date, err = c.int(); err == nil && date > 0 && date <= maxDate {
				t.Created = time.Unix(date, 0).UTC()
			}
		case "info":
			if info != nil {
				return fmt.Errorf("info twice")
			}
			info, err = c.raw()
		case "piece layers":
			rawLayers, err = c.raw()
		default:
			err = c.skip()
		}
		return err
	})
	if err == nil {
		err = c.whole()
	}
	if err == nil && info == nil {
		err = fmt.Errorf("no info dictionary")
	}
	if t.Trackers == nil && announce != nil {
		t.Trackers = [][]string{announce}
	}
	return t, info, rawLayers, err
}

func (t *Torrent) readLayers(raw []byte) error {
	c := &cursor{b: raw}
	return c.dict(true, func(key []byte) error {
		layer, err := c.str()
		if err != nil {
			return err
		}
		if len(key) != 32 {
			return fmt.Errorf("a root of %d bytes", len(key))
		}
		if i, ok := t.FileByRoot(Hash32(key)); ok && t.needsLayer(i) {
			return t.SetLayer(i, layer)
		}
		return nil
	})
}

func (c *cursor) text() (string, error) {
	s, err := c.str()
	return strings.ToValidUTF8(string(s), "\uFFFD"), err
}

// readURLs reads a string or a list of them, leaving empty ones out. There may be maxURLs less those had before.
func (c *cursor) readURLs(had int) (urls []string, err error) {
	one := func() error {
		s, err := c.text()
		if s != "" {
			urls = append(urls, s)
		}
		if had+len(urls) > maxURLs {
			return fmt.Errorf("more than %d addresses", maxURLs)
		}
		return err
	}
	if c.peek() == 'l' {
		return urls, c.list(one)
	}
	err = one()
	return urls, err
}

func (c *cursor) readTiers() (tiers [][]string, err error) {
	n := 0
	err = c.list(func() error {
		tier, err := c.readURLs(n)
		if len(tier) > 0 {
			tiers = append(tiers, tier)
		}
		n += len(tier)
		return err
	})
	return tiers, err
}

// Write writes the .torrent file. Equal torrents give equal bytes, and the info dictionary is the one that was read.
func (t *Torrent) Write(w io.Writer) error {
	_, err := w.Write(t.encode())
	return err
}

func (t *Torrent) encode() []byte {
	b := []byte{'d'}
	trackers := slices.Concat(t.Trackers...)
	if len(trackers) > 0 {
		b = appendString(appendString(b, "announce"), trackers[0])
	}
	if len(trackers) > 1 {
		b = append(appendString(b, "announce-list"), 'l')
		for _, tier := range t.Trackers {
			if len(tier) > 0 {
				b = appendStrings(b, tier)
			}
		}
		b = append(b, 'e')
	}
	if t.Comment != "" {
		b = appendString(appendString(b, "comment"), t.Comment)
	}
	if t.CreatedBy != "" {
		b = appendString(appendString(b, "created by"), t.CreatedBy)
	}
	if !t.Created.IsZero() {
		b = appendInt(appendString(b, "creation date"), t.Created.Unix())
	}
	b = append(appendString(b, "info"), t.Bytes...)
	if t.HasV2 {
		b = t.appendLayers(append(appendString(b, "piece layers"), 'd'))
		b = append(b, 'e')
	}
	switch len(t.WebSeeds) {
	case 0:
	case 1:
		b = appendString(appendString(b, "url-list"), t.WebSeeds[0])
	default:
		b = appendStrings(appendString(b, "url-list"), t.WebSeeds)
	}
	return append(b, 'e')
}

// appendLayers appends the known piece layers, sorted by root, equal files once.
func (t *Torrent) appendLayers(b []byte) []byte {
	var files []int
	for i := range t.Files {
		if t.Layer(i) != nil {
			files = append(files, i)
		}
	}
	slices.SortFunc(files, func(i, j int) int { return compare32(&t.Files[i].Root, &t.Files[j].Root) })
	var last []byte
	for _, i := range files {
		root := t.Files[i].Root[:]
		if bytes.Equal(root, last) {
			continue
		}
		b = appendString(appendString(b, root), t.Layer(i))
		last = root
	}
	return b
}

// MetainfoType is the media type of a .torrent, and MagnetType says that a magnet link is welcome in its place.
const (
	MetainfoType = "application/x-bittorrent"
	MagnetType   = "application/x-magnet"
)

// Magnet is a magnet link (BEP 9) with everything a client needs to begin: both hashes, name, length, trackers and web seeds.
func (t *Torrent) Magnet() string {
	return t.magnet("dn="+escape(t.Name), "xl="+strconv.FormatInt(t.Length, 10))
}

// ShortMagnet is the same without name and length, which the info dict tells.
func (t *Torrent) ShortMagnet() string { return t.magnet() }

func (t *Torrent) magnet(more ...string) string {
	var list []string
	if t.HasV1 {
		list = append(list, "xt=urn:btih:"+t.V1.HexString())
	}
	if t.HasV2 {
		list = append(list, "xt=urn:btmh:1220"+hex.EncodeToString(t.V2[:]))
	}
	list = append(list, more...)
	for _, tr := range slices.Concat(t.Trackers...) {
		list = append(list, "tr="+escape(tr))
	}
	for _, ws := range t.WebSeeds {
		list = append(list, "ws="+escape(ws))
	}
	return "magnet:?" + strings.Join(list, "&")
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
