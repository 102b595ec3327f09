package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
)

// nodeDirs are where a node keeps its state below the state directory: an origin or an edge, a tracker alone, a seed.
var nodeDirs = []string{"", trackerDir, seedDir}

// pidOption says which of several running commands is meant.
func pidOption() option {
	return option{name: "pid", kind: kindInt, value: "N", usage: "ask the process with this number, where several get and update run", invocation: true}
}

// controlClient speaks to the node whose state directory was named, and url is what to call it. Where several run, an
// origin or an edge comes first, and get and update last.
func (e *env) controlClient() (client *http.Client, url string, err error) {
	dir, err := e.stateDir()
	if err != nil {
		return nil, "", err
	}
	sockets, err := e.controlSockets(dir)
	if err != nil {
		return nil, "", err
	}
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		for _, socket := range sockets {
			if c, err = (&net.Dialer{}).DialContext(ctx, "unix", socket); !errors.Is(err, syscall.ECONNREFUSED) {
				return c, err
			}
		}
		return nil, fmt.Errorf("no node runs with the state directory %s any more", dir) // it was killed
	}}}, controlURL, nil
}

// controlURL is what HTTP needs for a URL of a control socket.
const controlURL = "http://node"

// controlSockets are those that a node may answer at, the first one that does is meant.
func (e *env) controlSockets(dir string) (sockets []string, err error) {
	none := &deliver.Error{Kind: deliver.ErrNoSource, Message: "no node runs with the state directory " + dir, Hint: "name its URL, or its --state-dir"}
	running := e.settings.has("pid") // it is not for nodes that stay alone
	if running && e.settings.Int("pid") > 0 {
		pid := int(e.settings.Int("pid"))
		if socket := daemon.RunSocket(dir, pid); exists(socket) {
			return []string{socket}, nil
		}
		none.Message = fmt.Sprintf("no process %d runs with the state directory %s", pid, dir)
		return nil, none
	}
	for _, sub := range nodeDirs {
		if socket := filepath.Join(dir, sub, daemon.SocketName); exists(socket) {
			sockets = append(sockets, socket)
		}
	}
	var pids []int
	if running {
		pids = daemon.RunSockets(dir)
	}
	switch {
	case len(pids) == 1:
		sockets = append(sockets, daemon.RunSocket(dir, pids[0]))
	case len(pids) > 1 && len(sockets) == 0:
		var numbers []string
		for _, pid := range pids {
			numbers = append(numbers, strconv.Itoa(pid))
		}
		return nil, usagef("choose one with --pid", "several commands run with this state directory: processes %s", strings.Join(numbers, ", "))
	}
	if len(sockets) == 0 {
		return nil, none
	}
	return sockets, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
