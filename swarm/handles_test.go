package swarm

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// TestHandlesOfMany: many may ask for the same few files at once; each gets one that is open, and none stays open in the end.
func TestHandlesOfMany(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var opened []*os.File
	h := newHandles(2, func(i int, _ bool) (*os.File, error) {
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(i)), os.O_RDWR|os.O_CREATE, 0o666)
		mu.Lock()
		defer mu.Unlock()
		opened = append(opened, f)
		return f, err
	})
	var users sync.WaitGroup
	for u := range 8 {
		users.Go(func() {
			for n := range 200 {
				i := (u + n) % 5
				x, err := h.get(i, n%3 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := x.f.WriteAt([]byte{byte(i)}, 0); err != nil {
					t.Errorf("file %d is lent, but: %v", i, err)
				}
				if h.put(x); n%10 == 0 {
					h.drop(i)
				}
			}
		})
	}
	users.Wait()
	h.close()
	for _, f := range opened {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s was left open: %v", f.Name(), err)
		}
	}
}
