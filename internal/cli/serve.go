package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/seeder"
	"shoal/swarm"
)

func serveCommand() *command {
	return &command{
		name:  "serve",
		args:  "PATH…",
		usage: "be an origin: tracker, peer and web server for files, directories and a repository, on one port",
		long: "Each PATH is described (once: the state directory remembers) and offered to machines that run\n" +
			"shoal get, to BitTorrent clients, and for plain download. Content that changes on disk is noticed\n" +
			"and not served any more; run serve again to offer what is there then. A PATH with shoal.json is a repository of\n" +
			"signed releases: what is published into it meanwhile is offered too, and its timestamp is signed daily. Content of\n" +
			"a release that has changed or is lost is offered again when it is published again. --limit-down bounds what is pushed\n" +
			"into it (--token-file): it fetches nothing.",
		examples: []string{
			"shoal serve ./release",
			"shoal serve /srv/releases --public-url http://updates.example:7070",
			"shoal serve app-1.4.tar.gz docs/ --listen :8000 --limit-up 20Mbit",
		},
		options: concat([]option{
			{name: "public-url", value: "URL", usage: "how others reach this port, such as http://updates.example:7070", check: checkPublicURL},
			budgetOption(),
			{name: "open", kind: kindBool, usage: "let the tracker serve any content, not just this"},
			{name: "web-seed", kind: kindList, value: "URL", usage: "where a web server has the content too (BEP 19); may be repeated", check: checkURL("http", "https")},
			{name: "piece-length", kind: kindSize, value: "SIZE", usage: "describe each PATH in pieces of so much: a power of two, such as 1Mi (default: by size, or as it was)", check: checkPieceLength},
			{name: "fleet-slots", kind: kindInt, value: "N", usage: "let so many machines of each group switch at once that ask with shoal update --fleet-lock; 0 is none of our business"},
			{name: "db", value: "URL", usage: "keep what is known of the fleet in a PostgreSQL database that several origins share", secret: true, check: checkURL("postgres", "postgresql")},
			{name: "fleet-lease", kind: kindDuration, value: "TIME", usage: "after so long a slot is free that was not given back", def: "1h"},
			tokenOption("take pushes into the repository from those who know the token in this file's first line"),
		}, swarmOptions(":7070"), peerOptions(), dhtOptions(), trackerOptions(), stateOptions(), logOptions("info"), outputOptions()),
		minArgs: 1, maxArgs: anyArgs, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return e.serve(ctx, args) },
	}
}

