package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestHandshake(t *testing.T) {
	for name, h := range map[string]Handshake{
		"plain": {InfoHash: [20]byte{1, 19: 20}, PeerID: [20]byte{'-', 'S', 'H'}},
		"all":   {Fast: true, Extended: true, V2: true, InfoHash: [20]byte{1}, PeerID: [20]byte{2}},
	} {
		b := h.Append(nil)
		if len(b) != HandshakeLen {
			t.Errorf("%s: %d bytes, want %d", name, len(b), HandshakeLen)
		}
		got, err := ReadHandshake(bytes.NewReader(append(b, "more"...)))
		if err != nil || got != h {
			t.Errorf("%s: read %+v, %v, want %+v", name, got, err, h)
		}
	}
	if _, err := ReadHandshake(strings.NewReader(strings.Repeat("GET / HTTP/1.1\r\n", 10))); !errors.Is(err, ErrNotBitTorrent) {
		t.Errorf("HTTP instead of a handshake = %v, want ErrNotBitTorrent", err)
	}
	if _, err := ReadHandshake(strings.NewReader(Protocol)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a torn handshake = %v, want unexpected EOF", err)
	}
}

// What parses is written back with the same hash, id and known bits.
func FuzzHandshake(f *testing.F) {
	f.Add(Handshake{Fast: true, InfoHash: [20]byte{1}, PeerID: [20]byte{2}}.Append(nil))
	f.Add(Handshake{V2: true, Extended: true}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHandshake(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := ReadHandshake(bytes.NewReader(h.Append(nil)))
		if err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
		if !bytes.Equal(h.Append(nil)[28:], b[28:HandshakeLen]) || string(b[:20]) != Protocol {
			t.Fatalf("%x was read as %+v", b[:HandshakeLen], h)
		}
	})
}
