package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime/debug"

	"shoal/internal/daemon"
	"shoal/internal/disk"
)

func trackerCommand() *command {
	return &command{
		name:  "tracker",
		usage: "be a tracker alone, over HTTP and UDP on one port",
		long: "A tracker tells machines that want the same content of each other; it has none itself. Say which\n" +
			"content: --allow FILE has one info hash in hex a line and is read again when it changes; --open is any.\n" +
			"With --tokens FILE only who announces to /TOKEN/announce is served, with a token of that file.\n" +
			"It keeps its peers in the state directory, renewed each minute and when it is stopped, and trackers\n" +
			"with the same --redis share theirs.",
		examples: []string{
			"shoal tracker --open",
			"shoal tracker --allow hashes.txt --listen :6969",
			"shoal tracker --open --tls-cert cert.pem --tls-key key.pem --redis redis://10.0.0.5/0",
		},
		options: concat([]option{
			{name: "allow", value: "FILE", usage: "serve only the info hashes in this file", complete: "file"},
			{name: "open", kind: kindBool, usage: "serve any content"},
			{name: "tokens", value: "FILE", usage: "serve only announces to /TOKEN/announce, with a token of this file, one a line", complete: "file"},
			{name: "redis", value: "URL", usage: "share peers with the other trackers at this Redis, such as redis://HOST:6379/0", check: checkURL("redis", "rediss")},
			listenOption(":6969"),
		}, trackerOptions(), stateOptions(), logOptions("info"), outputOptions()),
		run: func(ctx context.Context, e *env, _ []string) error { return e.track(ctx) },
	}
}

// gcPercent is how much the heap may grow between two collections. Nearly all of a tracker's memory are peers, of which none is garbage and at
// none of which the collector looks: it may run twice as often as usual, and then there is no second copy's worth of room.
const gcPercent = 50

func (e *env) track(ctx context.Context) error {
	allow, open := e.settings.String("allow"), e.settings.Bool("open")
	if (allow == "") == !open {
		return usagef("--open serves any content, --allow FILE what the file lists", "say which content the tracker serves: either --open or --allow FILE")
	}
	config := daemon.ServeConfig{
		Listen: e.settings.String("listen"), Tracker: true, Open: open, AllowFile: allow, TokensFile: e.settings.String("tokens"),
		Redis: e.settings.String("redis"), Version: readVersion().Version, Log: e.log,
	}
	if err := e.setTracker(&config); err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	if dir := e.settings.String("state-dir"); dir != "" {
		config.StateDir = filepath.Join(dir, trackerDir)
	}
	s, err := daemon.NewServer(ctx, config)
	if config.StateDir != "" && !e.settings.given("state-dir") && (errors.Is(err, disk.ErrHeld) || errors.Is(err, fs.ErrPermission)) {
		e.report.Notice("peers are not kept for the next start: %v; choose another --state-dir", err)
		config.StateDir = ""
		s, err = daemon.NewServer(ctx, config)
	}
	if err != nil {
		return err
	}
	return e.runServer(ctx, s, func(context.Context) error {
		host := hostPort(s)
		path := "/announce"
		if config.TokensFile != "" {
			path = "/TOKEN/announce"
		}
		urls := struct {
			HTTP  string `json:"http"`
			HTTPS string `json:"https,omitempty"`
			UDP   string `json:"udp"`
			Port  int    `json:"port"`
		}{HTTP: "http://" + host + path, UDP: "udp://" + host + path, Port: s.Port()}
		if config.TLSCert != "" {
			urls.HTTPS = "https://" + host + path
		}
		e.report.Result("tracking", urls, func(w io.Writer) {
			fmt.Fprintf(w, "tracker at %s and %s\n", urls.HTTP, urls.UDP)
			if urls.HTTPS != "" {
				fmt.Fprintf(w, "and at %s, with the name that the certificate has\n", urls.HTTPS)
			}
		})
		return nil
	})
}

// trackerDir is where a tracker alone keeps its state below the state directory, so that it can run beside an origin.
const trackerDir = "tracker"
