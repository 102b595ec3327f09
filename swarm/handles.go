package swarm

import (
	"container/list"
	"os"
	"sync"
)

// handles keeps at most a bounded number of a torrent's files open; trees may have 50,000.
type handles struct {
	// openFile opens file i; write asks for a file that can be written, creating it if need be.
	openFile func(i int, write bool) (*os.File, error)
	most     int

	mu   sync.Mutex
	open map[int]*handle
	lru  list.List // of *handle, most recently used first; only those in open
}

type handle struct {
	file  int
	f     *os.File
	write bool
	users int
	// writing is held by the one who writes: the system lets nobody else write to the file meanwhile, and who waits for that in the kernel
	// spins on a processor that could hash.
	writing sync.Mutex
	stale   bool // taken out of the cache: the last user closes it
	elem    *list.Element
}

func newHandles(most int, openFile func(int, bool) (*os.File, error)) *handles {
	return &handles{openFile: openFile, most: most, open: make(map[int]*handle)}
}

// get lends file i; the caller hands it back with put. Opening and closing is done without the lock: of a tree of small files they are most of the work.
func (h *handles) get(i int, write bool) (*handle, error) {
	h.mu.Lock()
	x := h.lendLocked(i, write)
	h.mu.Unlock()
	if x != nil {
		return x, nil
	}
	f, err := h.openFile(i, write)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	unused := []*os.File{f}
	if x = h.lendLocked(i, write); x == nil { // else somebody else was quicker
		unused = append(unused[:0], h.dropLocked(i))
		x = &handle{file: i, f: f, write: write, users: 1}
		x.elem = h.lru.PushFront(x)
		h.open[i] = x
	}
	for e := h.lru.Back(); e != nil && len(h.open) > h.most; {
		old := e.Value.(*handle)
		e = e.Prev()
		if old.users == 0 {
			unused = append(unused, h.dropLocked(old.file))
		}
	}
	h.mu.Unlock()
	for _, f := range unused {
		f.Close() // of nil it does nothing
	}
	return x, nil
}

// lendLocked is the file if it is open already.
func (h *handles) lendLocked(i int, write bool) *handle {
	x := h.open[i]
	if x == nil || write && !x.write {
		return nil
	}
	x.users++
	h.lru.MoveToFront(x.elem)
	return x
}

func (h *handles) put(x *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x.users--
	if x.stale && x.users == 0 {
		x.f.Close()
	}
}

// drop forgets file i, so that the next get opens it anew.
func (h *handles) drop(i int) {
	h.mu.Lock()
	f := h.dropLocked(i)
	h.mu.Unlock()
	f.Close()
}

// dropLocked forgets file i, and returns what is to be closed: nil if it is not open, or its last user will close it.
func (h *handles) dropLocked(i int) *os.File {
	x := h.open[i]
	if x == nil {
		return nil
	}
	delete(h.open, i)
	h.lru.Remove(x.elem)
	x.stale = true
	if x.users > 0 {
		return nil
	}
	return x.f
}

func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.open {
		h.dropLocked(i).Close()
	}
}
