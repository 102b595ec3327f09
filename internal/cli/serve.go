package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/piece"
	"shoal/seeder"
	"shoal/swarm"
)

func serveCommand() *command {
	return &command{
		name:  "serve",
		args:  "PATH…",
		usage: "be an origin: tracker, peer and web server for files and directories, on one port",
		long: "Each PATH is described (once: the state directory remembers) and offered to machines that run\n" +
			"shoal get, to BitTorrent clients, and for plain download. Content that changes on disk is noticed\n" +
			"and not served any more; run serve again to offer what is there then.",
		examples: []string{
			"shoal serve ./release",
			"shoal serve app-1.4.tar.gz docs/ --listen :8000 --limit-up 20Mbit",
		},
		options: concat([]option{
			{name: "public-url", value: "URL", usage: "how others reach this port, such as http://updates.example:7070", check: checkURL("http", "https")},
			{name: "open", kind: kindBool, usage: "let the tracker serve any content, not just this"},
			{name: "web-seed", kind: kindList, value: "URL", usage: "where a web server has the content too (BEP 19); may be repeated", check: checkURL("http", "https")},
		}, swarmOptions(":7070"), stateOptions(), dhtOptions(), logOptions("info"), outputOptions()),
		minArgs: 1, maxArgs: anyArgs, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return e.serve(ctx, args) },
	}
}

func (e *env) serve(ctx context.Context, paths []string) error {
	names := make(map[string]string)
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return err
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		name := filepath.Base(abs)
		if deliver.Reserved(name) {
			return usagef("rename it, or serve the directory above", "%s: the name %q belongs to the node's own URLs", p, name)
		}
		if other := names[name]; other != "" {
			return usagef("rename one: the name is the content's URL", "%s and %s have the same name", other, p)
		}
		names[name] = p
	}
	state, err := e.stateDir()
	if err != nil {
		return err
	}
	s, err := daemon.NewServer(ctx, daemon.ServeConfig{
		Listen: e.settings.String("listen"), StateDir: state, PublicURL: strings.TrimSuffix(e.settings.String("public-url"), "/"),
		Tracker: true, Open: e.settings.Bool("open"), Plain: true, WebSeeds: e.settings.List("web-seed"),
		DHT: e.dht(false),
		Swarm: swarm.Config{Role: swarm.RoleOrigin, Site: e.settings.String("site"), UserAgent: userAgent(), MaxPeers: 200,
			LimitUp: e.settings.Bytes("limit-up"), LimitDown: e.settings.Bytes("limit-down")},
		Progress: func(name string) func(done, total int64) { return e.progress("hashing " + name) }, Version: readVersion().Version, Log: e.log,
	})
	if err != nil {
		return err
	}
	e.explainPort(s)
	return e.runServer(ctx, s, func(ctx context.Context) error {
		for _, p := range paths {
			c, err := s.Seeder().AddPath(ctx, p)
			e.report.Stop()
			if err != nil {
				return buildError(err)
			}
			if err := e.announceContent(s, c); err != nil {
				return err
			}
		}
		e.report.Event("ready", struct {
			Port     int `json:"port"`
			Contents int `json:"contents"`
		}{s.Port(), len(paths)})
		return nil
	})
}

// runServer runs a node, adds its content meanwhile, and waits for the end. Serving until a stop
// that was asked for is what it is for: no error.
func (e *env) runServer(ctx context.Context, s *daemon.Server, add func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	if err := add(running); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	err := <-ended
	if ctx.Err() != nil {
		e.report.Event("stopped", nil)
		e.report.Notice("stopped")
	}
	return err
}

func (e *env) stateDir() (string, error) {
	dir := e.settings.String("state-dir")
	if dir == "" {
		return "", usagef("name one with --state-dir", "there is no place for state: neither HOME nor XDG_STATE_HOME is set")
	}
	return dir, nil
}

