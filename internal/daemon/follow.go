package daemon

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"shoal/tracker"
)

// followed is a file that an operator edits while the node runs. It is read again when it changes; one that cannot be read then leaves the
// former in force.
type followed[T any] struct {
	what, path string
	parse      func(io.Reader) (T, error)
	value      atomic.Pointer[T]
	version    atomic.Uint32 // 1, and more with each time it is read
	seen       time.Time
}

func (f *followed[T]) get() T { return *f.value.Load() }

// load reads the file. follow and it are called by one goroutine at a time.
func (f *followed[T]) load() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if st, err := file.Stat(); err == nil {
		f.seen = st.ModTime()
	}
	v, err := f.parse(file)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.value.Store(&v)
	f.version.Add(1)
	return nil
}

// follow looks every two seconds whether the file has changed.
func (f *followed[T]) follow(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			st, err := os.Stat(f.path)
			if err != nil || st.ModTime().Equal(f.seen) {
				continue
			}
			if err := f.load(); err != nil {
				f.seen = st.ModTime()
				log.Warn("a file that has changed cannot be read: the former holds", "file", f.what, "err", err)
			} else {
				log.Info("a file that has changed was read again", "file", f.what)
			}
		}
	}
}

// eachLine calls each with the lines of a file that say something, without comments behind #.
func eachLine(r io.Reader, each func(line string) error) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := each(text); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

type hashSet map[[20]byte]bool

// parseAllow reads info hashes, one in hex a line: 40 digits, or the 64 of a v2 hash.
func parseAllow(r io.Reader) (hashSet, error) {
	set := make(hashSet)
	return set, eachLine(r, func(line string) error {
		b, err := hex.DecodeString(line)
		if err != nil || len(b) != 20 && len(b) != 32 {
			return fmt.Errorf("%.80q is not an info hash in hex", line)
		}
		set[[20]byte(b[:20])] = true
		return nil
	})
}

// parseTokens reads tokens, one a line.
func parseTokens(r io.Reader) (map[string]bool, error) {
	set := make(map[string]bool)
	return set, eachLine(r, func(line string) error {
		if !tracker.ValidToken(line) {
			return fmt.Errorf("%.80q is not a token: up to 64 letters, digits, - and _", line)
		}
		set[line] = true
		return nil
	})
}
