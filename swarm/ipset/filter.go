package ipset

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// Filter is an allow-list and a block-list, each a file or none. It is safe for concurrent use.
type Filter struct {
	allow, block list
	every        time.Duration // how often Follow looks at the files
}

// list is one file.
type list struct {
	path string // "": there is none
	set  atomic.Pointer[Set]
	seen fs.FileInfo
}

// LoadFilter reads the lists; "" is none. Without any the result is nil, which admits everybody.
func LoadFilter(allow, block string) (*Filter, error) {
	if allow == "" && block == "" {
		return nil, nil
	}
	f := &Filter{allow: list{path: allow}, block: list{path: block}, every: 2 * time.Second}
	for _, l := range []*list{&f.allow, &f.block} {
		if l.path != "" {
			if err := l.load(); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// Admits says whether an address is on the allow-list, if there is one, and not on the block-list.
func (f *Filter) Admits(a netip.Addr) bool {
	if f == nil {
		return true
	}
	if s := f.allow.set.Load(); s != nil && !s.Contains(a) {
		return false
	}
	s := f.block.set.Load()
	return s == nil || !s.Contains(a)
}

// Follow reads the files again when they change, until ctx is done.
func (f *Filter) Follow(ctx context.Context, log *slog.Logger) {
	if f == nil {
		return
	}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.allow.refresh(log)
			f.block.refresh(log)
		}
	}
}

func (l *list) load() error {
	file, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if l.seen, err = file.Stat(); err != nil {
		return err
	}
	s, err := Parse(file)
	if err != nil {
		return fmt.Errorf("%s:%w", l.path, err)
	}
	l.set.Store(s)
	return nil
}

// refresh reads the file if it is not what it was.
func (l *list) refresh(log *slog.Logger) {
	if l.path == "" {
		return
	}
	st, err := os.Stat(l.path)
	if err != nil || l.seen != nil && st.ModTime().Equal(l.seen.ModTime()) && st.Size() == l.seen.Size() && os.SameFile(st, l.seen) {
		return // one that is missing for a moment is being replaced
	}
	if err := l.load(); err != nil {
		log.Warn("list of peers' addresses kept as it was", "err", err)
	} else {
		log.Info("list of peers' addresses read again", "file", l.path, "ranges", l.set.Load().Len())
	}
}
