package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"shoal/internal/disk"
	"shoal/internal/release"
)

// Where else a repository is (see AddDuplicate) is remembered beside what is trusted of it, as trust/ID/duplicates.json: when the server that the user names is dead, a later
// run asks there. It says where to ask and no more: what comes from there is held against the same root, and is remembered under the name that the user knows.

// asked is a server of a repository, and where else it has said that the repository is.
type asked struct {
	Name string   `json:"name"` // as the trust knows it
	Also []string `json:"also"` // bases, best first
}

const (
	// maxAlso is how many duplicates of one server are remembered: those that it has named, or one that was asked in its place, what that one has named, and before.
	maxAlso = 2 * maxDuplicates
	// maxAsked is of how many servers of one repository that is remembered: the last that were new.
	maxAsked = 16
	// elsewhereTime is for how long they are asked, all together.
	elsewhereTime = 20 * time.Second
	// maxDuplicatesFile bounds the file, in bytes.
	maxDuplicatesFile = 2 * maxAsked * maxAlso * maxBase
)

// duplicatesFile is where the duplicates of a repository are remembered; "": nowhere.
func (c *ReleaseConfig) duplicatesFile(id string) string {
	if c.StateDir == "" || id == "" {
		return ""
	}
	return filepath.Join(c.trustDir(), id, "duplicates.json")
}

// readAsked reads what is remembered. What cannot be read says nothing.
func readAsked(path string) (list []asked) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := release.ReadLimited(f, maxDuplicatesFile, path)
	if err != nil || json.Unmarshal(b, &list) != nil {
		return nil
	}
	return list
}

// remember keeps where else the repository is, as the server of it that has just been found to be right says. One that says nothing takes nothing back: edges that
// are begun anew know nobody yet.
func (c *ReleaseConfig) remember(id string, r *repository) error {
	path := c.duplicatesFile(id)
	if r.web == nil || path == "" {
		return nil
	}
	var now asked
	add := func(bases ...string) {
		for _, base := range bases {
			if u := parseBase(base); len(now.Also) < maxAlso && u != nil && !slices.Contains(now.Also, base) && !sameHost(u, r.name) {
				now.Also = append(now.Also, base)
			}
		}
	}
	list := readAsked(path)
	at := slices.IndexFunc(list, func(a asked) bool { return a.Name == r.name })
	if r.asked != "" { // it is a duplicate itself, and has proven itself
		add(r.web.base.String())
	}
	for _, u := range r.web.duplicates() {
		add(u.String())
	}
	if at >= 0 {
		if r.asked != "" || now.Also == nil {
			add(list[at].Also...)
		}
		was := list[at].Also
		if sameSet(was, now.Also) && (r.asked == "" || was[0] == now.Also[0]) { // an edge shuffles those that it names
			return nil
		}
		list = slices.Delete(list, at, at+1)
	}
	if now.Also == nil {
		return nil
	}
	now.Name = r.name
	list = append(list, now)
	b, err := json.Marshal(list[max(0, len(list)-maxAsked):])
	if err != nil {
		return err
	}
	err = disk.ReplaceFile(path, append(b, '\n'), 0o644)
	if errors.Is(err, fs.ErrNotExist) { // the trust is not remembered either
		return nil
	}
	return err
}

// sameHost says whether a base is on the server that a name means: with that one the base is dead as well.
func sameHost(u *url.URL, name string) bool {
	other, err := url.Parse(name)
	return err == nil && other.Host == u.Host
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// remembered are the bases of where else the repository is, as its server has said earlier.
func (c *ReleaseConfig) remembered(r *repository) (list []*url.URL) {
	var root []byte
	var err error
	if c.Root != "" {
		root, err = os.ReadFile(c.Root)
	} else {
		root, err = release.KnownRoot(c.trustDir(), r.name, "")
	}
	if root == nil || err != nil {
		return nil
	}
	id, _, err := release.RepositoryOf(root)
	if err != nil {
		return nil
	}
	for _, a := range readAsked(c.duplicatesFile(id)) {
		if a.Name != r.name {
			continue
		}
		for _, text := range a.Also[:min(len(a.Also), maxAlso)] {
			if u := parseBase(text); u != nil && !sameHost(u, r.name) {
				list = append(list, u)
			}
		}
	}
	return list
}

// untagged is a server that is asked in place of the one whose tags are remembered.
type untagged struct{ *web }

func (u untagged) Get(ctx context.Context, path string, limit int64, _ string) ([]byte, string, error) {
	b, _, err := u.web.Get(ctx, path, limit, "")
	return b, "", err
}

// elsewhere finds a release where else its repository is, because r does not answer, or is behind. other has proven to be that repository, and what it says of the release
// holds, an error too; closing it is the caller's. It is nil if there is none: the error is then a refusal of what has been found there, if anything was.
func (c *ReleaseConfig) elsewhere(ctx context.Context, s Source, r *repository) (other *repository, found *Trusted, err error) {
	all := ctx
	ctx, cancel := context.WithTimeout(ctx, elsewhereTime) // many may be dead by now, and there are other ways
	defer cancel()
	var refusal error
	for _, base := range c.remembered(r) {
		w := newWeb(base, c.UserAgent)
		other := &repository{files: untagged{w}, name: r.name, asked: base.Redacted(), web: w, close: w.Close}
		t, err := c.trust(ctx, other)
		if err == nil {
			if found, err = c.lookUp(ctx, s, other, t); !unanswered(err) && !isUnknown(err) { // one that lags does not know what is new
				return other, found, err
			}
		}
		other.close()
		if all.Err() != nil {
			return nil, nil, all.Err()
		}
		if ctx.Err() != nil {
			break
		}
		if refusal == nil && !unanswered(err) {
			refusal = err
		}
	}
	return nil, nil, refusal
}

func isUnknown(err error) bool {
	var r *release.Refusal
	return errors.As(err, &r) && r.Rule == release.RuleUnknown
}

// unanswered says whether an error is about who was asked, and not about what was asked for: others may know more.
func unanswered(err error) bool {
	return errors.Is(err, ErrNoSource) || errors.Is(err, release.ErrBehind)
}
