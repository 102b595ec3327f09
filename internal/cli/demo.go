package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/internal/daemon"
	"shoal/piece"
)

const (
	demoBytes    = 64 << 20
	demoSites    = 4
	demoMachines = 8
	demoEdges    = 2
	demoTime     = 6 * time.Second // how long the origin takes for one copy, at least
	demoMinRate  = 8 << 20
	demoQuota    = 256 << 20 // of an edge, beside twice the content: many small files take more of a disk than they have
)

func demoCommand() *command {
	return &command{
		name:  "demo",
		args:  "[PATH]",
		usage: "watch an origin, two edges and eight machines in four sites at work on this computer",
		long: "Real processes on loopback fetch PATH, or the directory shoal stands in with a generated file beside\n" +
			"it, 64 MiB together. The origin's upload is limited, so that what it gives only once can be seen.\n" +
			"Nothing is left behind.",
		examples: []string{"shoal demo", "shoal demo ./release --limit-up 20Mbit"},
		options: concat([]option{
			{name: "limit-up", kind: kindRates, value: "RATES", usage: "what the origin may upload (default: one copy in six seconds)"},
			{name: "deadline", kind: kindDuration, value: "TIME", usage: "give up after so long, exit 6", def: "10m"},
		}, outputOptions()),
		maxArgs: 1, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			return e.demo(ctx, path)
		},
	}
}

// demoRun is one demonstration.
type demoRun struct {
	e       *env
	program string
	dir     string // temporary, for everything
	content string
	nodes   []*demoNode

	mu sync.Mutex // guards the nodes' progress
}

// demoNode is a machine that fetches: a shoal get, or a shoal edge, in a process of its own.
type demoNode struct {
	name, site, role string
	path             string // where the content lies when it is whole
	done             int64
	from             FromBytes
	end              *summary // nil until it is done
	took             time.Duration
	good             bool
}

func (e *env) demo(ctx context.Context, path string) (err error) {
	if d := e.settings.Duration("deadline"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, errDemoLate)
		defer cancel()
	}
	d := &demoRun{e: e}
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "shoal-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if path == "" {
		e.report.Notice("making a release of this directory and a generated file, %s together", formatBytes(demoBytes))
		d.content, err = makeDemoContent(ctx, d.dir)
	} else {
		if _, err := os.Stat(path); err != nil {
			return err
		}
		d.content, err = filepath.Abs(path)
	}
	if err != nil {
		return err
	}
	return d.run(ctx)
}

var errDemoLate = errors.New("the demo took too long")

// run starts everybody, waits, checks, and tells.
func (d *demoRun) run(ctx context.Context) error {
	processes, stop := context.WithCancel(ctx)
	var g errgroup.Group
	defer func() {
		stop()
		g.Wait()
	}()
	// What fails first ends the rest.
	failed := make(chan error, 1)
	start := func(name string, args []string, line func([]byte)) {
		g.Go(func() error {
			err := runChild(processes, d.program, args, line)
			if processes.Err() == nil {
				select {
				case failed <- fmt.Errorf("%s: %w", name, cmp.Or(err, errors.New("ended early"))):
				default:
				}
			}
			return nil
		})
	}
	serving := make(chan demoServing, 1)
	limit, _ := d.e.settings.Rates("limit-up").At(time.Now())
	if limit == 0 {
		limit = max(demoMinRate, sizeOf(d.content)*int64(time.Second)/int64(demoTime))
	}
	start("origin", []string{"serve", d.content, "--dht", "off", "--listen", "127.0.0.1:0", "--state-dir", filepath.Join(d.dir, "origin"),
		"--limit-up", fmt.Sprint(limit), "--json", "--log-level", "error"}, func(b []byte) {
		var s demoServing
		if json.Unmarshal(b, &s) == nil && s.Event == "serving" {
			serving <- s
		}
	})
	var origin demoServing
	select {
	case origin = <-serving:
	case err := <-failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.e.report.Notice("origin: %s, %s in %d pieces, gives at most %s/s", clean(origin.Name), formatBytes(origin.Bytes), origin.Pieces, formatBytes(limit))
	d.e.report.Notice("fetching: %d edges, and %d machines in %d sites", demoEdges, demoMachines, demoSites)
	begin := time.Now()
	all := make(chan struct{})
	left := demoEdges + demoMachines
	add := func(n *demoNode) {
		d.nodes = append(d.nodes, n)
		dir := filepath.Join(d.dir, n.name)
		args := []string{"get", origin.URL, "--output", dir, "--peers", "all", "--seed-for", "24h"}
		if n.path = filepath.Join(dir, origin.Name); n.role == "edge" {
			args = []string{"edge", origin.URL, "--state-dir", dir, "--quota", fmt.Sprint(2*origin.Bytes + demoQuota), "--keep-free", "0"}
			n.path = filepath.Join(dir, "content", origin.Infohash, origin.Name)
		}
		args = append(args, "--listen", "127.0.0.1:0", "--dht", "off", "--json", "--log-level", "error")
		if n.site != "" {
			args = append(args, "--site", n.site)
		}
		start(n.name, args, func(b []byte) {
			if d.tell(n, b, begin) {
				d.mu.Lock()
				if left--; left == 0 {
					close(all)
				}
				d.mu.Unlock()
			}
		})
	}
	for i := range demoEdges {
		add(&demoNode{name: fmt.Sprintf("edge-%d", i+1), role: "edge"})
	}
	for i := range demoMachines {
		site := i * demoSites / demoMachines
		add(&demoNode{name: fmt.Sprintf("machine-%d", i+1), role: "peer", site: string(rune('a' + site))})
	}
	total := origin.Bytes * int64(len(d.nodes))
	d.e.report.Start("fetching", total)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-tick.C:
			d.update()
		case <-all:
			waiting = false
		case err := <-failed:
			d.e.report.Stop()
			return err
		case <-ctx.Done():
			d.e.report.Stop()
			return context.Cause(ctx)
		}
	}
	d.update()
	d.e.report.Stop()
	took := time.Since(begin)
	st, err := askStatus(ctx, "http://"+hostOf(origin.URL))
	if err != nil {
		return fmt.Errorf("asking the origin what it sent: %w", err)
	}
	torrent, err := readDemoTorrent(d.dir, origin.Infohash)
	if err != nil {
		return err
	}
	if err := d.verify(ctx, torrent); err != nil {
		return err
	}
	return d.finish(origin, st, limit, took)
}

