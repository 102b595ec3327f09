package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/edgecache"
	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/port"
	"shoal/internal/release"
	"shoal/internal/webseed"
	"shoal/seeder"
	"shoal/swarm"
	"shoal/swarm/dht"
	"shoal/tracker"
)

// ServeConfig configures a Server.
type ServeConfig struct {
	Listen    string // HOST:PORT
	StateDir  string // "": nothing is kept, there is no control socket
	PublicURL string // how others reach the port, when it is not by an address of ours
	// Tracker runs one, for the server's own content, or with Open for any.
	Tracker, Open bool
	// AllowFile lists the info hashes that the tracker serves, one hex hash a line; "": see Open.
	AllowFile string
	// TokensFile lists the tokens of which an announce needs one in its URL; "": none is needed.
	TokensFile string
	// SiteMapFile says which networks belong to which site; "": nothing is known.
	SiteMapFile string
	// TrustedProxies, RequestsPerSec and Redis (a URL) are the tracker's, see tracker.Config.
	TrustedProxies []netip.Prefix
	RequestsPerSec int
	Redis          string
	// TLSCert and TLSKey are PEM files; with them the port speaks TLS as well.
	TLSCert, TLSKey string
	Plain           bool // contents are also /NAME and /NAME.torrent
	// Repository is one of signed releases, whose files are served and whose content is offered; nil: none.
	Repository *release.Repository
	// PushToken is what publishers must know who push into the repository over HTTP; "": nobody can.
	PushToken string
	// Edge makes the node an edge: it has no contents of its own. Node, Items, StateDir, Log and the cluster's Port are filled in. Nil: it is none.
	Edge *edgecache.Config
	// FleetSlots is how many machines of a group may switch to another version at once, for those that ask (FleetLock); 0: it is not for us to say.
	FleetSlots int
	// FleetLease is after how long a slot that was not given back is free; 0 means an hour.
	FleetLease time.Duration
	// FleetDB is a PostgreSQL database that several origins of a fleet share (postgres://…); "": what is known of the fleet is in the state directory.
	FleetDB  string
	DHT      DHTConfig
	WebSeeds []string
	// PieceLength is that of contents that are described; 0: by size.
	PieceLength int64
	Swarm       swarm.Config
	Limits      Limits // instead of those in Swarm
	Around      Around
	Progress    func(name string) func(done, total int64)
	Version     string
	Log         *slog.Logger
}

// Server is a node behind one port: an origin, a plain seed, or a tracker.
type Server struct {
	cfg     ServeConfig
	port    *port.Port
	lock    *disk.DirLock
	node    *swarm.Node
	tracker *tracker.Server // nil: none
	redis   *tracker.Redis  // nil: none
	tls     *tls.Config     // nil: none
	dht     *dht.Node       // nil: none
	items   deliver.Items   // where the repository is made findable without this server; nil: nowhere
	dhtWhy  DHTStatus
	seeder  *seeder.Seeder
	edge    *edgecache.Edge // nil: it is none
	bounds  *bounds
	serving servers
	started time.Time
	follow  []func(context.Context, *slog.Logger) error // files that may change

	repository http.Handler  // nil without one
	offered    chan error    // what came of the first look at the repository
	heard      chan []byte   // what peers say of the repository's log
	pushes     http.Handler  // nil: nobody can
	fleet      *fleetService // nil: it has none
}

