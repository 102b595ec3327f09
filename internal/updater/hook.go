package updater

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"shoal/internal/child"
	"shoal/internal/disk"
)

// HookError is a hook that did not succeed.
type HookError struct {
	Hook string // pre, post, health, policy
	Err  error
}

func (e *HookError) Error() string { return fmt.Sprintf("the %s hook: %v", e.Hook, e.Err) }
func (e *HookError) Unwrap() error { return e.Err }

// hook is a command of the machine's owner.
type hook struct {
	name    string
	command string
	limit   time.Duration // after which all of it is killed
	env     []string
	log     *slog.Logger
}

// maxHookLine is how much of a line of a hook's output goes to the log, in bytes; maxHookLines how many lines.
const (
	maxHookLine  = 2 << 10
	maxHookLines = 1000
)

// run runs the hook by the shell, its output to the log. What it has started ends with it, or with ctx, or when its time is over.
func (h *hook) run(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	ended := make(chan error, 1)
	go func() { // one thread from start to end: see child.Command
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ended <- h.start(limited)
	}()
	err := <-ended
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("not done after %s, and killed", h.limit)
	}
	return &HookError{h.name, err}
}

func (h *hook) start(ctx context.Context) error {
	shell, flag := "sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	c := child.Group(ctx, shell, flag, h.command)
	c.Env = append(os.Environ(), h.env...)
	out := &lineLog{hook: h}
	c.Stdout, c.Stderr = out, out
	err := c.Run()
	out.flush()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrWaitDelay): // it succeeded, and something that it has started keeps its output
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return fmt.Errorf("exit code %d", exit.ExitCode())
	}
	return err
}

// lineLog brings a hook's output to the log, line by line.
type lineLog struct {
	hook  *hook
	line  []byte
	lines int
}

// Write implements io.Writer; it takes everything, so that a hook never waits for us.
func (l *lineLog) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' || len(l.line) == maxHookLine {
			l.flush()
		}
		if c != '\n' {
			l.line = append(l.line, c)
		}
	}
	return len(b), nil
}

func (l *lineLog) flush() {
	text := strings.TrimRight(string(l.line), "\r")
	l.line = l.line[:0]
	if text == "" {
		return
	}
	switch l.lines++; {
	case l.lines <= maxHookLines:
		l.hook.log.Info("hook says", "hook", l.hook.name, "line", text)
	case l.lines == maxHookLines+1:
		l.hook.log.Warn("hook says too much: the rest is not logged", "hook", l.hook.name)
	}
}

// hookEnv is what hooks are told, about a change from one version to another.
func (u *Updater) hookEnv(name, version, previous string, back bool) []string {
	path := func(v string) string {
		if v == "" {
			return ""
		}
		return u.layout.version(v)
	}
	env := []string{
		"SHOAL_STEP=" + name, "SHOAL_APP=" + u.app, "SHOAL_VERSION=" + version, "SHOAL_PREVIOUS=" + previous,
		"SHOAL_PATH=" + path(version), "SHOAL_PREVIOUS_PATH=" + path(previous), "SHOAL_CURRENT=" + filepath.Clean(u.layout.current()),
		"SHOAL_FENCING_TOKEN=", "SHOAL_ROLLBACK=",
	}
	if u.journal.Slot != nil {
		env = append(env, "SHOAL_FENCING_TOKEN="+u.journal.Slot.Token)
	}
	if back {
		env = append(env, "SHOAL_ROLLBACK=1")
	}
	return env
}

// runHook runs one of the hooks, if there is one.
func (u *Updater) runHook(ctx context.Context, name, command, version, previous string, back bool) error {
	if command == "" {
		return nil
	}
	h := hook{name: name, command: command, limit: u.cfg.HookTimeout, env: u.hookEnv(name, version, previous, back), log: u.cfg.Log}
	return u.runMarked(ctx, &h)
}

// hookMark is the variable by which all that a hook has started is found again, when the updater was killed meanwhile.
const hookMark = "SHOAL_HOOK="

// runMarked runs a hook, and has a file name its mark for as long as it runs. What runs on when it has ended by itself is left alone.
func (u *Updater) runMarked(ctx context.Context, h *hook) error {
	mark := rand.Text()
	h.env = append(h.env, hookMark+mark)
	path := u.layout.hook()
	if err := disk.ReplaceFile(path, []byte(mark), 0o600); err != nil { // no power cut can leave a hook behind: it need not be durable
		u.cfg.Log.Warn("a hook runs that would not be found again", "err", err) // the disk may be full, which is no reason to go back from a version
		return h.run(ctx)
	}
	return errors.Join(h.run(ctx), os.Remove(path))
}

// endHook kills what is left of a hook that was running when the updater was killed.
func (u *Updater) endHook() error {
	path := u.layout.hook()
	mark, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(mark) > 0 {
		n, err := child.KillMarked(hookMark + string(mark))
		if err != nil {
			return fmt.Errorf("ending the hook that was left running: %w", err)
		}
		if n > 0 {
			u.cfg.Log.Warn("a hook that was left running was killed", "processes", n)
		}
	}
	return os.Remove(path)
}