// demoServing is what serve says of a content.
type demoServing struct {
	Event    string `json:"event"`
	Name     string `json:"name"`
	Infohash string `json:"infohash"`
	Bytes    int64  `json:"bytes"`
	Pieces   int    `json:"pieces"`
	URL      string `json:"url"`
}

// tell takes a line of a node's JSON, and says whether it was the one that ends its download.
func (d *demoRun) tell(n *demoNode, line []byte, begin time.Time) bool {
	var x struct {
		Event string    `json:"event"`
		Done  int64     `json:"done"`
		From  FromBytes `json:"from"`
	}
	if json.Unmarshal(line, &x) != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch x.Event {
	case "progress":
		n.done, n.from = x.Done, x.From
	case "done", "kept":
		var s summary
		if n.end != nil || json.Unmarshal(line, &s) != nil {
			return false
		}
		n.end, n.done, n.from, n.took = &s, s.Bytes, s.From, time.Since(begin)
		return true
	}
	return false
}

func (d *demoRun) update() {
	d.mu.Lock()
	defer d.mu.Unlock()
	var done int64
	var from FromBytes
	for _, n := range d.nodes {
		done += n.done
		from = from.plus(n.from)
	}
	d.e.report.Update(done, from)
}

func (f FromBytes) plus(g FromBytes) FromBytes {
	return FromBytes{f.Reuse + g.Reuse, f.LAN + g.LAN, f.Peers + g.Peers, f.Edges + g.Edges, f.Origin + g.Origin}
}

// verify reads back what each node has written, with the origin's description and not its word.
func (d *demoRun) verify(ctx context.Context, t *piece.Torrent) error {
	total := t.Length * int64(len(d.nodes))
	d.e.report.Start("reading back what every machine has", total)
	defer d.e.report.Stop()
	for i, n := range d.nodes {
		r, err := piece.Verify(ctx, t.Info, n.path, piece.VerifyConfig{Progress: func(done, _ int64) {
			d.e.report.Update(int64(i)*t.Length+done, FromBytes{})
		}})
		if err != nil {
			return err
		}
		n.good = r.OK()
	}
	return nil
}

// finish prints the table, and fails if anything did not verify.
func (d *demoRun) finish(origin demoServing, st daemon.Status, limit int64, took time.Duration) error {
	var from FromBytes
	var wasted int64
	verified := 0
	for _, n := range d.nodes {
		from = from.plus(n.from)
		wasted += n.end.Wasted
		if n.good {
			verified++
		}
	}
	var sent int64
	for _, c := range st.Contents {
		sent += c.SentPeer + c.SentHTTP
	}
	size := max(origin.Bytes, 1)
	machines := len(d.nodes)
	// The fluid bound (Kumar & Ross 2006) for peers whose own links are not the limit.
	least := float64(origin.Bytes) / float64(limit)
	result := struct {
		summary
		Verified int     `json:"verified"`
		Machines int     `json:"machines"`
		Copies   float64 `json:"origin_copies"`
		Sent     int64   `json:"origin_sent_bytes"`
		Without  int64   `json:"origin_would_send_bytes"`
	}{summary{Name: origin.Name, Infohash: origin.Infohash, Bytes: origin.Bytes, Seconds: seconds(took), From: from, Wasted: wasted,
		Efficiency: float64(int(1000*min(1, least/took.Seconds()))) / 1000},
		verified, machines, float64(1000*sent/size) / 1000, sent, origin.Bytes * int64(machines)}
	d.e.report.Result("done", result, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "\tsite\tverified\ttime\tlan\tpeers\tedges\torigin\t")
		for _, n := range d.nodes {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", n.name, cmp.Or(n.site, "-"), map[bool]string{true: "yes", false: "NO"}[n.good],
				formatSeconds(n.took.Seconds()), formatBytes(n.from.LAN), formatBytes(n.from.Peers), formatBytes(n.from.Edges), formatBytes(n.from.Origin))
		}
		t.Flush()
		fmt.Fprintf(w, "\n%d of %d machines verified in %s.\n", verified, machines, formatSeconds(took.Seconds()))
		fmt.Fprintf(w, "The origin uploaded %s: %.2f copies of the content. Without Shoal it would have been %s: %d copies.\n",
			formatBytes(sent), result.Copies, formatBytes(result.Without), machines)
	})
	if verified != machines {
		return fmt.Errorf("%d of %d machines: %w", machines-verified, machines, piece.ErrCorrupt)
	}
	return nil
}

// readDemoTorrent reads the description that the origin has kept.
func readDemoTorrent(dir, key string) (*piece.Torrent, error) {
	return piece.ReadFile(filepath.Join(dir, "origin", "metainfo", key+".torrent"))
}
