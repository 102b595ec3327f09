package piece

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTorrentsOfOtherPrograms reads each golden torrent and writes it again.
func TestTorrentsOfOtherPrograms(t *testing.T) {
	files, _ := filepath.Glob(goldens + "*.torrent")
	if len(files) < 19 {
		t.Fatalf("%d torrents in %s, want at least 19", len(files), goldens)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tor, err := Read(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			checkGeometry(t, tor.Info)
			var w bytes.Buffer
			if err := tor.Write(&w); err != nil {
				t.Fatal(err)
			}
			again, err := Read(bytes.NewReader(w.Bytes()))
			if err != nil {
				t.Fatalf("reading what was written: %v", err)
			}
			if again.V1 != tor.V1 || again.V2 != tor.V2 || again.Magnet() != tor.Magnet() {
				t.Errorf("written again it is %s, want %s", again.Magnet(), tor.Magnet())
			}
			if strings.HasPrefix(name, "libtorrent") && !bytes.Equal(w.Bytes(), b) {
				t.Errorf("written again it has %d bytes, want the same %d", w.Len(), len(b))
			}
			if v1 := strings.Contains(name, "-v1-") || strings.Contains(name, "-hybrid-"); v1 != tor.HasV1 {
				t.Errorf("HasV1 = %v, want %v", tor.HasV1, v1)
			}
			if v2 := strings.Contains(name, "-v2-") || strings.Contains(name, "-hybrid-"); v2 != tor.HasV2 || !tor.HasLayers() {
				t.Errorf("HasV2, HasLayers = %v, %v, want %v, true", tor.HasV2, tor.HasLayers(), v2)
			}
			if dir := strings.Contains(name, "-tree") || strings.Contains(name, "-one") || strings.Contains(name, "-pair"); dir != tor.Dir {
				t.Errorf("Dir = %v, want %v", tor.Dir, dir)
			}
		})
	}
}

func TestGoldenTreeHasAttributes(t *testing.T) {
	for _, kind := range []string{"v1", "v2", "hybrid"} {
		tor, err := ReadFile(goldens + "libtorrent-" + kind + "-tree.torrent")
		if err != nil {
			t.Fatal(err)
		}
		links := map[string]string{}
		var exec []string
		for i := range tor.Files {
			f := &tor.Files[i]
			if f.Symlink != nil {
				links[f.Name(tor.Info)] = strings.Join(f.Symlink, "/")
			} else if f.Executable {
				exec = append(exec, f.Name(tor.Info))
			}
		}
		want := map[string]string{"tree/a/link": "bin/run", "tree/a/local": "a/deep/f.txt", "tree/dangling": "nothere", "tree/dirlink": "bin", "tree/zlink": "z.bin"}
		for name, target := range want {
			if links[name] != target {
				t.Errorf("%s: %s links to %q, want %q", kind, name, links[name], target)
			}
		}
		if len(links) != len(want) || !slices.Equal(exec, []string{"tree/bin/run"}) {
			t.Errorf("%s: links %v, executables %v", kind, links, exec)
		}
	}
}

// TestWriteKeepsTheRest writes all optional fields.
func TestWriteKeepsTheRest(t *testing.T) {
	tor, err := ReadFile(goldens + "libtorrent-hybrid-tree.torrent")
	if err != nil {
		t.Fatal(err)
	}
	tor.Trackers = [][]string{{"http://a/announce", "udp://b:1"}, {"http://c/announce"}}
	tor.WebSeeds = []string{"http://a/", "http://b/x y/"}
	tor.Comment, tor.CreatedBy, tor.Created = "a comment", "shoal", time.Unix(1700000000, 0).UTC()
	var w bytes.Buffer
	if err := tor.Write(&w); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&w)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got.Trackers, tor.Trackers, slices.Equal) || !slices.Equal(got.WebSeeds, tor.WebSeeds) || got.Comment != tor.Comment ||
		got.CreatedBy != tor.CreatedBy || !got.Created.Equal(tor.Created) {
		t.Errorf("got %+v, want %+v", got, tor)
	}
	const magnet = "magnet:?xt=urn:btih:6aa9ca77f0dba19a6b911b2d03e07436d6bf5d18"
	if m := tor.Magnet(); !strings.HasSuffix(m, "&dn=tree&xl=282787&tr=http%3A%2F%2Fa%2Fannounce&tr=udp%3A%2F%2Fb%3A1&tr=http%3A%2F%2Fc%2Fannounce&ws=http%3A%2F%2Fa%2F&ws=http%3A%2F%2Fb%2Fx%20y%2F") ||
		!strings.HasPrefix(m, magnet[:len("magnet:?xt=urn:btih:")]) {
		t.Errorf("magnet is %s", m)
	}
}

func TestReadRefusesWrongLayers(t *testing.T) {
	b, err := os.ReadFile(goldens + "libtorrent-v2-tree.torrent")
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("12:piece layersd32:")) + len("12:piece layersd32:") + 32 + 10
	b[at] ^= 1
	if _, err := Read(bytes.NewReader(b)); !errors.Is(err, ErrBadTorrent) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrBadTorrent and ErrCorrupt", err)
	}
}
