package release

import (
	"context"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Apps are the names of all apps that have been published, in order. Refresh comes first.
func (t *Trust) Apps(ctx context.Context) (apps []string, err error) {
	if err := t.complete(ctx); err != nil {
		return nil, err
	}
	for _, d := range t.set.Targets[roleTargets].Signed.Delegations.Roles {
		// What is delegated and in no snapshot has nothing in it yet.
		if app, ok := strings.CutPrefix(d.Name, "app-"); ok && t.set.Snapshot.Signed.Meta[d.Name+".json"] != nil {
			apps = append(apps, app)
		}
	}
	slices.Sort(apps)
	return apps, nil
}

// App lists the releases of an app, newest first and withdrawn ones too, and its channels. Whether a release stands in the log is for Release to
// say. Refresh comes first.
func (t *Trust) App(ctx context.Context, app string) (*AppInfo, error) {
	a := &AppInfo{App: app}
	err := t.each(ctx, app, func(path string, f *metadata.TargetFiles) error {
		if _, version, platform, ok := parseReleasePath(path); ok {
			b, err := t.target(ctx, path, f, maxDocument, "")
			if err != nil {
				return err
			}
			rel, err := parseRelease(b)
			if err != nil {
				return refused(path, err)
			}
			if rel.App != app || rel.Version != version || rel.Platform != platform {
				return refuse(RuleMismatch, "the document of %s@%s for %s is signed for %s@%s for %s", app, version, platform, rel.App, rel.Version, rel.Platform)
			}
			a.Releases = append(a.Releases, ReleaseInfo{rel, customOf(f).Withdrawn, false})
			return nil
		}
		rest, ok := strings.CutPrefix(path, "channels/"+app+"/")
		name, json := strings.CutSuffix(rest, ".json")
		if !ok || !json || !ValidChannel(name) {
			return nil
		}
		c, err := t.Channel(ctx, app, name)
		if err == nil {
			a.Channels = append(a.Channels, c)
		}
		return err
	})
	slices.SortFunc(a.Releases, func(x, y ReleaseInfo) int { return y.Published.Compare(x.Published) })
	slices.SortFunc(a.Channels, func(x, y *Channel) int { return strings.Compare(x.Channel, y.Channel) })
	if err != nil {
		return a, err
	}
	return a, a.markHalted(func(c *Channel) (*Rollout, error) { return t.rollout(ctx, c) })
}

// each calls visit for what the role of an app and its bins name, in order.
func (t *Trust) each(ctx context.Context, app string, visit func(path string, f *metadata.TargetFiles) error) error {
	if err := t.complete(ctx); err != nil {
		return err
	}
	role := appRole(app)
	if findDelegation(t.set.Targets[roleTargets], role) == nil {
		return refuse(RuleUnknown, "the repository has no app %s", app)
	}
	m, err := t.targets(ctx, role, roleTargets)
	if err != nil {
		return err
	}
	parts := []*targetsMeta{m}
	for name := range t.set.Snapshot.Signed.Meta {
		bin, _ := strings.CutSuffix(name, ".json")
		if a, ok := binApp(bin); !ok || a != app {
			continue
		}
		m, err := t.targets(ctx, bin, role)
		if err != nil {
			return err
		}
		parts = append(parts, m)
	}
	all := make(map[string]*metadata.TargetFiles)
	for _, m := range parts {
		for path, f := range m.Signed.Targets {
			all[path] = f
		}
	}
	paths := make([]string, 0, len(all))
	for path := range all {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := visit(path, all[path]); err != nil {
			return err
		}
	}
	return nil
}
