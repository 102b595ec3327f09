package release

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Patches are made after a release is published, and more of them later; its document, which is a leaf of the log, never changes. So they have a document of
// their own beside it, releases/APP/VERSION/PLATFORM+patches.json, signed by the same role, which newer ones replace. It does not stand in the log, and need
// not: a patch can only build what the release's document names, byte for byte, or nothing.

// Patches is that document. Artefacts of kinds that are not known here are left out when it is read: whoever signed them makes something newer, and the rest
// holds without it.
type Patches struct {
	Format    int        `json:"format"` // 1
	App       string     `json:"app"`
	Version   string     `json:"version"`
	Platform  string     `json:"platform"`
	V2        string     `json:"v2"` // of the content that they build
	Artefacts []Artefact `json:"artefacts"`
}

// Bounds of artefacts that are targets themselves, in bytes. Patches below the first come with the metadata, and are torrents for those only who know no server; an
// index is no torrent.
const (
	MaxSmallPatch = 1 << 20
	MaxIndex      = 32 << 20
)

// Patch is a patch to be published, or an index of blocks.
type Patch struct {
	Artefact
	Data     []byte // what is to be a target, see Artefact.IsTarget; else nil
	Metainfo []byte // of a torrent: a .torrent compressed with zstd; else nil
}

// A platform has no "+", so neither path is one of a release document.

func patchesPath(app, version, platform string) string {
	return strings.TrimSuffix(releasePath(app, version, platform), ".json") + "+patches.json"
}

// besidePath is where an artefact lies that is a target.
func besidePath(app, version, platform string, a *Artefact) string {
	stem := strings.TrimSuffix(releasePath(app, version, platform), ".json")
	if a.Kind == "I" {
		return stem + "+blocks"
	}
	return stem + "+" + a.From + ".patch"
}

// parsePatchesPath takes patchesPath apart.
func parsePatchesPath(path string) (app, version, platform string, ok bool) {
	before, ok := strings.CutSuffix(path, "+patches.json")
	if !ok {
		return "", "", "", false
	}
	return parseReleasePath(before + ".json")
}

func isSmallPatch(path string) bool {
	return strings.HasPrefix(path, "releases/") && strings.HasSuffix(path, ".patch")
}

func isIndex(path string) bool {
	return strings.HasPrefix(path, "releases/") && strings.HasSuffix(path, "+blocks")
}

func (p *Patches) encode() ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	_, err = parsePatches(b)
	return b, err
}

func parsePatches(b []byte) (*Patches, error) {
	var p Patches
	if err := unmarshal(b, &p); err != nil {
		return nil, err
	}
	if p.Format != 1 {
		return nil, fmt.Errorf("a document of patches of format %d: a newer shoal is needed", p.Format)
	}
	if !ValidApp(p.App) || !ValidVersion(p.Version) || !ValidPlatform(p.Platform) || !isHash(p.V2, 32) || len(p.Artefacts) > maxArtefacts {
		return nil, fmt.Errorf("a document of patches of %.80q, %.80q, %.80q", p.App, p.Version, p.Platform)
	}
	p.Artefacts = slices.DeleteFunc(p.Artefacts, func(a Artefact) bool { return a.Kind != "P" && a.Kind != "I" })
	for i := range p.Artefacts {
		a := &p.Artefacts[i]
		complete := a.From != "" && isHash(a.Base, 32)
		if a.Kind == "I" {
			complete = a.Bytes <= MaxIndex
		}
		if !complete || !a.IsTarget() && !a.isTorrent() || a.V1 != "" && a.V2 == "" || !a.valid() {
			return nil, fmt.Errorf("artefact %d of a document of patches is not one", i)
		}
	}
	return &p, nil
}

// AddPatches adds patches to a published release; one from the same version is replaced. Those that are there already are only written, and nothing is signed.
func (tx *Tx) AddPatches(app, version, platform string, list []Patch) error {
	rel, withdrawn, err := tx.Find(app, version, platform)
	if err != nil {
		return err
	}
	if rel == nil || withdrawn != "" {
		return fmt.Errorf("%s@%s for %s %w", app, version, platform, ErrNoRelease)
	}
	p, err := tx.Patches(app, version, platform)
	if err != nil {
		return err
	}
	if p == nil {
		p = &Patches{Format: 1, App: app, Version: version, Platform: platform, V2: rel.Tree().V2}
	}
	var gone []Artefact
	for _, x := range list {
		if x.Data != nil {
			if err := tx.document(app, besidePath(app, version, platform, &x.Artefact), x.Data); err != nil {
				return err
			}
		}
		if x.Metainfo != nil {
			if err := tx.document(app, metainfoPath(x.V2), x.Metainfo); err != nil {
				return err
			}
		}
		i := slices.IndexFunc(p.Artefacts, func(a Artefact) bool { return a.Kind == x.Kind && a.From == x.From })
		if i < 0 {
			p.Artefacts = append(p.Artefacts, x.Artefact)
			continue
		}
		was := p.Artefacts[i]
		if p.Artefacts[i] = x.Artefact; was.isTorrent() && was.V2 != x.V2 {
			gone = append(gone, was)
		}
		if was.IsTarget() && !x.IsTarget() {
			if err := tx.put(app, besidePath(app, version, platform, &was), nil); err != nil {
				return err
			}
		}
	}
	return tx.writePatches(p, gone)
}

