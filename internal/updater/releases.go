package updater

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
	"shoal/piece"
	"shoal/swarm"
)

// Peer is a node that runs until it is stopped.
type Peer struct {
	Node      *swarm.Node
	Items     deliver.Items // nil: it is in no DHT
	Discovers bool          // it finds peers that nobody names
	Stop      func() error
}

// Releases is the Source of signed releases: a repository, and the swarm of its releases.
type Releases struct {
	Source deliver.Source // a channel
	Config deliver.ReleaseConfig
	// Start starts a node. hosts are those that the content comes from, private says that it is private.
	Start func(ctx context.Context, private bool, hosts []string) (*Peer, error)
	// Stay keeps the node until Close, and gives others what is installed.
	Stay  bool
	From  []string      // directories, or files, that may have older versions
	Peers []string      // to ask besides those that are found
	Stall time.Duration // see deliver.Request
	Limit time.Duration // of a fetch; 0: none
	// Trusted is called with each release that was checked; may be nil.
	Trusted func(r *deliver.Trusted)
	// Metadata, Reading, Planned and Progress are those of deliver.Request; may be nil.
	Metadata func(t *piece.Torrent)
	Reading  func(what string) func(done, total int64)
	Planned  func(p *deliver.Plan)
	Progress func(s swarm.Stats)
	// Forked is told of a log that has two histories, by what peers have seen of it; may be nil.
	Forked func(err error)
	Log    *slog.Logger // nil discards it

	giving giving
}

// reach is a node, and by it a way to repositories whose origin does not answer, for as long as it is not closed.
type reach struct {
	*Releases
	peer  *Peer          // nil: it was not needed yet
	swarm *deliver.Swarm // of the node
}

// start starts the node, or takes the one that stays.
func (r *reach) start(ctx context.Context, private bool, hosts []string) (err error) {
	if r.peer != nil {
		return nil
	}
	if r.Stay {
		r.peer, r.swarm, err = r.giving.node(func() (*Peer, error) { return r.Start(ctx, private, hosts) }, r.Peers)
		return err
	}
	if r.peer, err = r.Start(ctx, private, hosts); err == nil {
		r.swarm = swarmOf(r.peer, r.Peers)
	}
	return err
}

// swarmOf is where a node finds repositories; nil: nowhere.
func swarmOf(p *Peer, peers []string) *deliver.Swarm {
	if p.Items == nil {
		return nil
	}
	return &deliver.Swarm{Node: p.Node, Items: p.Items, Peers: peers}
}

// config is how the release is found. A node is started where the DHT must be asked.
func (r *reach) config(ctx context.Context) deliver.ReleaseConfig {
	c := r.Config
	c.Swarm = sync.OnceValues(func() (*deliver.Swarm, error) {
		err := r.start(ctx, false, r.Source.Hosts())
		return r.swarm, err
	})
	return c
}

func (r *reach) close() error {
	if r.peer == nil || r.Stay {
		return nil
	}
	return r.peer.Stop()
}

// named is the source for a version that is asked for by itself; "" is the channel.
func (r *Releases) named(version string) deliver.Source {
	s := r.Source
	if version != "" {
		s.Release.Channel, s.Release.Version = "", version
	}
	return s
}

// Check implements Source.
func (r *Releases) Check(ctx context.Context, a Ask) (o *Offer, err error) {
	way := reach{Releases: r}
	defer func() { err = errors.Join(err, way.close()) }()
	c := way.config(ctx)
	c.Running = a.Running
	found, err := deliver.CheckRelease(ctx, r.named(a.Version), c)
	if err != nil {
		return nil, err
	}
	r.giving.trusted = found
	if r.Trusted != nil {
		r.Trusted(found)
	}
	for _, version := range goesBack(found.Found, a) { // with what it says, as if it were a version that was asked for
		back, err := deliver.CheckRelease(ctx, r.named(version), c)
		if refusal := (*release.Refusal)(nil); errors.As(err, &refusal) && (refusal.Rule == release.RuleWithdrawn || refusal.Rule == release.RuleUnknown) || err == nil && back.Withdrawn != "" {
			continue // it was withdrawn or pruned while the rollout went on, see Tx.forget
		}
		if err != nil {
			return nil, err
		}
		return &Offer{App: back.App, Channel: found.Channel.Channel, Version: back.Version, V2: back.Tree().V2, Bytes: back.Tree().Bytes,
			Withdrawn: because("its rollout was halted", found.Rollout.Why)}, nil
	}
	o = &Offer{App: found.App, Version: found.Version, V2: found.Tree().V2, Bytes: found.Tree().Bytes, Withdrawn: found.Withdrawn}
	if found.Channel != nil {
		o.Channel = found.Channel.Channel
		o.Rollout = rolloutOf(found.Found, r.now())
	}
	return o, nil
}

// Describe implements Describer.
func (r *Releases) Describe(v2 string) *piece.Info {
	if t := deliver.Description(r.Config.StateDir, v2); t != nil {
		return t.Info
	}
	return nil
}

// goesBack are the versions that a machine goes back to, best first, because the rollout of the one that runs was halted, and those who have it are to go back; none: it does not.
// They are those that the channel had before, signed with the app's key, as is that they may be sent back.
func goesBack(f *release.Found, a Ask) []string {
	c := f.Channel
	if a.Version != "" || a.Running != f.Version || c == nil || c.Rollout == nil || !c.Rollout.Rollback || len(c.Previous) == 0 || f.Rollout == nil || !f.Rollout.Halted || !f.Rollout.Back {
		return nil
	}
	return c.Previous
}

