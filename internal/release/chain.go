package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// find returns what the role of an app, or its bin, says of a target; nil if there is none.
func (t *Trust) find(ctx context.Context, app, path string) (*metadata.TargetFiles, error) {
	if err := t.complete(ctx); err != nil {
		return nil, err
	}
	role := appRole(app)
	if findDelegation(t.set.Targets[roleTargets], role) == nil {
		return nil, refuse(RuleUnknown, "the repository has no app %s", app)
	}
	m, err := t.targets(ctx, role, roleTargets)
	if err != nil {
		return nil, err
	}
	if f := m.Signed.Targets[path]; f != nil || m.Signed.Delegations == nil || m.Signed.Delegations.SuccinctRoles == nil {
		return f, nil
	}
	bin := m.Signed.Delegations.SuccinctRoles.GetRolesForTarget(path)[0].Name
	if a, ok := binApp(bin); !ok || a != app {
		return nil, refuse(RuleMalformed, "%s delegates to %.100q", role, bin)
	}
	if t.set.Snapshot.Signed.Meta[bin+".json"] == nil {
		return nil, nil
	}
	if m, err = t.targets(ctx, bin, role); err != nil {
		return nil, err
	}
	return m.Signed.Targets[path], nil
}

// target reads a target's file. Under the name kept, if that is not empty, the last one is remembered.
func (t *Trust) target(ctx context.Context, path string, f *metadata.TargetFiles, limit int64, kept string) ([]byte, error) {
	if f.Length > limit {
		return nil, refuse(RuleEndless, "%s has %d bytes: at most %d", path, f.Length, limit)
	}
	if kept != "" {
		if b, err := t.read(kept); err != nil {
			return nil, err
		} else if b != nil && f.VerifyLengthHashes(b) == nil {
			return b, nil
		}
	}
	file := hashedFile(path, f)
	b, err := readFile(ctx, t.cfg.Files, file, f.Length)
	if errors.Is(err, ErrAbsent) {
		return nil, t.absent(file)
	}
	if err != nil {
		return nil, err
	}
	if err := f.VerifyLengthHashes(b); err != nil || kept == "" {
		return b, refused(path, err)
	}
	return b, t.keep(kept, b)
}

// hashedFile is where a repository has a target.
func hashedFile(path string, f *metadata.TargetFiles) string {
	return targetFile(path, fmt.Sprintf("%x", []byte(f.Hashes["sha256"])))
}

// Channel reads which version a channel has. Refresh comes first.
func (t *Trust) Channel(ctx context.Context, app, channel string) (*Channel, error) {
	path := channelPath(app, channel)
	f, err := t.find(ctx, app, path)
	if err != nil {
		return nil, err
	}
	if f == nil {
		r := refuse(RuleUnknown, "%s has no channel %s", app, channel)
		r.Hint = t.channelsHint(ctx, app)
		return nil, r
	}
	b, err := t.target(ctx, path, f, maxDocument, "channel-"+app+"-"+channel+".json")
	if err != nil {
		return nil, err
	}
	c, err := parseChannel(b)
	if err != nil {
		return nil, refused(path, err)
	}
	if c.App != app || c.Channel != channel {
		return nil, refuse(RuleMismatch, "the document of %s:%s is signed for %s:%s", app, channel, c.App, c.Channel)
	}
	return c, nil
}

// channelsHint names the channels that an app has, as far as they fit a line.
func (t *Trust) channelsHint(ctx context.Context, app string) string {
	const most = 10
	m, err := t.targets(ctx, appRole(app), roleTargets)
	if err != nil {
		return ""
	}
	var names []string
	for path := range m.Signed.Targets {
		if of, channel, ok := parseChannelPath(path); ok && of == app {
			names = append(names, channel)
		}
	}
	if len(names) == 0 {
		return "it has none: APP@VERSION names a version"
	}
	slices.Sort(names)
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	return "there is " + strings.Join(names, ", ") + more
}

// Found is a release that is trusted.
type Found struct {
	*Release
	Channel  *Channel // if it was found by its channel
	Rollout  *Rollout // how far its rollout is, if the channel has one and somebody has steered it
	LogIndex int64
	Packed   []byte // its metainfo, where Proof has read it
	metainfo *metadata.TargetFiles
}

// Release follows the chain down to a release, for the first of the platforms that it is published for, and makes sure that it stands in the log. Refresh
// comes first.
func (t *Trust) Release(ctx context.Context, ref Ref, platforms []string) (*Found, error) {
	if found := t.recall(ref, platforms); found != nil {
		return found, nil
	}
	found := &Found{}
	version := ref.Version
	if ref.Channel != "" {
		c, err := t.Channel(ctx, ref.App, ref.Channel)
		if err != nil {
			return nil, err
		}
		found.Channel, version = c, c.Version
		if c.Rollout != nil {
			if found.Rollout, err = t.rollout(ctx, c); err != nil {
				return nil, err
			}
		}
	}
	for _, platform := range platforms {
		path := releasePath(ref.App, version, platform)
		f, err := t.find(ctx, ref.App, path)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if why := customOf(f).Withdrawn; why != "" {
			return nil, refuse(RuleWithdrawn, "%s@%s was withdrawn by its publisher: %s", ref.App, version, why)
		}
		b, err := t.target(ctx, path, f, maxDocument, "release-"+ref.App+"-"+platform+".json")
		if err != nil {
			return nil, err
		}
		if found.Release, err = parseRelease(b); err != nil {
			return nil, refused(path, err)
		}
		if found.App != ref.App || found.Version != version || found.Platform != platform {
			return nil, refuse(RuleMismatch, "the document of %s@%s for %s is signed for %s@%s for %s", ref.App, version, platform, found.App, found.Version, found.Platform)
		}
		if found.LogIndex, err = t.logged(ctx, LogEntry{ref.App, version, platform, sha256Hex(b)}); err != nil {
			return nil, err
		}
		if found.metainfo, err = t.find(ctx, ref.App, metainfoPath(found.Tree().V2)); err != nil {
			return nil, err
		}
		if found.metainfo == nil {
			return nil, refuse(RuleIncomplete, "the metainfo of %s@%s is not signed", ref.App, version)
		}
		t.resolved(ref, platforms, found, sha256Hex(b))
		return found, t.remember(ref.App)
	}
	r := refuse(RuleUnknown, "%s@%s is not published for %s", ref.App, version, orList(platforms))
	r.Hint = t.platformsHint(ref.App, version)
	return nil, r
}