// explainPort says what the port is for and who must be able to reach it.
func (e *env) explainPort(s *daemon.Server) {
	n := s.Port()
	dht := s.DHT()
	e.report.Event("listening", struct {
		Address string `json:"address"`
		Port    int    `json:"port"`
		DHT     string `json:"dht"`
		Reason  string `json:"dht_reason"`
	}{s.Addr().String(), n, dht.Mode, dht.Reason})
	if !e.report.json {
		udp := "tracker"
		if dht.Mode != daemon.DHTOff {
			udp = "tracker, DHT"
		}
		e.report.Notice("listening on %s: open TCP %d (peers, tracker, web) and UDP %d (%s) in firewalls; %s", s.Addr(), n, n, udp, dht)
		e.report.Notice("without UDP nothing is lost but UDP announces and the DHT; machines that cannot be dialled still fetch, and give to those they dial")
	}
}

// announceContent prints how a content is fetched.
func (e *env) announceContent(s *daemon.Server, c *seeder.Content) error {
	base := e.settings.String("public-url")
	host := hostPort(s)
	if base == "" {
		base = "http://" + host
	}
	base = strings.TrimSuffix(base, "/")
	t, err := s.Seeder().Torrent(c)
	if err != nil {
		return err
	}
	if len(t.Trackers) == 0 {
		t.Trackers = [][]string{{base + "/announce"}}
	}
	magnet := t.Magnet()
	if u, err := url.Parse(base); err == nil && u.Port() != "" {
		magnet += "&x.pe=" + u.Host
	}
	where := base + "/" + url.PathEscape(c.Name)
	line := "shoal get " + shellWord(where)
	for _, n := range c.Notices {
		e.report.Notice("%s", n)
	}
	e.report.Result("serving", struct {
		Name     string `json:"name"`
		Path     string `json:"path"`
		Infohash string `json:"infohash"`
		Bytes    int64  `json:"bytes"`
		Pieces   int    `json:"pieces"`
		Files    int    `json:"files"`
		Get      string `json:"get"`
		URL      string `json:"url"`
		Torrent  string `json:"torrent"`
		Magnet   string `json:"magnet"`
		Cached   bool   `json:"cached"`
	}{c.Name, c.Path, c.Key(), c.Length, c.Pieces, c.Files, line, where, where + ".torrent", magnet, c.Cached}, func(w io.Writer) {
		fmt.Fprintf(w, "serving %s: %s in %d pieces\n", clean(c.Name), formatBytes(c.Length), c.Pieces)
		fmt.Fprintf(w, "  on another machine:  %s\n", clean(line))
		fmt.Fprintf(w, "  other clients:       %s\n", clean(where+".torrent"))
		fmt.Fprintf(w, "  magnet:              %s\n", clean(magnet))
	})
	return nil
}

// hostPort is an address of this machine that others can reach the port at, as far as it can tell.
func hostPort(s *daemon.Server) string {
	a := s.Addr()
	if a.Addr().IsUnspecified() {
		a = netip.AddrPortFrom(ownAddress(), a.Port())
	}
	return a.String()
}

// ownAddress is the address of this machine that is most likely reached by others: a public one,
// else one of the local network, IPv4 first since it is read aloud.
func ownAddress() netip.Addr {
	best, rank := netip.MustParseAddr("127.0.0.1"), 0
	addrs, _ := net.InterfaceAddrs()
	for _, x := range addrs {
		n, ok := x.(*net.IPNet)
		if !ok {
			continue
		}
		a, _ := netip.AddrFromSlice(n.IP)
		a = a.Unmap()
		if !a.IsGlobalUnicast() {
			continue
		}
		r := 1
		if a.Is4() {
			r += 2
		}
		if !a.IsPrivate() {
			r++
		}
		if r > rank {
			best, rank = a, r
		}
	}
	return best
}

// shellWord quotes a word for a shell if it needs it.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(" '\"\\$`!*?[](){}<>|&;#~\n\t", r) }) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func seedCommand() *command {
	return &command{
		name:  "seed",
		args:  "TORRENT PATH",
		usage: "verify content against a .torrent, and give it to others",
		long: "PATH is the content itself, or the directory that holds it. The port is :7070, or any free one if\n" +
			"that is taken.",
		examples: []string{"shoal seed release.torrent /srv/release"},
		options:  concat([]option{roleOption()}, swarmOptions(":7070"), dhtOptions(), logOptions("info"), outputOptions()),
		minArgs:  2, maxArgs: 2, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return e.seed(ctx, args[0], args[1]) },
	}
}

