package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/edgecache"
	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/piece"
	"shoal/swarm"
)

func getCommand() *command {
	return &command{
		name:  "get",
		args:  "SOURCE",
		usage: "fetch content from peers, edges and web seeds, verified",
		long: "SOURCE is a .torrent, its URL, the URL of a content beside which a .torrent lies, or a magnet link.\n" +
			"The content lands in DIR under its own name when all of it is verified; files of those names are\n" +
			"replaced then, and what is right in them is not fetched. Run it again to go on after a stop.",
		examples: []string{
			"shoal get http://origin.example:7070/release -o /opt",
			"shoal get release.torrent --select 'bin/*' --seed-for 10m",
			"shoal get http://origin.example:7070/release.tar --stdout | tar x",
		},
		options: concat([]option{
			{name: "output", short: "o", value: "DIR", usage: "the directory to put it in", def: ".", complete: "dir"},
			{name: "select", kind: kindList, value: "GLOB", usage: "only files whose path or directory matches; may be repeated"},
			{name: "stdout", kind: kindBool, usage: "write the content to stdout, in order, and keep no file"},
			{name: "seed-for", kind: kindDuration, value: "TIME", usage: "go on giving to others for so long when done"},
		}, fetchOptions(), swarmOptions(":0"), dhtOptions(), waitOptions("1m"), logOptions("warn"), outputOptions()),
		minArgs: 1, maxArgs: 1, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return e.get(ctx, args[0]) },
	}
}

// roleOption is what a node calls itself to others.
func roleOption() option {
	return option{name: "role", value: "ROLE", usage: "what to be to other nodes: peer, or edge (a copy near users)", def: "peer", choices: []string{"peer", "edge"}}
}

// fetchOptions are for commands that fetch.
func fetchOptions() []option {
	return []option{
		{name: "peer", kind: kindList, value: "HOST:PORT", usage: "a peer to ask; may be repeated", check: checkListen},
		{name: "peers", value: "WHOM", usage: "whom to give to: off asks web seeds alone", def: "site", choices: []string{"off", "lan", "site", "all"}},
		roleOption(),
	}
}

func concat(groups ...[]option) (all []option) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// uploadPolicies are the values of --peers.
var uploadPolicies = map[string]swarm.Upload{"off": swarm.UploadOff, "lan": swarm.UploadLAN, "site": swarm.UploadSite, "all": swarm.UploadAll}

// upload is --peers, or off when the environment forbids peers to everybody.
func (e *env) upload() swarm.Upload {
	text, _ := e.lookupEnv("SHOAL_DISABLE_P2P")
	if off, err := strconv.ParseBool(text); err == nil && off {
		return swarm.UploadOff
	}
	return uploadPolicies[e.settings.String("peers")]
}

func (e *env) get(ctx context.Context, source string) error {
	begin := time.Now()
	src, err := deliver.Classify(source)
	if err != nil {
		return err
	}
	sel, err := deliver.Globs(e.settings.List("select"))
	if err != nil {
		return err
	}
	dir := e.settings.String("output")
	r := deliver.Request{Select: sel, UserAgent: userAgent()}
	if e.settings.Bool("stdout") {
		if e.report.json {
			return usagef("leave --json away", "--stdout and --json both want stdout")
		}
		if !e.settings.given("output") {
			dir = os.TempDir()
		}
		if dir, err = os.MkdirTemp(dir, ".shoal-stdout-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		// A pipe that breaks is an error to clean up after; the default for stdout is to end at once.
		broken := make(chan os.Signal, 1)
		signal.Notify(broken, syscall.SIGPIPE)
		defer signal.Stop(broken)
		r.Stdout = e.stdout
	}
	r.Dir = dir
	return e.fetch(ctx, src, r, begin)
}

// fetch carries a request through: a node, the transfer, the summary, and seeding afterwards.
func (e *env) fetch(ctx context.Context, src deliver.Source, r deliver.Request, begin time.Time) error {
	r.Stall = e.settings.Duration("stall-timeout")
	if d := e.settings.Duration("deadline"); d > 0 {
		r.Deadline = begin.Add(d)
	}
	found, err := resolve(ctx, src, r.Deadline)
	if err != nil {
		return err
	}
	r.Found = *found
	r.Peers = append(r.Peers, e.settings.List("peer")...)
	role, _ := swarm.ParseRole(e.settings.String("role"))
	dht := e.dht(r.Private(), r.Hosts()...)
	dht.ReadOnly = true // it leaves soon: others would ask it in vain
	node, err := daemon.NewPeer(ctx, daemon.PeerConfig{Listen: e.settings.String("listen"), Log: e.log, DHT: dht, Swarm: swarm.Config{
		Role: role, Site: e.settings.String("site"), Upload: e.upload(), UserAgent: userAgent(),
		LimitUp: e.settings.Bytes("limit-up"), LimitDown: e.settings.Bytes("limit-down"),
	}})
	if err != nil {
		return err
	}
	e.log.Debug(node.DHT().String())
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return node.Run(running) })
	err = e.deliver(ctx, node, r, begin)
	stop()
	return errors.Join(err, g.Wait())
}

