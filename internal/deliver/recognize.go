package deliver

import (
	"context"
	"encoding/hex"
	"path/filepath"
	"slices"

	"github.com/anacrolix/torrent/bencode"

	"shoal/internal/release"
	"shoal/piece"
)

// What lies somewhere is told from what is known by lengths, and by a sample of its pieces. What is not known is hashed, once, if by its size and its names it can be a version at all.

// knows adds to what is known: t, or what the state directory has of a content. It is nil if that is nothing.
func (f *finder) knows(t *piece.Torrent, v2 string) *piece.Torrent {
	if k := f.knownAs(v2); k != nil {
		return k
	}
	if t == nil {
		if t = f.state.torrent(v2); t == nil {
			return nil
		}
	}
	f.known = append(f.known, t)
	return t
}

func (f *finder) knownAs(v2 string) *piece.Torrent {
	i := slices.IndexFunc(f.known, func(t *piece.Torrent) bool { return hex.EncodeToString(t.V2[:]) == v2 })
	if i < 0 {
		return nil
	}
	return f.known[i]
}

// description is that of a version from which there is a patch: the repository is asked for what is not known. It is nil if there is none.
func (f *finder) description(ctx context.Context, v2 string) *piece.Torrent {
	if t := f.knownAs(v2); t != nil {
		return t
	}
	if t, ok := f.asked[v2]; ok {
		return t
	}
	f.asked[v2] = nil
	packed, err := f.Release.Trust.MetainfoOf(ctx, f.Release.Found, v2)
	if err != nil {
		return nil
	}
	if t, err := readMetainfo(packed); err == nil && t.HasV2 && hex.EncodeToString(t.V2[:]) == v2 {
		f.asked[v2] = t
	}
	return f.asked[v2]
}

// examine finds out what lies at path, and says whether it is a version that is known or that there is a patch from. What is neither may have files of the release all the same. What
// the user has not named is hashed only if there is reason to.
func (f *finder) examine(ctx context.Context, path string, named bool) (is bool, err error) {
	if len(f.list) == maxVersions || path == f.own && f.Release.IsTree() {
		return false, nil
	}
	if f.seen[path] {
		return slices.ContainsFunc(f.list, func(v *version) bool { return v.path == path }), nil
	}
	if !f.Doubtful {
		if v := f.recognize(path); v != nil {
			f.take(v)
			return true, nil
		}
	}
	if why := f.unlikely(path, named); why != "" {
		f.why = why
		return false, nil
	}
	f.seen[path] = true
	if !named {
		f.hashed++
	}
	v, err := f.hash(ctx, path)
	if v == nil {
		return false, err
	}
	if was := f.before(ctx, v, named); was != nil {
		f.take(was)
		return true, nil
	}
	f.take(v)
	return false, nil
}

// recognize finds the description of what lies at path among those that are known; nil if none fits, or some of it was changed.
func (f *finder) recognize(path string) *version {
	var fit []*version
	for _, t := range f.known {
		if t.Dir == f.Release.IsTree() {
			v := &version{info: t.Info, path: path}
			if v.look(); v.here*2 > t.Length {
				fit = append(fit, v)
			}
		}
	}
	var best *version
	share := func(v *version) float64 { return float64(v.here) / float64(v.info.Length) }
	for _, v := range fit {
		if right, all, _ := v.sample(mostDoubted, fit); all > 0 && right == all && (best == nil || share(v) > share(best)) {
			best = v
		}
	}
	for _, v := range fit {
		if v != best {
			v.close()
		}
	}
	return best
}

// Bounds of what is hashed: what is many times as large as the release, or has more files, is no version of it, and takes long.
const (
	maxLarger   = 4         // times the release, of what the user has named; half of that of what he has not,
	maxLargerBy = 16 << 20  // and so many bytes
	maxListed   = 100_000   // files and directories
	leastShared = 1.0 / 4.0 // of what is not named and not called as a version that there is a patch from: in files which a version that is known has by path or length
)

// unlikely says why what lies at path is not to be hashed; "" if it is.
func (f *finder) unlikely(path string, named bool) string {
	most := f.Release.Tree().Bytes*maxLarger + maxLargerBy
	if !named {
		if most /= 2; f.hashed == maxHashed {
			return "there are too many others"
		}
	}
	l := listing{most: most}
	switch err := l.read(path); {
	case err != nil:
		return err.Error()
	case l.over:
		return "it is much larger than " + f.Release.Tree().Name
	case l.total == 0:
		return "there is nothing in it"
	}
	if named || f.isPatched(filepath.Base(path)) {
		return ""
	}
	if l.total*maxLarger < f.Release.Tree().Bytes {
		return "it is much smaller than " + f.Release.Tree().Name
	}
	if f.Release.IsTree() && len(f.known) > 0 && !slices.ContainsFunc(f.known, func(t *piece.Torrent) bool {
		return float64(l.shared(t.Info)) >= leastShared*float64(l.total)
	}) {
		return "no version that is known has such files"
	}
	return ""
}

// listing is what lies below a path, by names and lengths.
type listing struct {
	most  int64 // bytes that are of interest
	files map[string]int64
	total int64
	over  bool // there is more than is of interest: the rest was not looked at
}

