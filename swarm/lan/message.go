package lan

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// message is an announcement (BEP 14): whoever sent it takes part in torrents, at a TCP port of its.
type message struct {
	Port   int
	Hashes [][20]byte
	Cookie string // tells a sender its own messages
}

const (
	// maxDatagram bounds a message in bytes (BEP 14).
	maxDatagram = 1400
	// maxHashes is how many torrents one message names, ours or another's.
	maxHashes = 24
	maxCookie = 64
)

const requestLine = "BT-SEARCH * HTTP/1.1"

// append adds the message as it is sent to a group. It fits into maxDatagram.
func (m message) append(b []byte, group string) []byte {
	b = fmt.Appendf(b, "%s\r\nHost: %s\r\nPort: %d\r\n", requestLine, group, m.Port)
	for _, h := range m.Hashes {
		b = fmt.Appendf(b, "Infohash: %x\r\n", h)
	}
	if m.Cookie != "" {
		b = fmt.Appendf(b, "cookie: %s\r\n", m.Cookie)
	}
	return append(b, "\r\n\r\n"...)
}

// parse decodes a message. Headers that are not known are a later version's; hashes that are none
// are left out.
func parse(b []byte) (m message, err error) {
	if len(b) > maxDatagram {
		return m, errors.New("announcement too long")
	}
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || string(line) != requestLine {
		return m, errors.New("not an announcement")
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			break // the empty line, or nonsense
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Port")):
			if m.Port, err = strconv.Atoi(string(value)); err != nil || m.Port < 1 || m.Port > 65535 {
				return message{}, errors.New("announcement of a port that is none")
			}
		case bytes.EqualFold(name, []byte("Infohash")):
			var h [20]byte
			if len(value) == 40 && len(m.Hashes) < maxHashes {
				if _, err := hex.Decode(h[:], value); err == nil {
					m.Hashes = append(m.Hashes, h)
				}
			}
		case bytes.EqualFold(name, []byte("cookie")):
			if len(value) <= maxCookie {
				m.Cookie = string(value)
			}
		}
	}
	if m.Port == 0 {
		return message{}, errors.New("announcement without a port")
	}
	return m, nil
}