func (e *env) seed(ctx context.Context, torrent, path string) error {
	t, err := readTorrent(torrent)
	if err != nil {
		return err
	}
	path, err = findContent(t.Info, path)
	if err != nil {
		return err
	}
	report, err := piece.Verify(ctx, t.Info, path, piece.VerifyConfig{Progress: e.progress("verifying " + t.Name)})
	e.report.Stop()
	if err != nil {
		return err
	}
	if err := (verified{report}).failure(t.Info); err != nil {
		return withHint(err, "shoal verify names what is bad, and with --repair fetches it")
	}
	role, _ := swarm.ParseRole(e.settings.String("role"))
	config := daemon.ServeConfig{
		Listen: e.settings.String("listen"), Version: readVersion().Version, Log: e.log, DHT: e.dht(t.Private),
		Swarm: swarm.Config{Role: role, Site: e.settings.String("site"), UserAgent: userAgent(), MaxPeers: 200,
			LimitUp: e.settings.Bytes("limit-up"), LimitDown: e.settings.Bytes("limit-down")},
	}
	s, err := daemon.NewServer(ctx, config)
	if errors.Is(err, syscall.EADDRINUSE) && !e.settings.given("listen") {
		config.Listen = ":0"
		if s, err = daemon.NewServer(ctx, config); err == nil {
			e.report.Notice("port 7070 is taken: listening on %d", s.Port())
		}
	}
	if err != nil {
		return err
	}
	return e.runServer(ctx, s, func(ctx context.Context) error {
		c, err := s.Seeder().AddTorrent(t, path)
		if err != nil {
			return err
		}
		dht := s.DHT()
		e.report.Notice("%s", dht)
		e.report.Result("seeding", struct {
			Name     string `json:"name"`
			Infohash string `json:"infohash"`
			Bytes    int64  `json:"bytes"`
			Port     int    `json:"port"`
			Peer     string `json:"peer"`
			DHT      string `json:"dht"`
			Reason   string `json:"dht_reason"`
		}{c.Name, c.Key(), c.Length, s.Port(), hostPort(s), dht.Mode, dht.Reason}, func(w io.Writer) {
			fmt.Fprintf(w, "seeding %s: %s, verified; peer address %s\n", clean(c.Name), formatBytes(c.Length), hostPort(s))
		})
		return nil
	})
}

func trackerCommand() *command {
	return &command{
		name:  "tracker",
		usage: "be a tracker alone, over HTTP and UDP on one port",
		long: "A tracker tells machines that want the same content of each other; it has none itself. Say which\n" +
			"content: --allow FILE has one info hash in hex a line and is read again when it changes; --open is any.",
		examples: []string{"shoal tracker --open", "shoal tracker --allow hashes.txt --listen :6969"},
		options: concat([]option{
			{name: "allow", value: "FILE", usage: "serve only the info hashes in this file", complete: "file"},
			{name: "open", kind: kindBool, usage: "serve any content"},
			listenOption(":6969"),
		}, logOptions("info"), outputOptions()),
		run: func(ctx context.Context, e *env, _ []string) error { return e.track(ctx) },
	}
}

func (e *env) track(ctx context.Context) error {
	allow, open := e.settings.String("allow"), e.settings.Bool("open")
	if (allow == "") == !open {
		return usagef("--open serves any content, --allow FILE what the file lists", "say which content the tracker serves: either --open or --allow FILE")
	}
	s, err := daemon.NewServer(ctx, daemon.ServeConfig{
		Listen: e.settings.String("listen"), Tracker: true, Open: open, AllowFile: allow, Version: readVersion().Version, Log: e.log,
	})
	if err != nil {
		return err
	}
	return e.runServer(ctx, s, func(context.Context) error {
		host := hostPort(s)
		e.report.Result("tracking", struct {
			HTTP string `json:"http"`
			UDP  string `json:"udp"`
			Port int    `json:"port"`
		}{"http://" + host + "/announce", "udp://" + host + "/announce", s.Port()}, func(w io.Writer) {
			fmt.Fprintf(w, "tracker at http://%s/announce and udp://%s/announce\n", host, host)
		})
		return nil
	})
}
