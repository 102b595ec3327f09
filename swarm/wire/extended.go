package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/anacrolix/torrent/bencode"
)

// Extension message ids that we ask others to use towards us (BEP 10, "m").
const (
	IDHandshake byte = 0
	IDMetadata  byte = 1
	IDShoal     byte = 2
	IDPex       byte = 3
	IDDontHave  byte = 4
	lastID           = IDDontHave
)

// Names of the extensions that we speak.
const (
	NameMetadata = "ut_metadata" // BEP 9
	NameShoal    = "shoal"
	NamePex      = "ut_pex"      // BEP 11
	NameDontHave = "lt_donthave" // BEP 54
)

// ExtHandshake is the extended handshake (BEP 10) with the keys that matter to us.
type ExtHandshake struct {
	M            map[string]int `bencode:"m"`
	Client       string         `bencode:"v,omitempty"`
	Reqq         int            `bencode:"reqq,omitempty"`
	MetadataSize int            `bencode:"metadata_size,omitempty"` // BEP 9
	Port         int            `bencode:"p,omitempty"`
	YourIP       string         `bencode:"yourip,omitempty"`      // 4 or 16 bytes
	UploadOnly   int            `bencode:"upload_only,omitempty"` // BEP 21
	Encrypt      int            `bencode:"e,omitempty"`           // 1: encrypted connections are preferred
	Shoal        *Shoal         `bencode:"shoal,omitempty"`
}

// Shoal is what Shoal nodes tell each other in the extended handshake. Nothing in it is trusted
// beyond a prior: capacity is observed, and a site needs evidence.
type Shoal struct {
	Role string `bencode:"role,omitempty"` // origin, edge or peer
	Site string `bencode:"site,omitempty"`
	Up   int64  `bencode:"up,omitempty"` // bytes per second, 0 unknown
	// Nonce is what a proof of the site is to be made for ([NewProof]): [NonceLen] bytes, or none.
	Nonce string `bencode:"nonce,omitempty"`
}

// maxSite bounds a site's name in bytes.
const maxSite = 64

// Append adds the handshake as a whole message.
func (h ExtHandshake) Append(b []byte) ([]byte, error) {
	p, err := bencode.Marshal(h)
	if err != nil {
		return b, fmt.Errorf("encoding extended handshake: %w", err)
	}
	return AppendExtended(b, IDHandshake, p), nil
}

// ParseExtHandshake decodes the payload of an extended handshake. Values out of range are
// dropped rather than refused: other clients send odd ones.
func ParseExtHandshake(p []byte) (h ExtHandshake, err error) {
	// Key by key: one key of an odd type must not hide the others.
	var d map[string]bencode.Bytes
	if err := bencode.Unmarshal(p, &d); err != nil {
		if _, trailing := err.(bencode.ErrUnusedTrailingBytes); !trailing {
			return h, fmt.Errorf("extended handshake: %w", err)
		}
	}
	var m map[string]bencode.Bytes
	h.M = make(map[string]int)
	if bencode.Unmarshal(d["m"], &m) == nil {
		for _, name := range []string{NameMetadata, NameShoal, NamePex, NameDontHave} {
			var id int
			if bencode.Unmarshal(m[name], &id) == nil && id > 0 && id < 256 {
				h.M[name] = id
			}
		}
	}
	number := func(key string, least, most int) int {
		var n int
		if bencode.Unmarshal(d[key], &n) != nil || n < least || n > most {
			return 0
		}
		return n
	}
	text := func(key string, most int) string {
		var s string
		if bencode.Unmarshal(d[key], &s) != nil || len(s) > most {
			return ""
		}
		return s
	}
	h.Client = text("v", 128)
	h.Reqq = number("reqq", 1, 1<<20)
	h.MetadataSize = number("metadata_size", 1, MaxMetadata)
	h.Port = number("p", 1, 65535)
	h.YourIP = text("yourip", 16)
	h.UploadOnly = number("upload_only", 0, 1)
	h.Encrypt = number("e", 0, 1)
	var s Shoal
	if v, ok := d["shoal"]; ok && bencode.Unmarshal(v, &s) == nil && len(s.Role) <= 16 && len(s.Site) <= maxSite && s.Up >= 0 {
		if len(s.Nonce) != NonceLen {
			s.Nonce = ""
		}
		h.Shoal = &s
	}
	return h, nil
}

// IP is the address in YourIP, if it is one.
func (h ExtHandshake) IP() (netip.Addr, bool) { return netip.AddrFromSlice([]byte(h.YourIP)) }

// MaxMetadata bounds an info dict that is exchanged between peers, in bytes.
const MaxMetadata = 16 << 20

// MetadataPiece is the unit of BEP 9, in bytes.
const MetadataPiece = 16 << 10

// Kinds of [Metadata] messages (BEP 9).
const (
	MetadataRequest = 0
	MetadataData    = 1
	MetadataReject  = 2
)

// Metadata is a ut_metadata message (BEP 9).
type Metadata struct {
	Kind  int
	Piece int
	Total int
	Data  []byte
}

type metadataDict struct {
	Kind  int `bencode:"msg_type"`
	Piece int `bencode:"piece"`
	Total int `bencode:"total_size,omitempty"`
}

// Append adds the message under the other side's id for ut_metadata.
func (m Metadata) Append(b []byte, id byte) []byte {
	p, err := bencode.Marshal(metadataDict{m.Kind, m.Piece, m.Total})
	if err != nil {
		panic(err) // three ints always encode
	}
	return AppendExtended(b, id, append(p, m.Data...))
}

// ParseMetadata decodes the payload of a ut_metadata message. Data aliases p.
func ParseMetadata(p []byte) (Metadata, error) {
	var d metadataDict
	err := bencode.Unmarshal(p, &d)
	var rest []byte
	if trailing, ok := err.(bencode.ErrUnusedTrailingBytes); ok {
		if trailing.NumUnusedBytes < 0 || trailing.NumUnusedBytes > len(p) {
			return Metadata{}, errors.New("metadata message: bad length")
		}
		rest, err = p[len(p)-trailing.NumUnusedBytes:], nil
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata message: %w", err)
	}
	if d.Piece < 0 || d.Piece > MaxMetadata/MetadataPiece || len(rest) > MetadataPiece {
		return Metadata{}, errors.New("metadata message: out of range")
	}
	return Metadata{Kind: d.Kind, Piece: d.Piece, Total: d.Total, Data: rest}, nil
}

// AppendDontHave says that we do not have a piece any more (BEP 54), under the other side's id for lt_donthave.
func AppendDontHave(b []byte, id byte, piece uint32) []byte {
	return AppendExtended(b, id, binary.BigEndian.AppendUint32(nil, piece))
}

// ParseDontHave decodes the payload of an lt_donthave message.
func ParseDontHave(p []byte) (piece uint32, err error) {
	if len(p) != 4 {
		return 0, fmt.Errorf("lt_donthave of %d bytes", len(p))
	}
	return binary.BigEndian.Uint32(p), nil
}
