package wire

import "encoding/binary"

// Load is how much a peer has been asked for and has not sent yet, in bytes, and how many bytes per
// second its line was seen to carry (0: it does not know). It is a hint: whoever it comes from may
// be wrong or lie.
type Load struct{ Queued, Rate uint32 }

// AppendLoad tells a peer of our load; id is the peer's for [NameShoal].
func AppendLoad(b []byte, id byte, l Load) []byte {
	p := binary.BigEndian.AppendUint32([]byte{kindLoad}, l.Queued)
	return AppendExtended(b, id, binary.BigEndian.AppendUint32(p, l.Rate))
}

// ParseLoad decodes the payload of a message of our extension that tells of a load.
func ParseLoad(p []byte) (l Load, ok bool) {
	if len(p) < 9 || p[0] != kindLoad {
		return l, false
	}
	return Load{binary.BigEndian.Uint32(p[1:]), binary.BigEndian.Uint32(p[5:])}, true
}
