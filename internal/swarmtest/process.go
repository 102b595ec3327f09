package swarmtest

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a Host runs.
type Process struct {
	t       testing.TB
	what    string
	command *exec.Cmd
	cancel  context.CancelFunc
	ended   chan struct{} // closed when it has ended; code is set before

	mu      sync.Mutex
	lines   []string
	errs    strings.Builder
	changed chan struct{} // closed and replaced with each line
	code    int
}

// run starts the process, reads its stdout, and waits for it, all on one thread (see child.Command).
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	stdout, err := p.command.StdoutPipe()
	if err == nil {
		err = p.command.Start()
	}
	started <- err
	if err != nil {
		return
	}
	in := bufio.NewScanner(stdout)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, in.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
	p.command.Wait()
	p.mu.Lock()
	p.code = p.command.ProcessState.ExitCode()
	p.mu.Unlock()
}

// stderr collects what a process writes there.
type stderr Process

func (w *stderr) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.errs.Len() < 1<<20 {
		w.errs.Write(b)
	}
	return len(b), nil
}

func (p *Process) cleanup() {
	p.cancel()
	<-p.ended
	if p.t.Failed() {
		p.t.Logf("%s", p.Output())
	}
}

// Output is what the process has said, for a person to read: the last of it, if it was much.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 60
	out, errs := p.lines, strings.Split(p.errs.String(), "\n")
	out, errs = out[max(0, len(out)-most):], errs[max(0, len(errs)-most):]
	return "--- " + p.what + "\n" + strings.Join(out, "\n") + "\n--- stderr\n" + strings.Join(errs, "\n") + "---"
}

// Lines are the lines of stdout so far.
func (p *Process) Lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// Stderr is what the process has written there so far.
func (p *Process) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.String()
}

// PID is the process's number.
func (p *Process) PID() int { return p.command.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) { p.command.Process.Signal(s) }

// Kill ends the process without its knowing.
func (p *Process) Kill() {
	p.command.Process.Kill()
	<-p.ended
}

// Wait waits for the end and returns the exit code, -1 for a process that a signal has ended.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience()):
		p.t.Fatalf("%s does not end", p.what)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code
}

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Stop interrupts the process as Ctrl-C does, and wants it to end well.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != 0 {
		p.t.Fatalf("%s: exit code %d after an interrupt, want 0\n%s", p.what, code, p.Output())
	}
}

// Succeed waits for a good end.
func (p *Process) Succeed() *Process {
	p.t.Helper()
	return p.Fail(0)
}

// Fail waits for an end with this exit code.
func (p *Process) Fail(code int) *Process {
	p.t.Helper()
	if got := p.Wait(); got != code {
		p.t.Fatalf("%s: exit code %d, want %d\n%s", p.what, got, code, p.Output())
	}
	return p
}

// ExpectLine waits for a line on stdout that matches, and returns it with its submatches.
func (p *Process) ExpectLine(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	p.expect("a line "+pattern, func(line string) bool {
		found = re.FindStringSubmatch(line)
		return found != nil
	})
	return found
}

// Expect waits for an event of shoal, whose fields where accepts (nil: any).
func (p *Process) Expect(event string, where ...func(Event) bool) Event {
	p.t.Helper()
	var found Event
	p.expect("event "+event, func(line string) bool {
		e := parseEvent(p.t, line)
		if e.String("event") != event || len(where) > 0 && !where[0](e) {
			return false
		}
		found = e
		return true
	})
	return found
}

func (p *Process) expect(what string, is func(line string) bool) {
	p.t.Helper()
	late := time.After(patience())
	for seen := 0; ; {
		p.mu.Lock()
		lines, changed := p.lines[seen:], p.changed
		p.mu.Unlock()
		for _, line := range lines {
			seen++
			if is(line) {
				return
			}
		}
		select {
		case <-changed:
		case <-p.ended:
			p.mu.Lock()
			rest := len(p.lines) > seen
			p.mu.Unlock()
			if !rest {
				p.t.Fatalf("%s ended without %s\n%s", p.what, what, p.Output())
			}
		case <-late:
			p.t.Fatalf("%s does not say %s\n%s", p.what, what, p.Output())
		}
	}
}

// ExpectStderr waits for a text on stderr.
func (p *Process) ExpectStderr(text string) {
	p.t.Helper()
	for late := time.Now().Add(patience()); !strings.Contains(p.Stderr(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			p.t.Fatalf("%s does not say %q on stderr\n%s", p.what, text, p.Output())
		}
	}
}

// Events are the events of one name so far.
func (p *Process) Events(event string) (found []Event) {
	p.t.Helper()
	for _, line := range p.Lines() {
		if e := parseEvent(p.t, line); e.String("event") == event {
			found = append(found, e)
		}
	}
	return found
}

// Event is a line of --json.
type Event map[string]any

func parseEvent(t testing.TB, line string) Event {
	t.Helper()
	var e Event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("not a line of JSON: %v: %s", err, line)
	}
	return e
}

// String is a field; "" if it is not there.
func (e Event) String(key string) string { s, _ := e[key].(string); return s }

// Int is a number; 0 if it is not there. A dot leads into an object: from.reuse.
func (e Event) Int(key string) int64 {
	first, rest, nested := strings.Cut(key, ".")
	if nested {
		inner, _ := e[first].(map[string]any)
		return Event(inner).Int(rest)
	}
	n, _ := e[key].(float64)
	return int64(n)
}

// Bool is a field; false if it is not there.
func (e Event) Bool(key string) bool { b, _ := e[key].(bool); return b }
