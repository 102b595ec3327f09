package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"shoal/internal/daemon"
	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

func getCommand() *command {
	return &command{
		name:  "get",
		args:  "SOURCE",
		usage: "fetch content from peers, edges and web seeds, verified",
		long: "SOURCE is a signed release (REPOSITORY/APP:CHANNEL, REPOSITORY/APP@VERSION, a bundle), a .torrent, its URL, the\n" +
			"URL of a content beside which a .torrent lies, or a magnet link.\n" +
			"The content lands in DIR under its own name when all of it is verified; files of those names are\n" +
			"replaced then, and what is right in them is not fetched. Run it again to go on after a stop.",
		examples: []string{
			"shoal get http://origin.example:7070/release -o /opt",
			"shoal get https://origin.example/myapp:stable --root root.json",
			"shoal get release.torrent --select 'bin/*' --seed-for 10m",
			"shoal get http://origin.example:7070/release.tar --stdout | tar x",
		},
		options: concat([]option{
			{name: "output", short: "o", value: "DIR", usage: "the directory to put it in; with --stdout where it waits", def: ".", complete: "dir"},
			{name: "select", kind: kindList, value: "GLOB", usage: "only files whose path or directory matches; may be repeated"},
			{name: "stdout", kind: kindBool, usage: "write the content to stdout, in order; it needs its room in -o DIR ($TMPDIR) meanwhile"},
			{name: "seed-for", kind: kindDuration, value: "TIME", usage: "go on giving to others for so long when done"},
			fromOption(),
		}, releaseOptions(), fetchOptions(), swarmOptions(":0"), peerOptions(), dhtOptions(), waitOptions("1m"), stateOptions(), logOptions("warn"), outputOptions()),
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
		minRateOption("64Ki"),
		roleOption(),
	}
}

func concat(groups ...[]option) []option { return slices.Concat(groups...) }

// uploadPolicies are the values of --peers.
var uploadPolicies = map[string]swarm.Upload{"off": swarm.UploadOff, "lan": swarm.UploadLAN, "site": swarm.UploadSite, "all": swarm.UploadAll}

// upload is --peers, or off when the environment forbids peers to everybody.
func (e *env) upload() swarm.Upload {
	text, _ := e.lookupEnv("SHOAL_DISABLE_P2P")
	switch strings.ToLower(text) {
	case "", "0", "f", "false", "n", "no", "off":
	default: // whoever sets it to anything else means it
		return swarm.UploadOff
	}
	return uploadPolicies[e.settings.String("peers")]
}

// gcPercentOfGet is how much the heap of a fetch may grow between two collections. The first one comes at 6 MB, not 4: a fetch of some MiB has
// ended then, of which it took a tenth.
const gcPercentOfGet = 150

