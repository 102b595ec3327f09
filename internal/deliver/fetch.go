package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/piece"
	"shoal/swarm"
)

// Request says what to fetch and how long to wait for it.
type Request struct {
	Found
	Dir       string              // content lands at Dir/NAME
	Select    func(p string) bool // nil: everything
	Stdout    io.Writer           // if set: the content goes there, in order, and Dir is only where it waits
	Stall     time.Duration       // give up when no byte came for so long; 0: never
	Deadline  time.Time           // zero: none
	UserAgent string
	// Discovers says that the node finds peers that nobody names, on the LAN or in the DHT.
	Discovers bool

	// From are directories in which older versions lie: their trees themselves, or directories that have them. Dir is looked at as well. For Stage.
	From []string
	// Doubtful says that they are hashed, also where the state directory knows what they were.
	Doubtful bool
	// V2 is the release's info hash, if it is known which one it must be, in hex. For who resolves it.
	V2 string
	// StateDir is where the metainfo of installed versions is kept; may be empty. For Stage.
	StateDir string
	// Final is where the content will be moved to, which the state directory is to know; nil: it stays. For Stage.
	Final func(info *piece.Info) string
	// Artefacts is where archives and patches that were fetched stay, so that they can be given to others: KEY/NAME and KEY.torrent, by their v2 info hashes;
	// "": they are removed. For Stage.
	Artefacts string
	// Gives says that what comes is given to others for a while when all is here. For Stage.
	Gives bool
	// Reading is called when Stage or PlanRelease begins to read an older version, where it takes that to know what it has: with what it does, such as
	// "reading /opt/app-1". What it returns is told how far that is, from many goroutines. May be nil.
	Reading func(what string) func(done, total int64)
	// Unused is told which of From is of no use, and why. May be nil.
	Unused func(path, why string)
	// Planned is told how Stage brings a release here, and again when one way has failed.
	Planned func(p *Plan)

	heard   chan []byte // checkpoints that peers have seen of the log
	reading bool        // it is an artefact, and used as it comes

	// Metadata is called once when it is known what is fetched.
	Metadata func(t *piece.Torrent)
	// Progress is called about ten times a second.
	Progress func(s swarm.Stats)
}