// NewServer takes the state directory and the port.
func NewServer(ctx context.Context, cfg ServeConfig) (s *Server, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s = &Server{cfg: cfg, started: time.Now()}
	if cfg.StateDir != "" {
		if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
			return nil, err
		}
		if s.lock, err = disk.LockDir(cfg.StateDir); err != nil {
			return nil, err
		}
		if err := checkSchema(cfg.StateDir); err != nil {
			s.lock.Close()
			return nil, err
		}
	}
	if cfg.FleetSlots > 0 || cfg.FleetDB != "" || cfg.Repository != nil && cfg.StateDir != "" {
		if s.fleet, err = newFleetService(ctx, cfg); err != nil {
			s.Close()
			return nil, err
		}
	}
	listen := port.Listen
	if cfg.Tracker {
		listen = port.ListenBusy
	}
	if s.port, err = listen(ctx, cfg.Listen); err != nil {
		s.Close()
		return nil, err
	}
	cfg.Around.apply(&cfg.Swarm, s.port)
	cfg.Swarm.Log = cfg.Log
	outside := publicAddresses(ctx, cfg.PublicURL)
	if s.dht, s.dhtWhy = newDHT(ctx, cfg.DHT, s.port, cfg.StateDir, outside, cfg.Log); s.dht != nil {
		cfg.Swarm.Finder = s.dht
		s.items = itemsOf(s.dht)
	}
	s.node = swarm.New(cfg.Swarm)
	sc := seeder.Config{StateDir: cfg.StateDir, Node: s.node, WebSeeds: cfg.WebSeeds, Plain: cfg.Plain, PieceLength: cfg.PieceLength, Progress: cfg.Progress, Log: cfg.Log}
	if cfg.Tracker {
		sc.Announce = [][]string{{fmt.Sprintf("http://%s/announce", s.loopback())}}
		if cfg.PublicURL != "" {
			sc.Trackers = [][]string{{cfg.PublicURL + "/announce"}}
		}
	}
	if cfg.Repository != nil {
		s.heard = make(chan []byte, 16)
		sc.Heard = func(checkpoint []byte) {
			select {
			case s.heard <- checkpoint:
			default: // more than can be looked at says nothing new
			}
		}
	}
	s.seeder = seeder.New(sc)
	if cfg.Repository != nil {
		s.seeder.ExpectRepository(cfg.Repository)
		s.repository, s.offered = seeder.ServeRepository(cfg.Repository.Public()), make(chan error, 1)
		if cfg.PushToken != "" {
			limit := func(r *http.Request) webseed.Limiter { return s.node.DownloadPace(webseed.Remote(r)) }
			s.pushes = &seeder.Pushes{Repository: cfg.Repository, Token: cfg.PushToken, Limit: limit, Log: cfg.Log}
		}
	}
	s.bounds = newBounds(cfg.Limits, s.node, s.seeder.SetBudget, s.lacks(), cfg.Log)
	if err := errors.Join(s.newTracker(outside), s.newEdge()); err != nil {
		s.Close()
		return nil, err
	}
	if cfg.TLSCert != "" {
		pair := certificate(cfg.TLSCert, cfg.TLSKey)
		if err := follow(s, pair); err != nil {
			s.Close()
			return nil, err
		}
		s.tls = tlsConfig(pair)
	}
	return s, nil
}

// follow reads a file, and has Run look whether it changes.
func follow[T any](s *Server, f *followed[T]) error {
	s.follow = append(s.follow, f.follow)
	return f.load()
}

// schemaVersion is that of the state directory.
const schemaVersion = "1\n"

// checkSchema refuses a state directory that a later version has written.
func checkSchema(dir string) error {
	path := filepath.Join(dir, "version")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return disk.WriteFile(path, []byte(schemaVersion), 0o644)
	}
	if err != nil {
		return err
	}
	if string(b) != schemaVersion {
		return fmt.Errorf("%s: state of another version of shoal (schema %.20q): use another --state-dir", dir, b)
	}
	return nil
}

// loopback is an address at which this machine reaches its own port.
func (s *Server) loopback() netip.AddrPort {
	a := s.port.Addr()
	if a.Addr().IsUnspecified() {
		ip := netip.MustParseAddr("127.0.0.1")
		if a.Addr().Is6() && !a.Addr().Is4In6() {
			if _, err := net.ResolveTCPAddr("tcp4", "127.0.0.1:0"); err != nil {
				ip = netip.IPv6Loopback()
			}
		}
		return netip.AddrPortFrom(ip, a.Port())
	}
	return a
}

// Seeder is where content is added.
func (s *Server) Seeder() *seeder.Seeder { return s.seeder }

// ChangeLimits changes limits while the server runs: texts as users write them, by the limits' names.
func (s *Server) ChangeLimits(texts map[string]string) error { return s.bounds.change(texts) }

// Port is the number of the one port.
func (s *Server) Port() int { return s.port.Number() }

// Addr is what the port was taken on.
func (s *Server) Addr() netip.AddrPort { return s.port.Addr() }

