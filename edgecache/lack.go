package edgecache

import (
	"cmp"
	"errors"
	"slices"
)

// Lack is what is missing somewhere.
type Lack struct {
	Contents int      `json:"contents"`
	Bytes    int64    `json:"bytes"`
	Names    []string `json:"names"` // of the largest, at most maxLacking, each once
}

// maxLacking bounds how many names a Lack has.
const maxLacking = 10

// roomFor notes whether a content found room when it was wanted. The first of those that are to be here and find none is told, and not each of them, nor again and again: what
// there is of them, Lacking says.
func (e *Edge) roomFor(k *known, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !errors.Is(err, errNoRoom) || !e.toBeHere(k.key) {
		delete(e.lacking, k.key)
		return
	}
	first := len(e.lacking) == 0
	e.lacking[k.key] = k
	if first {
		e.cfg.Log.Warn("what is followed does not fit: it stays with the origin until there is room; a larger quota, free space on its disk, or fewer apps would have it here", "name", k.ref(), "bytes", k.bytes, "quota_bytes", e.cfg.Quota, "keep_free_bytes", e.cfg.KeepFree)
	}
}

// fewerLack forgets those that are not to be here any more. e.mu is held.
func (e *Edge) fewerLack() {
	for key := range e.lacking {
		if !e.toBeHere(key) {
			delete(e.lacking, key)
		}
	}
}

// lack is what has no room at the moment; nil: everything that is followed has.
func (e *Edge) lack() *Lack {
	e.mu.Lock()
	defer e.mu.Unlock()
	return lackOf(e.lacking)
}

// lackOf says how much contents are together; nil: there are none.
func lackOf(contents map[string]*known) *Lack {
	if len(contents) == 0 {
		return nil
	}
	var list []*known
	l := new(Lack)
	for _, k := range contents {
		list = append(list, k)
		l.Contents++
		l.Bytes += k.bytes
	}
	slices.SortFunc(list, func(a, b *known) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.ref(), b.ref())) })
	for _, k := range list {
		if len(l.Names) < maxLacking && !slices.Contains(l.Names, k.ref()) {
			l.Names = append(l.Names, k.ref())
		}
	}
	return l
}
