package piece

import (
	"errors"
	"fmt"
	"strconv"
)

// maxDepth bounds how deep lists and dictionaries nest.
const maxDepth = 64

// A cursor reads bencode (BEP 3) front to back without copying: one pass, no tree, so that a stranger's 16 MiB cost 16 MiB. It is strict: what has
// two spellings (leading zeros, -0) is refused, because the hash of an info dict is taken over its spelling.
type cursor struct {
	b     []byte
	i     int
	depth int
}

var errEnd = errors.New("it ends too early")

// whole reports whether everything was read.
func (c *cursor) whole() error {
	if c.i != len(c.b) {
		return fmt.Errorf("%d bytes behind its end", len(c.b)-c.i)
	}
	return nil
}

func (c *cursor) peek() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

// open consumes the byte that starts a list or a dictionary.
func (c *cursor) open(kind byte, what string) error {
	if c.i >= len(c.b) {
		return errEnd
	}
	if c.b[c.i] != kind {
		return fmt.Errorf("%s expected at byte %d", what, c.i)
	}
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	c.i++
	return nil
}

// closed reports whether the list or dictionary ends here, and consumes its end.
func (c *cursor) closed() (bool, error) {
	if c.i >= len(c.b) {
		return false, errEnd
	}
	if c.b[c.i] != 'e' {
		return false, nil
	}
	c.i++
	c.depth--
	return true, nil
}

// dict calls f for each key; f must consume the value. Keys must ascend, as BEP 3 demands, unless loose: then only a key equal to its predecessor is refused.
func (c *cursor) dict(loose bool, f func(key []byte) error) error {
	if err := c.open('d', "a dictionary"); err != nil {
		return err
	}
	var last []byte
	for first := true; ; first = false {
		if end, err := c.closed(); end || err != nil {
			return err
		}
		key, err := c.str()
		if err != nil {
			return err
		}
		if !first {
			if string(key) == string(last) {
				return fmt.Errorf("key %.40q twice", key)
			}
			if !loose && string(key) < string(last) {
				return fmt.Errorf("key %.40q behind %.40q: keys must be sorted", key, last)
			}
		}
		last = key
		if err := f(key); err != nil {
			return err
		}
	}
}

// list calls f for each element; f must consume it.
func (c *cursor) list(f func() error) error {
	if err := c.open('l', "a list"); err != nil {
		return err
	}
	for {
		if end, err := c.closed(); end || err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// str reads a string; the result aliases the input.
func (c *cursor) str() ([]byte, error) {
	start, n := c.i, 0
	for ; ; c.i++ {
		if c.i >= len(c.b) {
			return nil, errEnd
		}
		d := c.b[c.i]
		if d == ':' && c.i > start {
			break
		}
		if d < '0' || d > '9' {
			return nil, fmt.Errorf("a string expected at byte %d", start)
		}
		if c.i > start && n == 0 {
			return nil, fmt.Errorf("string length with leading zero at byte %d", start)
		}
		if n = n*10 + int(d-'0'); n > len(c.b) {
			return nil, errEnd
		}
	}
	c.i++
	if n > len(c.b)-c.i {
		return nil, errEnd
	}
	s := c.b[c.i : c.i+n : c.i+n]
	c.i += n
	return s, nil
}

// int reads an integer that fits 64 bits.
func (c *cursor) int() (int64, error) {
	digits, err := c.digits()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number %.24s is too large", digits)
	}
	return n, nil
}

// digits reads an integer of any size and returns its digits, sign included.
func (c *cursor) digits() ([]byte, error) {
	start := c.i
	if c.peek() != 'i' {
		if start >= len(c.b) {
			return nil, errEnd
		}
		return nil, fmt.Errorf("a number expected at byte %d", start)
	}
	c.i++
	if c.peek() == '-' {
		c.i++
	}
	first := c.i
	for c.peek() >= '0' && c.peek() <= '9' {
		c.i++
	}
	if c.i >= len(c.b) {
		return nil, errEnd
	}
	n := c.i - first
	zero := n > 0 && c.b[first] == '0'
	if c.b[c.i] != 'e' || n == 0 || zero && (n > 1 || c.b[first-1] == '-') {
		return nil, fmt.Errorf("bad number at byte %d", start)
	}
	c.i++
	return c.b[start+1 : c.i-1], nil
}

// raw reads one value of any kind and returns its bytes, which alias the input.
func (c *cursor) raw() ([]byte, error) {
	start := c.i
	if err := c.skip(); err != nil {
		return nil, err
	}
	return c.b[start:c.i:c.i], nil
}

func (c *cursor) skip() error {
	switch c.peek() {
	case 'd':
		return c.dict(true, func([]byte) error { return c.skip() })
	case 'l':
		return c.list(c.skip)
	case 'i':
		_, err := c.digits()
		return err
	default:
		_, err := c.str()
		return err
	}
}

func appendString[S string | []byte](b []byte, s S) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	return append(b, s...)
}

func appendInt(b []byte, n int64) []byte {
	b = append(b, 'i')
	b = strconv.AppendInt(b, n, 10)
	return append(b, 'e')
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, 'l')
	for _, s := range list {
		b = appendString(b, s)
	}
	return append(b, 'e')
}