// Fetch fetches into Dir with node, which must be running. It returns when everything is verified
// and in place; the transfer goes on seeding until it is closed.
func Fetch(ctx context.Context, node *swarm.Node, r Request) (*swarm.Transfer, error) {
	t, err := r.begin(node)
	if err == nil && r.Torrent == nil && r.whole != nil {
		t, err = r.awaitDescription(ctx, node, t)
	}
	if err != nil {
		return nil, err
	}
	if err := r.follow(ctx, t); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// begin adds the transfer to the node.
func (r *Request) begin(node *swarm.Node) (*swarm.Transfer, error) {
	spec := swarm.Spec{Torrent: r.Torrent, Dir: r.Dir, Select: r.Select, Trackers: r.Trackers, Crowd: r.whole != nil, WebSeeds: r.WebSeeds, OriginSeeds: r.Origin, SpareSeeds: r.Spares, Local: r.Local, Peers: r.Peers}
	if m := r.Magnet; m != nil {
		if r.Torrent == nil {
			spec.V1, spec.V2, spec.HasV1, spec.HasV2 = m.V1, m.V2, m.HasV1, m.HasV2
		}
		if len(m.Files) > 0 {
			spec.SelectIndex = m.Wants
		}
	}
	spec.Keep = r.Stdout != nil || r.reading && r.Artefacts == ""
	spec.InOrder = r.Stdout != nil || r.reading && node.Uploads() != swarm.UploadAll // it is unpacked as it comes; a swarm is better served by rare pieces
	if node.Uploads() == swarm.UploadOff {                                           // then nobody but web seeds is asked
		r.Peers, r.Trackers, r.Discovers = nil, nil, false
		if r.Torrent == nil {
			return nil, &Error{ErrNoSource, "peers are off, and only they can describe what this magnet link names", "use a .torrent, or a magnet link with xs=URL"}
		}
		if !r.hasSource() {
			return nil, &Error{ErrNoSource, "peers are off, and no web seed is known", "leave --peers off away (or SHOAL_DISABLE_P2P), or name a source on the web"}
		}
	}
	if !r.hasSource() && r.Torrent == nil {
		return nil, noSource()
	}
	if r.Release != nil {
		r.heard = r.Release.heard
		spec.Note = r.Release.Trust.Checkpoint().Note
		spec.Heard = r.Release.hear
	}
	return node.Add(spec)
}

func noSource() error {
	return &Error{ErrNoSource, "there is no tracker, web seed or peer to get this from", "name one with --peer HOST:PORT, or look in a DHT: --dht public, or --dht-bootstrap HOST:PORT"}
}

func (r *Request) hasSource() bool {
	discovers := r.Discovers && (r.Torrent == nil || !r.Torrent.Private) // BEP 27
	return discovers || len(r.Trackers) > 0 || len(r.WebSeeds) > 0 || len(r.Origin) > 0 || len(r.Peers) > 0 || r.Torrent != nil && len(r.Torrent.WebSeeds) > 0
}

// OnlyDiscovers says that nobody is named who has the content: it is looked for, and may be found or not.
func (r *Request) OnlyDiscovers() bool {
	named := *r
	named.Discovers = false
	return r.hasSource() && !named.hasSource()
}

// follow waits for the end, tells progress, and gives up when it is time.
func (r *Request) follow(ctx context.Context, t *swarm.Transfer) error {
	var out chan error
	if r.Stdout != nil {
		out = make(chan error, 1)
		stop, cancel := context.WithCancel(ctx)
		go func() { out <- r.pipe(stop, t) }()
		defer func() {
			cancel()
			if out != nil {
				<-out
			}
		}()
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var deadline <-chan time.Time
	if !r.Deadline.IsZero() {
		d := time.NewTimer(time.Until(r.Deadline))
		defer d.Stop()
		deadline = d.C
	}
	known, done := t.Known(), t.Done()
	moved, last := time.Now(), int64(0)
	for done != nil || out != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-known:
			known = nil
			if r.Metadata != nil {
				r.Metadata(t.Torrent())
			}
		case <-done:
			done = nil
			if err := t.Err(); err != nil {
				return explain(t, err)
			}
		case err := <-out:
			out = nil
			if err != nil {
				return err
			}
		case seen := <-r.heard:
			if err := r.Release.Trust.Witness(ctx, seen); err != nil {
				return err
			}
		case <-deadline:
			return r.unfinished(ErrDeadline, "the deadline passed", t)
		case now := <-tick.C:
			s := t.Stats()
			if r.Progress != nil {
				r.Progress(s)
			}
			if s.Prepared && s.Have < s.Wanted && !r.hasSource() {
				return noSource()
			}
			if s.Peers == 0 && r.onlyHere() && errors.Is(t.WebSeedErr(), swarm.ErrBadContent) && now.Sub(moved) > damagedTime {
				return &Error{piece.ErrCorrupt, "the content to be read on this machine is damaged",
					"copy the bundle, or the repository, again from where it came"}
			}
			if n := s.Have + s.Checked + sum(s.From) + s.Wasted; n != last {
				moved, last = now, n
			}
			if r.Stall > 0 && now.Sub(moved) > r.Stall && done != nil {
				return r.gaveUp(t, s)
			}
		}
	}
	if r.Progress != nil {
		r.Progress(t.Stats())
	}
	return nil
}

// damagedTime is how long nothing has come from content on this machine that is wrong in places, until the rest of it is taken to be here.
const damagedTime = 2 * time.Second

// onlyHere says that no server is named, only content on this machine.
func (r *Request) onlyHere() bool {
	return r.Local != nil && len(r.WebSeeds) == 0 && !slices.ContainsFunc(r.Origin, func(u string) bool { return !strings.HasPrefix(u, "http://"+localHost+"/") })
}

// servers is how many web seeds there are.
func (r *Request) servers() int {
	all := slices.Concat(r.WebSeeds, r.Origin, r.Spares)
	if r.Torrent != nil {
		all = append(all, r.Torrent.WebSeeds...)
	}
	slices.Sort(all)
	return len(slices.Compact(all))
}

func sum(a [swarm.Classes]int64) (n int64) {
	for _, x := range a {
		n += x
	}
	return n
}

// gaveUp says why nothing comes: nobody was ever there, or they stopped.
func (r *Request) gaveUp(t *swarm.Transfer, s swarm.Stats) error {
	fetched := sum(s.From) - s.From[swarm.Reuse]
	if s.Connected == 0 && r.servers() == 1 && errors.Is(t.WebSeedErr(), swarm.ErrBadContent) {
		return r.unfinished(piece.ErrCorrupt, "there is only one server that gives it, and its content is wrong", t)
	}
	if fetched == 0 && s.Connected == 0 {
		return &Error{ErrNoSource, fmt.Sprintf("nobody has it: no answer in %s; %s", r.Stall, situation(t)), "does the origin run, and is its port reachable? --peer HOST:PORT names one"}
	}
	return r.unfinished(ErrStalled, fmt.Sprintf("no byte came for %s", r.Stall), t)
}

