package webseed

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestAddRefusesWhatItCannotServe(t *testing.T) {
	one := []File{{Length: 1}}
	good := Content{Key: keyFile, Name: "n", Files: one}
	for name, c := range map[string]Content{
		"no key":            {Name: "n", Files: one},
		"short key":         {Key: "abcd", Name: "n", Files: one},
		"not hex":           {Key: strings.Repeat("x", 40), Name: "n", Files: one},
		"no name":           {Key: keyFile, Files: one},
		"dot name":          {Key: keyFile, Name: "..", Files: one},
		"slash in name":     {Key: keyFile, Name: "a/b", Files: one},
		"two files":         {Key: keyFile, Name: "n", Files: []File{{}, {}}},
		"path for a file":   {Key: keyFile, Name: "n", Files: []File{{Path: "x"}}},
		"no path in a tree": {Key: keyFile, Name: "n", Dir: true, Files: one},
		"path up":           {Key: keyFile, Name: "n", Dir: true, Files: []File{{Path: "a/../../b"}}},
		"absolute path":     {Key: keyFile, Name: "n", Dir: true, Files: []File{{Path: "/etc/passwd"}}},
		"twice":             {Key: keyFile, Name: "n", Dir: true, Files: []File{{Path: "a"}, {Path: "b"}, {Path: "a"}}},
		"negative length":   {Key: keyFile, Name: "n", Files: []File{{Length: -1}}},
	} {
		if err := new(Handler).Add(c); err == nil {
			t.Errorf("%s: Add took it", name)
		}
	}
	var h Handler
	if err := h.Add(good); err != nil {
		t.Fatal(err)
	}
	if err := h.Add(good); err == nil {
		t.Error("the same key twice was taken")
	}
	h.Remove(keyFile)
	h.Remove(keyFile)
	if err := h.Add(good); err != nil {
		t.Errorf("after Remove: %v", err)
	}
}

func TestPlainNameGoesToTheNextWhenItsContentIsRemoved(t *testing.T) {
	var h Handler
	second := strings.Repeat("c", 64)
	for _, key := range []string{keyFile, second} {
		if err := h.Add(Content{Key: key, Name: "n", Plain: true, Files: []File{{}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{keyFile, second} {
		if e, _, ok := h.find("/n"); !ok || e.Key != want {
			t.Errorf("/n is %v, want %s", e, want)
		}
		h.Remove(want)
	}
	if _, _, ok := h.find("/n"); ok {
		t.Error("/n is still served after both were removed")
	}
}

// That a content has just been removed is for who has removed it to answer: it may come again.
func TestServeLeavesWhatIsRemovedToItsCaller(t *testing.T) {
	var h Handler
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/content/"+keyFile+"/n", nil)
	if gone := h.Serve(w, r); gone == nil || len(w.Header()) > 0 || w.Body.Len() > 0 {
		t.Errorf("%v, and %d bytes are answered: want an error alone", gone, w.Body.Len())
	}
	if h.ServeHTTP(w, r); w.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", w.Code)
	}
}

func TestHandlerIsSafeForConcurrentUse(t *testing.T) {
	h, base, _, file := serveTree(t, 100_000, nil)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 30 {
				h.Remove(keyFile)
				h.Add(*file)
				h.Sent(keyFile)
			}
		})
		all.Go(func() {
			for range 30 {
				resp, got, err := get(t, "GET", base+"/file.bin")
				if err == nil && resp.StatusCode == 200 && !bytes.Equal(got, random(100_000)) {
					t.Error("wrong bytes")
				}
			}
		})
	}
	all.Wait()
}

// Whatever the path, what is found is named by exactly that path.
func FuzzFind(f *testing.F) {
	var h Handler
	tree := Content{Key: keyTree, Name: "tree", Dir: true, Plain: true}
	for _, name := range awkward {
		tree.Files = append(tree.Files, File{Path: name})
		f.Add("/tree/" + name)
		f.Add("/content/" + keyTree + "/tree/" + name)
	}
	if err := errors.Join(h.Add(tree), h.Add(Content{Key: keyFile, Name: "file.bin", Plain: true, Files: []File{{}}})); err != nil {
		f.Fatal(err)
	}
	f.Add("/file.bin")
	f.Add("/content/" + keyFile + "/file.bin")
	f.Add("/tree/../file.bin")
	f.Fuzz(func(t *testing.T, path string) {
		e, i, ok := h.find(path)
		if !ok {
			return
		}
		name := e.Name
		if e.Dir {
			name += "/" + e.Files[i].Path
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(path, "/content/"), "/")
		if path != "/"+name && (path != "/content/"+key+"/"+name || !strings.EqualFold(key, e.Key)) {
			t.Fatalf("%q found %s/%s", path, e.Key, name)
		}
	})
}
