package wire

import (
	"encoding/binary"
	"errors"
)

// A message of our own extension ([NameShoal]) is a kind and what belongs to it:
//
//	1 piece(uint32)  the sender fetches this piece from outside its site
//
// Kinds that are not known, and bytes behind what is, are a later version's and left alone.
const kindFetching = 1

// AppendFetching tells a peer that we fetch a piece; id is the peer's for [NameShoal].
func AppendFetching(b []byte, id byte, piece uint32) []byte {
	return AppendExtended(b, id, binary.BigEndian.AppendUint32([]byte{kindFetching}, piece))
}

// ParseShoal decodes the payload of a message of our extension. ok says that it is of a known kind.
func ParseShoal(p []byte) (piece uint32, ok bool, err error) {
	if len(p) == 0 {
		return 0, false, errors.New("empty shoal message")
	}
	if p[0] != kindFetching {
		return 0, false, nil
	}
	if len(p) < 5 {
		return 0, false, errors.New("short shoal message")
	}
	return binary.BigEndian.Uint32(p[1:]), true, nil
}