func (r *Releases) now() time.Time {
	if r.Config.Now != nil {
		return r.Config.Now()
	}
	return time.Now()
}

// rolloutOf is how far a channel's version may have spread.
func rolloutOf(f *release.Found, now time.Time) *Rollout {
	if f.Channel.Rollout == nil {
		return nil
	}
	r := &Rollout{Waves: f.Channel.Rollout.Waves, Wave: f.Channel.Reached(f.Rollout, now)}
	if f.Rollout != nil {
		r.Paused, r.Halted, r.Why = f.Rollout.Paused, f.Rollout.Halted, f.Rollout.Why
	}
	return r
}

// maxGone bounds how many versions are looked for that lie here no more.
const maxGone = 8

// fromHere brings content without asking anybody, if all of it lies on this machine; else it returns nil, and what there is of it waits in p.Dir.
func (r *Releases) fromHere(ctx context.Context, o *Offer, info *piece.Info, p Places) (*Fetched, error) {
	if p.File && info.Dir {
		return nil, notOneFile(info)
	}
	var from []deliver.Lying
	for _, k := range p.Kept {
		if was := r.Describe(k.V2); was != nil {
			l := deliver.Lying{Info: was, Path: k.Path}
			if !was.Dir {
				l.Path = filepath.Join(k.Path, was.Name)
			}
			from = append(from, l)
		}
	}
	refs := []string{ref(o.App, o.Version)}
	for _, v := range p.Gone[:min(len(p.Gone), maxGone)] {
		refs = append(refs, ref(o.App, v))
	}
	from = append(from, deliver.LyingReleases(r.Config.StateDir, refs)...)
	var progress func(done, total int64)
	if r.Reading != nil {
		progress = r.Reading("reading what lies here of " + info.Name)
	}
	ok, err := deliver.FromHere(ctx, info, p.Dir, from, progress)
	if !ok || err != nil {
		return nil, err
	}
	f := &Fetched{Info: info, Way: deliver.WayTree}
	f.From[swarm.Reuse] = info.Length
	return f, nil
}

// worthDescribing is how many times the bytes of its description must lie in parts of another version for a version to be described because of them.
const worthDescribing = 4

// salvage takes what was fetched of another version into the place of this one.
func (r *Releases) salvage(ctx context.Context, found *deliver.Found, dir string, s *deliver.Scraps) error {
	if s.Bytes < worthDescribing*found.Release.MetainfoBytes() {
		return nil
	}
	t, err := deliver.Describe(ctx, found, r.Config.StateDir)
	if err != nil {
		return ctx.Err() // it is asked for again, if that is worth it
	}
	found.Torrent = t
	return s.Salvage(ctx, t.Info, dir)
}

// Fetch implements Source. For a version that lies here already nobody is asked if all of it lies on this machine.
func (r *Releases) Fetch(ctx context.Context, o *Offer, p Places) (f *Fetched, err error) {
	if known := r.Describe(o.V2); known != nil && len(p.Kept) > 0 && p.Kept[0].V2 == o.V2 { // another one would have to be noted in the state directory
		if f, err := r.fromHere(ctx, o, known, p); f != nil || err != nil {
			return f, err
		}
	}
	way := reach{Releases: r}
	defer func() { err = errors.Join(err, way.close()) }()
	c := way.config(ctx)
	c.Lean = true
	found, err := deliver.ResolveRelease(ctx, r.named(o.Version), c)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	if found.Release.Tree().V2 != o.V2 {
		return nil, &release.Refusal{Rule: release.RuleMismatch, Message: found.Release.Ref().String() + " is another content than it was a moment ago"}
	}
	// That a directory is none is told by its description alone, which few of those that are a file need. What is called so is one almost always.
	if p.File && found.Release.IsTree() {
		if t, err := deliver.Describe(ctx, found, r.Config.StateDir); err == nil && t.Dir {
			return nil, notOneFile(t.Info)
		}
	}
	request := deliver.Request{Found: *found, Dir: p.Dir, Final: p.Final, StateDir: r.Config.StateDir, Stall: r.Stall, UserAgent: r.Config.UserAgent, Metadata: r.Metadata, Reading: r.Reading, Planned: r.Planned, Progress: r.Progress}
	for _, k := range p.Kept {
		request.From = append(request.From, k.Path)
	}
	if p.Left != "" {
		left := deliver.ScrapsIn(p.Left)
		if left.Whole {
			request.From = append(request.From, p.Left)
		}
		if err := r.salvage(ctx, found, p.Dir, &left); err != nil {
			return nil, err
		}
		request.Found = *found
	}
	request.From = append(request.From, r.From...)
	request.Doubtful = o.Damaged
	if r.Stay {
		request.Artefacts = p.Give
	}
	if r.Limit > 0 {
		request.Deadline = time.Now().Add(r.Limit)
	}
	request.Peers = append(request.Peers, r.Peers...)
	if err := way.start(ctx, request.Private(), append(request.Hosts(), r.Source.Hosts()...)); err != nil {
		return nil, err
	}
	request.Discovers = way.peer.Discovers
	staged, err := deliver.Stage(ctx, way.peer.Node, request)
	if err != nil {
		return nil, err
	}
	f = &Fetched{Info: staged.Torrent().Info, From: staged.Stats().From}
	if staged.Plan != nil {
		f.Way, f.Base = staged.Plan.Chosen().Way, staged.Plan.Chosen().From
	}
	return f, staged.Close()
}