// DHT is whether the node takes part in the DHT, and how it is doing there.
func (s *Server) DHT() DHTStatus { return dhtStatus(s.dht, s.dhtWhy) }

// Close gives back what NewServer took. Only needed when Run is not called.
func (s *Server) Close() {
	if s.port != nil {
		s.port.Close()
	}
	if s.redis != nil {
		s.redis.Close()
	}
	if s.fleet != nil {
		s.fleet.store.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	keepsPeers := s.tracker != nil && s.cfg.StateDir != ""
	if keepsPeers {
		defer s.savePeers() // when everything has stopped
	}
	if s.edge != nil { // responses that are under way end first
		var stop context.CancelFunc
		asked := ctx
		ctx, stop = context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		defer context.AfterFunc(asked, func() {
			s.finishResponses()
			stop()
		})()
	}
	g, ctx := errgroup.WithContext(ctx)
	h := port.Handlers{BitTorrent: s.node.HandleConn, Encrypted: s.node.HandleEncrypted, TLS: s.tls != nil, Log: s.cfg.Log}
	if s.tracker != nil {
		h.Tracker, h.Warm, h.Quick = s.tracker.HandleUDP, s.tracker.WarmUDP, s.tracker.HandleHTTP
		g.Go(func() error { return s.tracker.Run(ctx) })
		if keepsPeers {
			g.Go(func() error { s.keepPeers(ctx, peersTime); return nil })
		}
	} else if s.edge != nil {
		h.Quick = s.edge.Quick
	}
	for _, f := range s.follow {
		g.Go(func() error { return f(ctx, s.cfg.Log) })
	}
	if s.tls != nil {
		g.Go(func() error { return s.serveHTTP(ctx, tls.NewListener(s.port.TLS(), s.tls), s.public()) })
	}
	g.Go(func() error { return s.cfg.Around.run(ctx, s.node, s.port, s.cfg.Log) })
	if s.dht != nil {
		h.DHT = s.dht.HandleUDP
		g.Go(func() error { return s.dht.Run(ctx) })
	}
	g.Go(func() error { return s.serveHTTP(ctx, s.port.HTTP(), s.public()) })
	if s.cfg.StateDir != "" {
		ln, err := controlSocket(s.cfg.StateDir)
		if err != nil {
			s.cfg.Log.Warn("no control socket: shoal status needs a URL", "err", err)
		} else {
			g.Go(func() error { return s.serveHTTP(ctx, ln, s.control()) })
		}
	}
	if s.cfg.Repository != nil {
		g.Go(func() error { return s.keepRepository(ctx) })
	}
	if s.fleet != nil {
		g.Go(func() error { return s.fleet.reports.Run(ctx) })
		if s.cfg.Repository != nil {
			g.Go(func() error { return s.fleet.gates(ctx) })
		}
	}
	if s.edge != nil {
		g.Go(func() error { return s.edge.Run(ctx) })
	}
	g.Go(func() error { return s.bounds.follow(ctx) })
	// The node ends first, so that it can say "stopped" to its own tracker.
	g.Go(func() error { return s.node.Run(ctx) })
	g.Go(func() error {
		lingering, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(100*time.Millisecond, cancel) })
		defer stop()
		return s.port.Run(lingering, h)
	})
	return g.Wait()
}

// servers are those that answer HTTP.
type servers struct {
	mu   sync.Mutex
	list []*http.Server
}

func (s *servers) add(srv *http.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, srv)
}

// finishResponses takes no new requests, and waits for the responses that are under way.
func (s *Server) finishResponses() {
	ctx, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	s.serving.mu.Lock()
	list := s.serving.list
	s.serving.mu.Unlock()
	var all sync.WaitGroup
	for _, srv := range list {
		all.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				s.cfg.Log.Warn("responses that were under way are cut off", "err", err)
			}
		})
	}
	all.Wait()
}

func (s *Server) serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	return serveHTTP(ctx, ln, h, &s.serving, s.cfg.Log)
}

// serveHTTP serves until ctx is done. Bodies of any length may be on their way: the server bounds only headers and idle
// connections in time, and handlers how long a response may make no progress.
func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler, serving *servers, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ConnContext: webseed.ConnContext,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	serving.add(srv)
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