// platformsHint names the platforms that a version is published for, as far as roles have been read that say so, and they fit a line.
func (t *Trust) platformsHint(app, version string) string {
	const most = 10
	var names []string
	for role, m := range t.set.Targets {
		if of, ok := binApp(role); role != appRole(app) && (!ok || of != app) {
			continue
		}
		for path, f := range m.Signed.Targets {
			if a, v, platform, ok := parseReleasePath(path); ok && a == app && v == version && customOf(f).Withdrawn == "" {
				names = append(names, platform)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	return "it is for " + strings.Join(names, ", ") + more + ": --platform takes one of them"
}

// Document reads the release document of another version of a release's app, for the same platform, as it is signed. It is remembered by nothing, not looked for in the log, and may be of
// a version that was withdrawn: it is no release to fetch.
func (t *Trust) Document(ctx context.Context, found *Found, version string) (*Release, error) {
	path := releasePath(found.App, version, found.Platform)
	f, err := t.find(ctx, found.App, path)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, refuse(RuleUnknown, "%s@%s is not published for %s", found.App, version, found.Platform)
	}
	b, err := t.target(ctx, path, f, maxDocument, "")
	if err != nil {
		return nil, err
	}
	r, err := parseRelease(b)
	if err != nil {
		return nil, refused(path, err)
	}
	return r, nil
}

// Withdrawn says why a version was taken back, for the first of the platforms that it is signed for; "": it was not, or nothing is signed of it any more. Refresh
// comes first.
func (t *Trust) Withdrawn(ctx context.Context, ref Ref, platforms []string) (why string, err error) {
	for _, platform := range platforms {
		f, err := t.find(ctx, ref.App, releasePath(ref.App, ref.Version, platform))
		if err != nil {
			return "", err
		}
		if f != nil {
			return customOf(f).Withdrawn, nil
		}
	}
	return "", nil
}

// logged makes sure that an entry stands in the log. Where it did once it does for ever: checkpoints are only taken if they continue the one before.
func (t *Trust) logged(ctx context.Context, e LogEntry) (int64, error) {
	for _, p := range t.known.Proven {
		if p.Entry == e.String() && p.Index < t.checkpoint.Size {
			return p.Index, nil
		}
	}
	n, err := includes(ctx, t.cfg.Files, t.checkpoint, e)
	if err != nil {
		return 0, err
	}
	t.known.Proven = append(t.known.Proven, proven{e.String(), n})
	t.known.Proven = t.known.Proven[max(0, len(t.known.Proven)-maxNames):]
	return n, nil
}

func orList(words []string) string {
	switch n := len(words); n {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	default:
		s := words[0]
		for _, w := range words[1 : n-1] {
			s += ", " + w
		}
		return s + " or " + words[n-1]
	}
}

// MaxMetainfo bounds a compressed metainfo, in bytes.
const MaxMetainfo = 64 << 20

// Metainfo reads the metainfo of a release's content: a .torrent compressed with zstd, which whoever unpacks it holds against the release's info hashes.
func (t *Trust) Metainfo(ctx context.Context, found *Found) ([]byte, error) {
	return t.target(ctx, metainfoPath(found.Tree().V2), found.metainfo, MaxMetainfo, "")
}

// MetainfoBytes is how many bytes Metainfo reads.
func (f *Found) MetainfoBytes() int64 { return f.metainfo.Length }

// MetainfoOf reads the metainfo of another artefact of a release, or of its patches.
func (t *Trust) MetainfoOf(ctx context.Context, found *Found, v2 string) ([]byte, error) {
	f, err := t.metainfoOf(ctx, found, v2)
	if err != nil {
		return nil, err
	}
	return t.target(ctx, metainfoPath(v2), f, MaxMetainfo, "")
}

// MetainfoFile is the file of the repository that MetainfoOf reads, for who keeps it for others.
func (t *Trust) MetainfoFile(ctx context.Context, found *Found, v2 string) (string, error) {
	f, err := t.metainfoOf(ctx, found, v2)
	if err != nil {
		return "", err
	}
	return hashedFile(metainfoPath(v2), f), nil
}

func (t *Trust) metainfoOf(ctx context.Context, found *Found, v2 string) (*metadata.TargetFiles, error) {
	f, err := t.find(ctx, found.App, metainfoPath(v2))
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, refuse(RuleIncomplete, "the metainfo %.20s… of %s is not signed", v2, found.Ref())
	}
	return f, nil
}

// Log reads the whole log, checked against the checkpoint, and calls each for its entries.
func (t *Trust) Log(ctx context.Context, each func(n int64, e LogEntry) error) error {
	return readLog(ctx, t.cfg.Files, t.checkpoint, each)
}
