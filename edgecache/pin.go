package edgecache

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A name stands for nothing, or for nothing that is pinned.
var (
	ErrNobody    = errors.New("no origin has anything of that name")
	ErrNotPinned = errors.New("nothing of that name is pinned")
)

// TooLargeError says that what is to be pinned does not fit beside what is. Sizes are bytes.
type TooLargeError struct {
	Need  int64 `json:"need_bytes"`
	Room  int64 `json:"room_bytes"` // beside metadata and what is pinned
	Quota int64 `json:"quota_bytes"`
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d bytes are to be pinned, and there is room for %d", e.Need, e.Room)
}

// Pinned is what a pin keeps at the moment.
type Pinned struct {
	Name     string     `json:"name"`
	Until    *time.Time `json:"until,omitempty"` // nil: until it is taken out
	Contents []string   `json:"contents"`        // APP@VERSION, or a content's name, each once
	Bytes    int64      `json:"bytes"`           // of all of them, with archives, patches and indices
}

// fits says whether contents would have room if everything but what is pinned were gone. Of what was never here the size on disk is not known yet, and a little more.
func (e *Edge) fits(list []*known) error {
	room, err := e.shelf.room()
	if err != nil {
		return err
	}
	pinned := map[string]*known{}
	for name := range e.shelf.pinned(e.cfg.Now()) {
		for _, k := range e.named(name) {
			pinned[k.key] = k
		}
	}
	size := func(k *known) int64 {
		h, _ := e.shelf.get(k.key)
		return max(h.cost, k.bytes)
	}
	var need int64
	for _, k := range list {
		need += size(k)
		delete(pinned, k.key)
	}
	for _, k := range pinned {
		room -= size(k)
	}
	if need > room {
		return &TooLargeError{need, max(0, room), e.cfg.Quota}
	}
	return nil
}

// room is how much of the disk all contents may take together, in bytes.
func (s *shelf) room() (int64, error) {
	free, err := s.free(s.dir)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.quota-s.meta-s.spare(), free-s.floor+s.taken()-s.meta), nil
}

// Pin keeps what a name stands for: APP:CHANNEL, also when that has another version, APP@VERSION, an info hash, or a content's name. Zero keeps it until
// Unpin. The error may be ErrNobody or a *TooLargeError.
func (e *Edge) Pin(name string, d time.Duration) (x Pinned, err error) {
	list := e.named(name)
	if len(list) == 0 {
		return x, ErrNobody
	}
	if err := e.fits(list); err != nil {
		return x, err
	}
	x.Name = name
	for _, k := range list {
		if x.Bytes += k.bytes; !slices.Contains(x.Contents, k.ref()) {
			x.Contents = append(x.Contents, k.ref())
		}
	}
	p := &pin{}
	if d > 0 {
		p.Until = e.cfg.Now().Add(d).UTC().Truncate(time.Second)
		x.Until = &p.Until
	}
	defer e.nudge()
	return x, e.shelf.setPin(name, p)
}

// Unpin takes a pin out. The error may be ErrNotPinned.
func (e *Edge) Unpin(name string) error {
	if _, ok := e.shelf.pinned(e.cfg.Now())[name]; !ok {
		return ErrNotPinned
	}
	defer e.nudge()
	return e.shelf.setPin(name, nil)
}
