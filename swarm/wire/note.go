package wire

// MaxNote bounds a note, in bytes. A note is what a node passes on for the rooms above: opaque here.
const MaxNote = 2 << 10

// AppendNote tells a peer a note; id is the peer's for [NameShoal].
func AppendNote(b []byte, id byte, note []byte) []byte {
	return AppendExtended(b, id, append([]byte{kindNote}, note...))
}

// ParseNote decodes the payload of a message of our extension that is a note.
func ParseNote(p []byte) (note []byte, ok bool) {
	if len(p) < 2 || p[0] != kindNote || len(p) > 1+MaxNote {
		return nil, false
	}
	return p[1:], true
}