func (e *env) get(ctx context.Context, source string) error {
	begin := time.Now()
	debug.SetGCPercent(gcPercentOfGet)
	src, err := deliver.Classify(source)
	if err != nil {
		return err
	}
	sel, err := deliver.Globs(e.settings.List("select"))
	if err != nil {
		return err
	}
	dir := e.settings.String("output")
	r := deliver.Request{Select: sel, UserAgent: userAgent(), From: e.older(), StateDir: e.settings.String("state-dir")}
	if e.settings.Bool("stdout") {
		if e.report.json {
			return usagef("leave --json away", "--stdout and --json both want stdout")
		}
		if !e.settings.given("output") {
			dir = os.TempDir()
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		temp, err := disk.NewTempDir(dir, ".shoal-stdout-")
		if err != nil {
			return err
		}
		defer temp.Close()
		dir = temp.Path
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
func (e *env) fetch(ctx context.Context, src deliver.Source, r deliver.Request, begin time.Time) (err error) {
	defer e.reloading(ctx)()
	r.Stall = e.settings.Duration("stall-timeout")
	if d := e.settings.Duration("deadline"); d > 0 {
		r.Deadline = begin.Add(d)
	}
	if src.Magnet != nil {
		for _, n := range src.Magnet.Notices {
			e.report.Notice("%s", n)
		}
	}
	var p *runningPeer // started early where the DHT is asked for a repository
	defer func() {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	found, err := e.resolve(ctx, src, r, sync.OnceValues(func() (*deliver.Swarm, error) {
		var err error
		if p, err = e.startPeer(ctx, false, src.Hosts(), false); err != nil || p.Items() == nil {
			return nil, err
		}
		return &deliver.Swarm{Node: p.Node, Items: p.Items(), Peers: e.settings.List("peer")}, nil
	}))
	if err != nil {
		return err
	}
	defer found.Close()
	if r.V2 != "" && found.Release.Tree().V2 != r.V2 {
		return &release.Refusal{Rule: release.RuleMismatch, Message: fmt.Sprintf("%s is another content than the one at %s", found.Release.Ref(), filepath.Join(r.Dir, found.Release.Tree().Name)),
			Hint: "is it the release for another platform? --platform says which"}
	}
	r.Found = *found
	if e.settings.has("from") {
		if r.Select == nil && r.Stdout == nil { // else a file may be one of the directory's
			e.tellUnfit(found)
		}
		r.Unused = e.unused
	}
	r.Peers = append(r.Peers, e.settings.List("peer")...)
	if p == nil {
		if p, err = e.startPeer(ctx, r.Private(), append(r.Hosts(), src.Hosts()...), false); err != nil {
			return err
		}
	}
	r.Discovers = p.Discovers || p.Finds()
	if r.OnlyDiscovers() {
		e.report.Notice("no tracker, web seed or peer is named: looking %s", p.looks())
	}
	return e.deliver(ctx, p.Peer, r, begin)
}

// resolve finds out what a source leads to, before the deadline if there is one. The delivery
// itself watches the deadline on its own, and can say how far it came.
func (e *env) resolve(ctx context.Context, src deliver.Source, r deliver.Request, inSwarm func() (*deliver.Swarm, error)) (*deliver.Found, error) {
	if !r.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.Deadline)
		defer cancel()
	}
	var found *deliver.Found
	var err error
	if src.Signed() {
		found, err = e.resolveRelease(ctx, src, r.Select == nil && r.Stdout == nil, inSwarm)
	} else {
		found, err = deliver.Resolve(ctx, src, deliver.Asking{UserAgent: userAgent(), Patience: r.Stall, Peers: e.upload() != swarm.UploadOff,
			Notice: func(text string) { e.report.Notice("%s", text) }})
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &deliver.Error{Kind: deliver.ErrDeadline, Message: "the deadline passed while asking what to fetch"}
	}
	return found, err
}

func (e *env) deliver(ctx context.Context, node *daemon.Peer, r deliver.Request, begin time.Time) error {
	p := fetchProgress{report: e.report, total: -1}
	r.Metadata = func(x *piece.Torrent) {
		if p.name != "" { // the plan of a release has said it
			return
		}
		p.name = x.Name
		if r.Select == nil && (r.Magnet == nil || len(r.Magnet.Files) == 0) {
			p.total = x.Length
		}
		e.report.Start(p.name, p.total)
	}
	r.Progress = p.update
	hold := time.Duration(0)
	if e.settings.has("seed-for") {
		hold = e.settings.Duration("seed-for")
	}
	r.Gives = hold > 0
	r.Reading = e.reading
	r.Planned = func(plan *deliver.Plan) { e.planned(&p, plan) }
	if hold > 0 && r.Release != nil && node.Items() != nil {
		defer e.keepState(ctx, node, r.Release.Trust.Items())()
	}
	staged, err := deliver.Stage(ctx, node.Node, r)
	if err != nil {
		return interruptible(err, r.Kept())
	}
	e.done(staged, r, time.Since(begin))
	if hold > 0 {
		e.report.Notice("giving to others for %s; Ctrl-C ends it", hold)
		stop := e.watch(ctx, r.Release)
		select {
		case <-time.After(hold):
		case <-ctx.Done():
		}
		stop()
		e.stopped(staged.Stats())
	}
	return staged.Close()
}

// fetchProgress tells how far a fetch is. First what lies there already is hashed, which has a progress of its own.
type fetchProgress struct {
	report   *reporter
	name     string
	total    int64
	checking bool
}

func (p *fetchProgress) update(s swarm.Stats) {
	was := p.checking
	p.checking = !s.Prepared && s.Checked > 0
	switch {
	case p.checking && !was:
		p.report.Start("checking "+p.name, s.Wanted-s.Have)
	case was && !p.checking:
		p.report.Start(p.name, p.total)
	}
	if p.checking {
		p.report.Update(s.Checked, FromBytes{})
		return
	}
	p.report.Update(s.Have, fromBytes(s))
}

// moment is how long work goes on before its progress is shown.
const moment = time.Second

// reading is progress for deliver.Request, which is shown if the work takes longer than a moment.
func (e *env) reading(what string) func(done, total int64) {
	begin, show := time.Now(), e.progress(what)
	return func(done, total int64) {
		if time.Since(begin) > moment {
			show(done, total)
		}
	}
}

// keepState gives others what the repository says of itself, so that they find it when its origin is down, until the function that it returns is called.
func (e *env) keepState(ctx context.Context, node *daemon.Peer, keys []string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	s := deliver.Swarm{Node: node.Node, Items: node.Items(), Peers: e.settings.List("peer")}
	g.Go(func() { s.KeepStateOf(ctx, keys, nil, nil, e.log) })
	return func() {
		cancel()
		g.Wait()
	}
}

// watch tells of logs that have forked while a release is given to others, until the function that it returns is called.
func (e *env) watch(ctx context.Context, t *deliver.Trusted) (stop func()) {
	if t == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	g.Go(func() { t.Watch(ctx, e.forked) })
	return func() {
		cancel()
		g.Wait()
	}
}

// forked tells of a log that has two histories.
func (e *env) forked(err error) {
	f := explain(err)
	e.report.Notice("%s — %s", err, f.hint)
}

// done tells that everything is verified and in place.
func (e *env) done(staged *deliver.Staged, r deliver.Request, took time.Duration) {
	if r.Stdout != nil {
		e.report.Stop()
		return
	}
	s, t := staged.Stats(), staged.Torrent()
	sum := summary{Name: t.Name, Infohash: t.Key(), Bytes: s.Wanted, Seconds: seconds(took),
		From: fromBytes(s), Wasted: s.Wasted, Efficiency: efficiency(s, took), TMin: seconds(min(s.TMin(), took)), Held: heldBy(s), Idle: idleSeconds(s)}
	if staged.Plan != nil {
		c := staged.Plan.Chosen()
		sum.Way, sum.PatchFrom, sum.Saved = c.Way, c.From, max(0, t.Length-(sum.From.sum()-sum.From.Reuse))
	}
	e.report.Done(sum)
}

// stopped tells what was given to others.
func (e *env) stopped(s swarm.Stats) {
	to := FromBytes{LAN: s.To[swarm.LAN], Peers: s.To[swarm.Peers], Edges: s.To[swarm.Edges], Origin: s.To[swarm.Origin]}
	e.report.Event("stopped", struct {
		Sent int64     `json:"sent_bytes"`
		To   FromBytes `json:"to"`
	}{to.sum(), to})
}

func fromBytes(s swarm.Stats) FromBytes { return fromClasses(s.From) }

func fromClasses(f [swarm.Classes]int64) FromBytes {
	return FromBytes{Reuse: f[swarm.Reuse], LAN: f[swarm.LAN], Peers: f[swarm.Peers], Edges: f[swarm.Edges], Origin: f[swarm.Origin]}
}

func heldBy(s swarm.Stats) HeldBy {
	by := func(h swarm.Hold) float64 { return seconds(s.Held[h]) }
	return HeldBy{Link: by(swarm.HoldLink), Limit: by(swarm.HoldLimit), LAN: by(swarm.HoldLAN), Peers: by(swarm.HoldPeers), Edges: by(swarm.HoldEdges),
		Origin: by(swarm.HoldOrigin), Choked: by(swarm.HoldChoked), Pieces: by(swarm.HoldPieces), Nobody: by(swarm.HoldNobody), Disk: by(swarm.HoldDisk)}
}

// efficiency is the shortest time in which this machine could have fetched it over the time it
// took. What is over before a rate was measured counts as 1.
func efficiency(s swarm.Stats, took time.Duration) float64 {
	least := s.TMin()
	if least == 0 {
		return 1
	}
	return min(1, float64(int(1000*least.Seconds()/took.Seconds()))/1000)
}

// idleSeconds says by cause how long connections stood still, all of them together.
func idleSeconds(s swarm.Stats) map[string]float64 {
	all := make(map[string]float64)
	for why, d := range s.Idle {
		all[swarm.IdleCause(why).String()] = seconds(d)
	}
	return all
}

// userAgent is what we call ourselves to others.
func userAgent() string { return "Shoal/" + strings.Trim(readVersion().Version, "()") }