// RemovePatch takes back the patch from a version: it does not lead to the release.
func (tx *Tx) RemovePatch(app, version, platform, from string) error {
	p, err := tx.Patches(app, version, platform)
	if err != nil || p == nil {
		return err
	}
	i := slices.IndexFunc(p.Artefacts, func(a Artefact) bool { return a.Kind == "P" && a.From == from })
	if i < 0 {
		return nil
	}
	was := p.Artefacts[i]
	p.Artefacts = slices.Delete(p.Artefacts, i, i+1)
	if was.IsTarget() {
		if err := tx.put(app, besidePath(app, version, platform, &was), nil); err != nil {
			return err
		}
	}
	return tx.writePatches(p, []Artefact{was})
}

// writePatches writes the document of patches, and forgets the metainfo of what was in it, unless another release has the same.
func (tx *Tx) writePatches(p *Patches, gone []Artefact) error {
	b, err := p.encode()
	if err != nil {
		return err
	}
	if err := tx.document(p.App, patchesPath(p.App, p.Version, p.Platform), b); err != nil || len(gone) == 0 {
		return err
	}
	needed := map[string]bool{}
	a, err := tx.appInfo(p.App)
	if err != nil {
		return err
	}
	for _, rel := range a.Releases {
		list, err := tx.contents(rel.Release)
		if err != nil {
			return err
		}
		for _, x := range list {
			needed[x.V2] = true
		}
	}
	for _, x := range gone {
		if x.isTorrent() && !needed[x.V2] {
			if err := tx.put(p.App, metainfoPath(x.V2), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Patches reads the patches of a release; nil if there is no document of them.
func (tx *Tx) Patches(app, version, platform string) (*Patches, error) {
	f, b, err := tx.lookUp(app, patchesPath(app, version, platform))
	if err != nil || f == nil {
		return nil, err
	}
	return parsePatches(b)
}

// dropPatches forgets the patches of a release.
func (tx *Tx) dropPatches(app, version, platform string) error {
	p, err := tx.Patches(app, version, platform)
	if err != nil || p == nil {
		return err
	}
	for _, a := range p.Artefacts {
		if a.IsTarget() {
			if err := tx.put(app, besidePath(app, version, platform, &a), nil); err != nil {
				return err
			}
		}
	}
	return tx.put(app, patchesPath(app, version, platform), nil)
}

// contents are the artefacts of a release that are torrents: its own and its patches.
func (tx *Tx) contents(r *Release) (list []Artefact, err error) {
	for _, a := range r.Artefacts {
		if a.isTorrent() {
			list = append(list, a)
		}
	}
	p, err := tx.Patches(r.App, r.Version, r.Platform)
	if err != nil || p == nil {
		return list, err
	}
	for _, a := range p.Artefacts {
		if a.isTorrent() {
			list = append(list, a)
		}
	}
	return list, nil
}

// Patches reads which patches there are to a release; none is no error.
func (t *Trust) Patches(ctx context.Context, found *Found) ([]Artefact, error) {
	path := patchesPath(found.App, found.Version, found.Platform)
	f, err := t.find(ctx, found.App, path)
	if err != nil || f == nil {
		return nil, err
	}
	b, err := t.target(ctx, path, f, maxDocument, "")
	if err != nil {
		return nil, err
	}
	p, err := parsePatches(b)
	if err != nil {
		return nil, refused(path, err)
	}
	if p.App != found.App || p.Version != found.Version || p.Platform != found.Platform || p.V2 != found.Tree().V2 {
		return nil, refuse(RuleMismatch, "the patches of %s for %s are signed for another content", found.Ref(), found.Platform)
	}
	return p.Artefacts, nil
}

// Beside reads a patch or an index that is a target (Artefact.IsTarget).
func (t *Trust) Beside(ctx context.Context, found *Found, a *Artefact) ([]byte, error) {
	path, f, err := t.beside(ctx, found, a)
	if err != nil {
		return nil, err
	}
	return t.target(ctx, path, f, targetLimit(path), "")
}

// BesideFile is the file of the repository that Beside reads, and its SHA-256 in hex, for who keeps it for others.
func (t *Trust) BesideFile(ctx context.Context, found *Found, a *Artefact) (file, hash string, err error) {
	path, f, err := t.beside(ctx, found, a)
	if err != nil {
		return "", "", err
	}
	return hashedFile(path, f), hex.EncodeToString(f.Hashes["sha256"]), nil
}

func (t *Trust) beside(ctx context.Context, found *Found, a *Artefact) (path string, f *metadata.TargetFiles, err error) {
	path = besidePath(found.App, found.Version, found.Platform, a)
	if f, err = t.find(ctx, found.App, path); err != nil {
		return "", nil, err
	}
	if f == nil || f.Length != a.Bytes {
		return "", nil, refuse(RuleIncomplete, "%s is not signed", path)
	}
	return path, f, nil
}

// acceptPatches checks a document of patches that a push brings.
func (tx *Tx) acceptPatches(app, path string, b []byte) (list []*Accepted, err error) {
	p, err := parsePatches(b)
	if err != nil {
		return nil, refused(path, err)
	}
	a, version, platform, _ := parsePatchesPath(path)
	if a != app || p.App != a || p.Version != version || p.Platform != platform {
		return nil, refuse(RuleMismatch, "%s is signed for %s@%s for %s", path, p.App, p.Version, p.Platform)
	}
	for _, x := range p.Artefacts {
		if x.isTorrent() {
			list = append(list, &Accepted{Ref: Ref{App: app, Version: version}, Platform: platform, Artefact: x})
		}
	}
	return list, nil
}

// targetLimit bounds a target by what its path says it is.
func targetLimit(path string) int64 {
	switch {
	case strings.HasPrefix(path, "metainfo/"):
		return MaxMetainfo
	case isSmallPatch(path):
		return MaxSmallPatch
	case isIndex(path):
		return MaxIndex
	}
	return maxDocument
}