func (l *listing) read(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	l.files = map[string]int64{}
	l.over, err = walk(path, maxListed, func(name string, size int64) bool {
		l.files[name] = size
		l.total += size
		return l.total <= l.most
	})
	return err
}

// shared is how many bytes are in files that a tree has too, by their paths or their lengths.
func (l *listing) shared(in *piece.Info) (n int64) {
	paths, lengths := map[string]bool{}, map[int64]bool{}
	for i := range in.Files {
		paths[filepath.Join(in.Files[i].Path...)], lengths[in.Files[i].Length] = true, true
	}
	for name, length := range l.files {
		if paths[name] || lengths[length] {
			n += length
		}
	}
	return n
}

// hash reads what lies at path. Under the name that a patch's version had it has that version's info hash, if it is unchanged. What cannot be described is no version of anything.
func (f *finder) hash(ctx context.Context, path string) (*version, error) {
	name := filepath.Base(path)
	if f.Release.IsTree() {
		name = f.Release.Tree().Name // which is one that content can have
	}
	t, _, err := piece.Build(ctx, path, piece.BuildConfig{Name: name, Progress: f.readingAs("reading " + path)})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || !t.HasV2 {
		f.why = "it cannot be described"
		if err != nil {
			f.why += ": " + err.Error()
		}
		return nil, nil
	}
	v := &version{info: t.Info, path: path, here: t.Length}
	for _, p := range f.patches {
		if !f.Release.IsTree() {
			break
		}
		if in, err := renamed(t.Info, f.Release.App+"-"+p.From); err == nil && hex.EncodeToString(in.V2[:]) == p.Base {
			v.info = in
			return v, nil
		}
	}
	return v, nil
}

// renamed is a tree under another name, which only its info hash hangs on.
func renamed(in *piece.Info, name string) (*piece.Info, error) {
	var dict map[string]bencode.Bytes
	err := bencode.Unmarshal(in.Bytes, &dict)
	if err != nil {
		return nil, err
	}
	if dict["name"], err = bencode.Marshal(name); err != nil {
		return nil, err
	}
	b, err := bencode.Marshal(dict)
	if err != nil {
		return nil, err
	}
	out, err := piece.ParseInfo(b)
	if err != nil {
		return nil, err
	}
	for i := range out.Files {
		if layer := in.Layer(i); layer != nil && out.Layer(i) == nil {
			if err := out.SetLayer(i, layer); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// readingAs begins a work of reading; nil if nobody wants to know how far it is.
func (r *Request) readingAs(what string) func(done, total int64) {
	if r.Reading == nil {
		return nil
	}
	return r.Reading(what)
}

// before is the version that v was before somebody changed some of it, as far as v has it: a patch from it makes all but that. It is nil if there is none, or half of it is changed.
// What the user has named may be any version that there is a patch from, and else its name tells, if its description is not known.
func (f *finder) before(ctx context.Context, v *version, named bool) (best *version) {
	consider := func(t *piece.Torrent) {
		if t == nil || t.Dir != v.info.Dir {
			return
		}
		was := &version{info: t.Info, path: v.path}
		was.here = v.common(was)
		if was.here*2 > t.Length && (best == nil || was.here*best.info.Length > best.here*t.Length) {
			was, best = best, was
		}
		if was != nil {
			was.close()
		}
	}
	whole := func() bool { return best != nil && best.here*10 >= best.info.Length*9 }
	if t := f.knownAs(f.Release.Tree().V2); t != nil && t.Dir == v.info.Dir {
		was := &version{info: t.Info, path: v.path}
		defer was.close()
		if v.common(was)*10 >= t.Length*9 {
			return nil // it is the release itself
		}
	}
	for _, p := range f.patches {
		consider(f.knownAs(p.Base))
	}
	likely := func(p release.Artefact) bool { return f.Release.App+"-"+p.From == filepath.Base(v.path) }
	for _, first := range []bool{true, false} {
		for _, p := range f.patches {
			if likely(p) == first && (first || named || !f.Release.IsTree()) && !whole() {
				consider(f.description(ctx, p.Base))
			}
		}
	}
	return best
}

// common is how many bytes of another version v has in the same place: in files that are the same, and else in pieces.
func (v *version) common(was *version) (n int64) {
	in := was.info
	for i := range in.Files {
		f := &in.Files[i]
		j := v.fileAt(in, i)
		if f.Length == 0 || j < 0 {
			continue
		}
		if v.info.Files[j].Root == f.Root {
			n += f.Length
			continue
		}
		first, end := in.FilePieces(i)
		if v.info.PieceLength == in.PieceLength {
			for p := first; p < end; p++ {
				if v.hasPiece(in, i, p) {
					n += in.PieceLen(p)
				}
			}
			continue
		}
		right, all := 0, 0
		for k := range min(end-first, mostSampled) {
			if ok, known := was.isRight(first + k*(end-first)/min(end-first, mostSampled)); known {
				if all++; ok {
					right++
				}
			}
		}
		if all > 0 {
			n += f.Length * int64(right) / int64(all)
		}
	}
	return n
}
