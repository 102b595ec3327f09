package dht

import (
	"errors"
	"fmt"
	"strconv"
)

// scanner reads bencode (BEP 3) front to back without copying. What has two spellings is refused: signatures and hashes of items are taken
// over the bytes as they came.
type scanner struct {
	b     []byte
	i     int
	depth int
}

// maxDepth bounds how deep a message nests; an item's value is part of it.
const maxDepth = 16

var (
	errEnd   = errors.New("it ends too early")
	errDeep  = fmt.Errorf("nested deeper than %d", maxDepth)
	errTwice = errors.New("a key comes twice")
)

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// number reads digits up to end. It bounds what it reads: no number here is longer than 20 characters.
func (s *scanner) number(end byte) (int64, error) {
	from := s.i
	for ; s.i < len(s.b) && s.i-from <= 20; s.i++ {
		if s.b[s.i] != end {
			continue
		}
		text := s.b[from:s.i]
		s.i++
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || len(text) > 1 && text[0] == '0' || text[0] == '+' || text[0] == '-' && (n >= 0 || text[1] == '0') {
			return 0, fmt.Errorf("%q is not a number", text)
		}
		return n, nil
	}
	return 0, errEnd
}

func (s *scanner) integer() (int64, error) {
	if s.peek() != 'i' {
		return 0, fmt.Errorf("integer expected at byte %d", s.i)
	}
	s.i++
	return s.number('e')
}

// str reads a string; the result aliases the input.
func (s *scanner) str() ([]byte, error) {
	if c := s.peek(); c < '0' || c > '9' {
		return nil, fmt.Errorf("string expected at byte %d", s.i)
	}
	n, err := s.number(':')
	if err != nil {
		return nil, err
	}
	if n > int64(len(s.b)-s.i) {
		return nil, errEnd
	}
	from := s.i
	s.i += int(n)
	return s.b[from:s.i], nil
}

// each reads a list or a dictionary: f reads one element.
func (s *scanner) each(open byte, f func() error) error {
	if s.peek() != open {
		return fmt.Errorf("%q expected at byte %d", open, s.i)
	}
	if s.depth++; s.depth > maxDepth {
		return errDeep
	}
	for s.i++; ; {
		switch s.peek() {
		case 'e':
			s.i++
			s.depth--
			return nil
		case 0:
			return errEnd
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// dict calls f for each key; f must read the value. Keys may come in any order, since many clients do not sort them, but not one right
// behind itself.
func (s *scanner) dict(f func(key string) error) error {
	last, first := "", true
	return s.each('d', func() error {
		k, err := s.str()
		if err != nil {
			return err
		}
		if !first && string(k) == last {
			return errTwice
		}
		last, first = string(k), false
		return f(last)
	})
}

// skip reads any value and returns it as it is spelt.
func (s *scanner) skip() ([]byte, error) {
	from := s.i
	var err error
	switch c := s.peek(); {
	case c == 'i':
		_, err = s.integer()
	case c == 'l':
		err = s.each('l', func() error { _, err := s.skip(); return err })
	case c == 'd':
		err = s.dict(func(string) error { _, err := s.skip(); return err })
	default:
		_, err = s.str()
	}
	if err != nil {
		return nil, err
	}
	return s.b[from:s.i], nil
}

// isValue says whether b is one bencoded value and nothing else.
func isValue(b []byte) bool {
	s := scanner{b: b}
	_, err := s.skip()
	return err == nil && s.i == len(b)
}

func appendStr[T string | []byte](b []byte, s T) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	return append(append(b, ':'), s...)
}

func appendInt(b []byte, n int64) []byte {
	b = strconv.AppendInt(append(b, 'i'), n, 10)
	return append(b, 'e')
}
