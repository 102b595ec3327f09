package edgecache

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/release"
)

// newWordyOrigin is a web server with a repository whose signed files take about so many bytes, all read anew by each edge.
func newWordyOrigin(t *testing.T, bytes int) *url.URL {
	t.Helper()
	r, err := release.Init(t.Context(), filepath.Join(t.TempDir(), "repo"), release.InitConfig{}, release.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const notes = 30_000
	a := release.Artefact{Kind: "T", Name: "app.bin", V2: strings.Repeat("ab", 32), Bytes: 1, Metainfo: 1}
	_, err = r.Update(t.Context(), func(tx *release.Tx) error {
		for i := range bytes / notes {
			rel := release.Release{App: "app", Version: fmt.Sprint(i + 1), Platform: "any", Notes: strings.Repeat("note ", notes/5), Artefacts: []release.Artefact{a}}
			if _, err := tx.Add(rel, []byte("d")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(r.Public())))
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// sizesIn is how much of the disk each file and directory under dir takes, found one after another while they change.
func sizesIn(dir string) map[string]int64 {
	sizes := map[string]int64{}
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			sizes[path] = sizeOf(path)
		}
		return nil
	})
	return sizes
}

// bytesIn is how much lay on the disk, at least, at one moment between two walks: what both found. One alone may find a content, and then the signed file that it went for.
func bytesIn(before, after map[string]int64) (n int64) {
	for path, size := range after {
		n += min(size, before[path])
	}
	return n
}

// Contents go for signed files; and a repository whose signed files alone are too large is refused in words, while the quota holds and nothing else suffers.
func TestSignedFilesKeepToTheQuota(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	for name, c := range map[string]struct {
		bytes   int
		refused bool
	}{"contents go": {5 << 18, false}, "nothing more can go": {12 << 20, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, dir := newOrigin(t, size, size, size), t.TempDir()
			e, stop := runEdge(t, o, Config{Quota: MinQuota, StateDir: dir})
			until(t, "all contents are here", func() bool { return e.Status().Kept == 3 })
			stop()

			var watching sync.WaitGroup
			most, end := int64(0), make(chan struct{})
			watching.Go(func() {
				before := sizesIn(dir)
				for {
					select {
					case <-end:
						return
					case <-time.After(5 * time.Millisecond):
						after := sizesIn(dir)
						most = max(most, bytesIn(before, after))
						before = after
					}
				}
			})
			var out logged
			o.urls = append(o.urls, newWordyOrigin(t, c.bytes))
			e, _ = startEdge(t, o, Config{Quota: MinQuota, StateDir: dir, FirstUse: true, Interval: 50 * time.Millisecond, Apps: []string{"none"}, Log: slog.New(slog.NewTextHandler(&out, nil))})
			wordy := e.feeds[len(e.feeds)-1]
			until(t, "the signed files are here, or refused", func() bool {
				known, err := wordy.state()
				told := strings.Contains(out.String(), "cannot be followed") // after the state is set
				return known != nil && !c.refused || errors.Is(err, errNoMetadataRoom) && c.refused && told
			})
			close(end)
			watching.Wait()
			if most > MinQuota || most < MinQuota/2 {
				t.Errorf("%d bytes lay on the disk at times, want at most %d, and more than half of that", most, MinQuota)
			}
			if told := strings.Contains(out.String(), "larger --quota"); told != c.refused {
				t.Errorf("that a larger quota is needed was told: %v, want %v:\n%s", told, c.refused, out.String())
			}
			if n := e.Status().Dropped["quota"].Contents; n == 0 {
				t.Error("no content has gone for signed files")
			}
			if st := e.Status(); st.Used > st.Quota {
				t.Errorf("%d of %d bytes are said to be used", st.Used, st.Quota)
			}
			until(t, "what has room is served", func() bool {
				for i := range o.keys {
					w := httptest.NewRecorder()
					if e.ServeHTTP(w, o.request(i)); w.Code == http.StatusOK && w.Body.Len() == size {
						return true
					}
				}
				return false
			})
		})
	}
}