// Kept says what a delivery that ends short leaves behind.
func (r *Request) Kept() string {
	if r.Stdout != nil {
		return "nothing is kept of what waited for stdout: the next run begins anew"
	}
	return "what is verified is kept: run it again to go on"
}

// unfinished says how far a delivery came that ends short, and which pieces nobody has any more.
func (r *Request) unfinished(kind error, what string, t *swarm.Transfer) error {
	e := &Error{Kind: kind, Message: what + ": " + situation(t)}
	if t.Stats().Have > 0 {
		e.Hint = r.Kept()
	}
	if lost := t.Lost(); len(lost) > 0 {
		return &LostError{e, lost}
	}
	return e
}

// maxNamed is how many of the peers that the user named a line is about.
const maxNamed = 4

// situation is a line about who was asked.
func situation(t *swarm.Transfer) string {
	s := t.Stats()
	parts := []string{fmt.Sprintf("%d of %d bytes are here", s.Have, s.Wanted), fmt.Sprintf("%d peers, %d of them complete", s.Peers, s.Seeds)}
	for _, tr := range t.Trackers() {
		if tr.Err != "" {
			parts = append(parts, fmt.Sprintf("tracker %s: %s", tr.URL, tr.Err))
		}
	}
	if err := t.WebSeedErr(); err != nil {
		parts = append(parts, err.Error())
	}
	for i, p := range t.PeerErrors() {
		if i == maxNamed {
			break
		}
		parts = append(parts, fmt.Sprintf("peer %s: %v", p.Addr, p.Err))
	}
	return strings.Join(parts, "; ")
}

// explain adds what the user needs to an engine's error.
func explain(t *swarm.Transfer, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	x := t.Torrent()
	if errors.Is(err, swarm.ErrNothingSelected) {
		return &Error{ErrSource, "no file of " + x.Name + " is selected", "shoal inspect --files names them all; * does not match /"}
	}
	if x != nil {
		return fmt.Errorf("%s: %w", x.Name, err)
	}
	return err
}

// pipe writes the files' content to Stdout, in the torrent's order, as it becomes verified.
func (r *Request) pipe(ctx context.Context, t *swarm.Transfer) error {
	select {
	case <-t.Known():
	case <-t.Done():
		return nil
	case <-ctx.Done():
		return nil
	}
	buf := make([]byte, 128<<10)
	x := t.Torrent()
	for i := range x.Files {
		f := &x.Files[i]
		if f.Length == 0 || !t.Wants(i) {
			continue
		}
		for at := int64(0); at < f.Length; {
			n := min(int64(len(buf)), f.Length-at)
			if err := t.ReadAt(ctx, buf[:n], f.Offset+at); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			if _, err := r.Stdout.Write(buf[:n]); err != nil {
				return fmt.Errorf("%w: %w", ErrOutput, err)
			}
			at += n
		}
	}
	return nil
}

// Globs turns patterns into a selection: a path is wanted if one of them matches it, or one of the
// directories above it. "*" does not match "/".
func Globs(patterns []string) (func(string) bool, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	for _, p := range patterns {
		if _, err := filepath.Match(p, "x"); err != nil {
			return nil, &Error{ErrSource, fmt.Sprintf("pattern %q is malformed", p), "such as --select 'bin/*' or --select docs"}
		}
	}
	return func(name string) bool {
		_, path, tree := strings.Cut(name, "/")
		return slices.ContainsFunc(patterns, func(p string) bool {
			p = strings.TrimSuffix(p, "/")
			if !tree {
				path = name
			}
			return matches(p, path) || strings.Contains(p, "/") && matches(p, name)
		})
	}, nil
}

// matches says whether a pattern fits a path or one of the directories above it, or, if it is a name alone, the file's name.
func matches(pattern, path string) bool {
	for at := path; at != "." && at != "/" && at != ""; at = filepath.ToSlash(filepath.Dir(at)) {
		if ok, _ := filepath.Match(pattern, at); ok {
			return true
		}
	}
	ok, _ := filepath.Match(pattern, filepath.Base(path))
	return ok && !strings.Contains(pattern, "/")
}
