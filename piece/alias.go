package piece

import (
	"crypto/sha1"
)

// AliasV1 is the info hash that aria2 (seen: 1.36) takes a hybrid for: it decodes the info dictionary, loses every entry with an empty key, which
// is where a v2 file tree keeps its files, and hashes what is left. Whoever wants aria2 in a hybrid's swarm answers to this name as well; the
// pieces are the same. Not ok for other torrents, which aria2 names right or does not know.
func (in *Info) AliasV1() (hash Hash20, ok bool) {
	if !in.HasV1 || !in.HasV2 {
		return hash, false
	}
	h := sha1.New()
	b := in.Bytes
	at := 0
	flush := func(to int) {
		h.Write(b[at:to])
		at = to
	}
	// walk returns the end of the value at i, having told flush of all that stays. The bytes were parsed before, so they are well-formed.
	var walk func(i int) int
	walk = func(i int) int {
		switch c := b[i]; c {
		case 'i':
			for b[i] != 'e' {
				i++
			}
			return i + 1
		case 'l', 'd':
			for i++; b[i] != 'e'; {
				if c == 'd' && b[i] == '0' { // the key "0:"
					flush(i)
					i = walk(i + 2)
					at = i
					continue
				}
				i = walk(i)
			}
			return i + 1
		default:
			n := 0
			for ; b[i] != ':'; i++ {
				n = 10*n + int(b[i]-'0')
			}
			return i + 1 + n
		}
	}
	flush(walk(0))
	return Hash20(h.Sum(nil)), true
}
