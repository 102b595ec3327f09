package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// SocketName is the control socket's name in the state directory.
const SocketName = "control.sock"

// LimitsPath is where the control socket answers with the limits (GET: [LimitStatus]), and takes
// changes (PATCH: an object of texts by the limits' names; 400 and a line of text if one cannot be read).
const LimitsPath = "/api/v1/limits"

// controlled is a node that its user asks and changes while it runs.
type controlled interface {
	Status() Status
	ChangeLimits(texts map[string]string) error
}

// control is what the control socket of any node serves.
func control(n controlled) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, n.Status()) })
	mux.HandleFunc("GET "+LimitsPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, n.Status().Limits) })
	mux.HandleFunc("PATCH "+LimitsPath, func(w http.ResponseWriter, r *http.Request) {
		var texts map[string]string
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&texts)
		if err == nil {
			err = n.ChangeLimits(texts)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, n.Status().Limits)
	})
	return mux
}

// controlSocket makes the socket in a state directory whose lock is held, so one that lies there is left over from a
// process that was killed.
func controlSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return listenControl(path)
}

// listenControl makes a socket for its owner alone.
func listenControl(path string) (net.Listener, error) {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// Commands that end by themselves hold no state directory: any number of them run beside each other, each with a socket
// PID.sock in the directory run of it, which is there only while one of them runs.
const (
	runDir       = "run"
	socketSuffix = ".sock"
)

// RunSocket is where the control socket of a command that ends by itself is, by its process.
func RunSocket(stateDir string, pid int) string {
	return filepath.Join(stateDir, runDir, strconv.Itoa(pid)+socketSuffix)
}

// RunSockets are the processes that have one and answer.
func RunSockets(stateDir string) (pids []int) {
	list, _ := os.ReadDir(filepath.Join(stateDir, runDir)) // no directory: none runs
	for _, e := range list {
		name, is := strings.CutSuffix(e.Name(), socketSuffix)
		if pid, err := strconv.Atoi(name); is && err == nil && answers(RunSocket(stateDir, pid)) == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// answers says whether somebody listens at a socket.
func answers(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return err
}

// runSocket makes this process's socket, and removes those that killed ones have left. What it has made is gone with done.
func runSocket(stateDir string) (ln net.Listener, done func(), err error) {
	_, err = os.Stat(stateDir)
	own := errors.Is(err, fs.ErrNotExist)
	dir := filepath.Join(stateDir, runDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	removeDirs := func() { // those that are empty
		os.Remove(dir)
		if own {
			os.Remove(stateDir)
		}
	}
	removeLeft(dir)
	path := RunSocket(stateDir, os.Getpid())
	os.Remove(path) // of an earlier process of that number
	if ln, err = listenControl(path); err != nil {
		removeDirs()
		return nil, nil, err
	}
	return ln, func() {
		ln.Close()
		os.Remove(path)
		removeDirs()
	}, nil
}

// settleTime is how long a process takes at most from making a socket to listening at it.
const settleTime = time.Minute

// removeLeft removes sockets that nobody listens at.
func removeLeft(dir string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		st, err := e.Info()
		if err == nil && strings.HasSuffix(path, socketSuffix) && time.Since(st.ModTime()) > settleTime && errors.Is(answers(path), syscall.ECONNREFUSED) {
			os.Remove(path)
		}
	}
}

// serveControl serves a command's control socket until ctx is done. One that cannot be had is no failure of the command's.
func (p *Peer) serveControl(ctx context.Context) error {
	ln, done, err := runSocket(p.cfg.StateDir)
	if err != nil {
		p.cfg.Log.Info("no control socket: shoal status and shoal limit do not reach this command", "err", err)
		return nil
	}
	defer done()
	return serveHTTP(ctx, ln, control(p), &p.serving, p.cfg.Log)
}