func (e *env) serve(ctx context.Context, paths []string) error {
	names := make(map[string]string)
	var repo *release.Repository
	contents := paths[:0:0]
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return err
		}
		if r, err := release.Open(p, release.Config{}); err == nil {
			if repo != nil {
				return usagef("start another shoal serve on another port", "%s and %s are repositories: one node serves one", repo.Dir(), p)
			}
			repo = r
			continue
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return err
		}
		contents = append(contents, p)
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
	token, err := e.token()
	if err != nil {
		return err
	}
	if token != "" && repo == nil {
		return usagef("name one: shoal init makes it", "--token-file is for a repository, and there is none among what is served")
	}
	node, around, err := e.swarmConfig(swarm.RoleOrigin, serverPeers)
	if err != nil {
		return err
	}
	config := daemon.ServeConfig{
		Listen: e.settings.String("listen"), StateDir: state, PublicURL: strings.TrimSuffix(e.settings.String("public-url"), "/"),
		Repository: repo, PushToken: token, Tracker: true, Open: e.settings.Bool("open"), Limits: e.settings.limits(), Plain: true, WebSeeds: e.settings.List("web-seed"),
		PieceLength: e.settings.Bytes("piece-length"),
		FleetSlots:  int(e.settings.Int("fleet-slots")), FleetLease: e.settings.Duration("fleet-lease"), FleetDB: e.settings.String("db"),
		Swarm: node, DHT: e.dht(false), Around: around,
		Progress: func(name string) func(done, total int64) { return e.progress("hashing " + name) }, Version: readVersion().Version, Log: e.log,
	}
	if err := e.setTracker(&config); err != nil {
		return err
	}
	s, err := daemon.NewServer(ctx, config)
	if err != nil {
		return stateHint(err, state)
	}
	s.Seeder().Expect(slices.Collect(maps.Keys(names))...)
	e.explainPort(s)
	if e.settings.given("limit-up") && !e.settings.given("limit-lan") {
		e.report.Notice("--limit-up is for machines elsewhere: those on attached networks are held by --limit-lan")
	}
	return e.runServer(ctx, s, func(ctx context.Context) error {
		if repo != nil {
			if err := e.announceRepository(ctx, s, repo); err != nil {
				return err
			}
		}
		for _, p := range contents {
			c, err := s.Seeder().AddPath(ctx, p)
			e.report.Stop()
			if err != nil {
				return stateHint(buildError(err), state)
			}
			if err := e.announceContent(s, c); err != nil {
				return err
			}
		}
		e.report.Event("ready", struct {
			Port     int `json:"port"`
			Contents int `json:"contents"`
		}{s.Port(), len(s.Seeder().Contents())})
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
	var reloading sync.WaitGroup
	defer reloading.Wait()
	defer stop()
	reloading.Go(func() { e.reloads(running, s.ChangeLimits) })
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

// stateHint adds to an error about the state directory how to choose another.
func stateHint(err error, dir string) error {
	var p *fs.PathError
	if errors.As(err, &p) && (strings.HasPrefix(p.Path, dir) || strings.HasPrefix(dir, p.Path)) {
		return withHint(err, "the state directory has to be writable: name another with --state-dir")
	}
	return err
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
	also := []string{}
	if base == "" {
		hosts := hostPorts(s)
		base = "http://" + hosts[0]
		for _, host := range hosts[1:] {
			also = append(also, "http://"+host+"/"+url.PathEscape(c.Name))
		}
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
		Name     string   `json:"name"`
		Path     string   `json:"path"`
		Infohash string   `json:"infohash"`
		Bytes    int64    `json:"bytes"`
		Pieces   int      `json:"pieces"`
		Files    int      `json:"files"`
		Get      string   `json:"get"`
		URL      string   `json:"url"`
		Torrent  string   `json:"torrent"`
		Magnet   string   `json:"magnet"`
		Cached   bool     `json:"cached"`
		Also     []string `json:"also"`
	}{c.Name, c.Path, c.Key(), c.Length, c.Pieces, c.Files, line, where, where + ".torrent", magnet, c.Cached, also}, func(w io.Writer) {
		fmt.Fprintf(w, "serving %s: %s in %d pieces\n", clean(c.Name), formatBytes(c.Length), c.Pieces)
		fmt.Fprintf(w, "  on another machine:  %s\n", clean(line))
		if len(also) > 0 {
			fmt.Fprintf(w, "  also at:             %s\n", clean(strings.Join(also, " ")))
		}
		fmt.Fprintf(w, "  other clients:       %s\n", clean(where+".torrent"))
		fmt.Fprintf(w, "  magnet:              %s\n", clean(magnet))
	})
	return nil
}

// announceRepository offers what is in a repository, and prints how it is fetched.
func (e *env) announceRepository(ctx context.Context, s *daemon.Server, r *release.Repository) error {
	err := s.RepositoryOffered(ctx)
	e.report.Stop()
	if err != nil {
		return err
	}
	o, err := r.Inspect(ctx)
	if err != nil {
		return err
	}
	base := e.publicURL(s, false)
	releases := 0
	var channels, magnets []string
	for _, a := range o.Apps {
		releases += len(a.Releases)
		for _, c := range a.Channels {
			channels = append(channels, base+"/"+a.App+":"+c.Channel)
			magnets = append(magnets, deliver.ItemMagnet(o.Item, a.App, c.Channel))
		}
	}
	e.report.Result("releases", struct {
		Repository  string   `json:"repository"`
		URL         string   `json:"url"`
		Fingerprint string   `json:"fingerprint"`
		Releases    int      `json:"releases"`
		Channels    []string `json:"channels"`
		Magnets     []string `json:"magnets"`
	}{o.ID, base + "/", o.Fingerprint, releases, orEmpty(channels), orEmpty(magnets)}, func(w io.Writer) {
		fmt.Fprintf(w, "serving repository %s: %s\n", o.ID, plural(releases, "release"))
		for _, c := range channels {
			fmt.Fprintf(w, "  on another machine:  shoal get %s --root root.json\n", c)
		}
		for _, m := range magnets {
			if s.DHT().Mode != daemon.DHTOff {
				fmt.Fprintf(w, "  without this origin: shoal get '%s' --root root.json\n", m)
			}
		}
		fmt.Fprintf(w, "  root.json there is:  %s (SHA-256 %s)\n", clean(filepath.Join(r.Dir(), "root.json")), o.Fingerprint)
	})
	return nil
}

// shellWord quotes a word for a shell if it needs it.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(" '\"\\$`!*?[](){}<>|&;#~\n\t", r) }) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
