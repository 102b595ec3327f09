package daemon

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// allowList is a file of info hashes, one in hex a line (40 digits, or the 64 of a v2 hash), with
// comments behind #. It is read again when it changes.
type allowList struct {
	path string
	set  atomic.Pointer[map[[20]byte]bool]
	seen time.Time
}

func (l *allowList) has(hash [20]byte) bool { return (*l.set.Load())[hash] }

func (l *allowList) load() error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		l.seen = st.ModTime()
	}
	set := make(map[[20]byte]bool)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 20 && len(b) != 32 {
			return fmt.Errorf("%s:%d: %.80q is not an info hash in hex", l.path, n, text)
		}
		set[[20]byte(b[:20])] = true
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	l.set.Store(&set)
	return nil
}

// follow reads the file again when it changes; one that cannot be read leaves the former in force.
func (l *allowList) follow(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			st, err := os.Stat(l.path)
			if err != nil || st.ModTime().Equal(l.seen) {
				continue
			}
			if err := l.load(); err != nil {
				l.seen = st.ModTime()
				log.Warn("allow list kept as it was", "err", err)
			} else {
				log.Info("allow list read again", "hashes", len(*l.set.Load()))
			}
		}
	}
}
