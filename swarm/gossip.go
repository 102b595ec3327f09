package swarm

import (
	"bytes"

	"shoal/swarm/wire"
)

// Peers tell each other a note for each torrent: what the rooms above have seen, such as the checkpoint of a transparency log. The swarm knows nothing of what is
// in it. A peer is told once it has introduced itself, and again when the note changes.

// maxNotes is how many notes a connection is listened to.
const maxNotes = 16

// SetNote has the transfer's peers told of a note of wire.MaxNote bytes at most; nil is none. Peers that are connected already are told too.
func (t *Transfer) SetNote(note []byte) {
	if len(note) > wire.MaxNote {
		return
	}
	note = bytes.Clone(note)
	t.note.Store(&note)
	t.mu.Lock()
	s := t.sess
	t.mu.Unlock()
	if s != nil {
		s.do(func() {
			for _, c := range s.conns {
				s.tellNote(c)
			}
		})
	}
}

// tellNote tells a peer of our note, if it has not heard it from us yet.
func (s *session) tellNote(c *conn) {
	p := s.t.note.Load()
	if p == nil || len(*p) == 0 || c.theirShoal == 0 || bytes.Equal(c.told, *p) {
		return
	}
	c.told = *p
	c.out.put(func(b []byte) []byte { return wire.AppendNote(b, c.theirShoal, *p) })
}

// tookNote passes a peer's note on.
func (s *session) tookNote(c *conn, note []byte) {
	if c.notes++; c.notes <= maxNotes && s.t.spec.Heard != nil {
		s.t.spec.Heard(bytes.Clone(note))
	}
}