// resolve finds out what a source leads to, before the deadline if there is one. The delivery
// itself watches the deadline on its own, and can say how far it came.
func resolve(ctx context.Context, src deliver.Source, deadline time.Time) (*deliver.Found, error) {
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	found, err := deliver.Resolve(ctx, src, userAgent())
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &deliver.Error{Kind: deliver.ErrDeadline, Message: "the deadline passed while asking for the .torrent"}
	}
	return found, err
}

func (e *env) deliver(ctx context.Context, node *daemon.Peer, r deliver.Request, begin time.Time) error {
	r.Metadata = func(x *piece.Torrent) {
		total := int64(-1)
		if r.Select == nil && (r.Magnet == nil || len(r.Magnet.Files) == 0) {
			total = x.Length
		}
		e.report.Start(x.Name, total)
	}
	r.Progress = func(s swarm.Stats) { e.report.Update(s.Have, fromBytes(s)) }
	hold := time.Duration(0)
	if e.settings.has("seed-for") {
		hold = e.settings.Duration("seed-for")
	}
	var tr *swarm.Transfer
	err := edgecache.Keep(ctx, node.Node, r, hold, func(x *swarm.Transfer) {
		tr = x
		e.done(x, r, time.Since(begin))
		if hold > 0 {
			e.report.Notice("giving to others for %s; Ctrl-C ends it", hold)
		}
	})
	if err != nil {
		return interruptible(err, "what is verified is kept: run it again to go on")
	}
	if hold > 0 {
		e.stopped(tr.Stats())
	}
	return nil
}

// done tells that everything is verified and in place.
func (e *env) done(tr *swarm.Transfer, r deliver.Request, took time.Duration) {
	if r.Stdout != nil {
		e.report.Stop()
		return
	}
	s, t := tr.Stats(), tr.Torrent()
	e.report.Done(summary{Name: t.Name, Infohash: infohash(t.Info), Bytes: s.Wanted, Seconds: seconds(took),
		From: fromBytes(s), Wasted: s.Wasted, Efficiency: efficiency(s, took)})
}

// stopped tells what was given to others.
func (e *env) stopped(s swarm.Stats) {
	to := FromBytes{LAN: s.To[swarm.LAN], Peers: s.To[swarm.Peers], Edges: s.To[swarm.Edges], Origin: s.To[swarm.Origin]}
	e.report.Event("stopped", struct {
		Sent int64     `json:"sent_bytes"`
		To   FromBytes `json:"to"`
	}{to.sum(), to})
}

func fromBytes(s swarm.Stats) FromBytes {
	f := s.From
	return FromBytes{Reuse: f[swarm.Reuse], LAN: f[swarm.LAN], Peers: f[swarm.Peers], Edges: f[swarm.Edges], Origin: f[swarm.Origin]}
}

// efficiency is the shortest time in which this machine could have fetched it over the time it
// took: what was fetched over the best second's rate. What is over within a second counts as 1.
func efficiency(s swarm.Stats, took time.Duration) float64 {
	fetched := float64(fromBytes(s).sum() - s.From[swarm.Reuse])
	if s.PeakDown == 0 || fetched == 0 {
		return 1
	}
	return min(1, float64(int(1000*fetched/float64(s.PeakDown)/took.Seconds()))/1000)
}

// infohash is what a content is called: its v2 info hash, or the v1 hash if it has no other.
func infohash(in *piece.Info) string {
	if in.HasV2 {
		return hex.EncodeToString(in.V2[:])
	}
	return hex.EncodeToString(in.V1[:])
}

// userAgent is what we call ourselves to others.
func userAgent() string { return "Shoal/" + strings.Trim(readVersion().Version, "()") }
