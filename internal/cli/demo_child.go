package cli

import (
	"bufio"
	"context"
	"fmt"
	"runtime"
	"strings"

	"shoal/internal/child"
)

// runChild runs shoal itself until it ends or ctx does; line gets each line of its stdout. Its last
// line on stderr explains a failure.
func runChild(ctx context.Context, program string, args []string, line func([]byte)) error {
	runtime.LockOSThread() // see child.Command
	defer runtime.UnlockOSThread()
	c := child.Command(ctx, program, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr tail
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line(lines.Bytes())
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr.last())
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(b), nil
}

func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return lines[len(lines)-1]
}
