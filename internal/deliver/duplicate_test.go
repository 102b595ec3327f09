package deliver

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// What an edge says of others is heard, what makes no sense is not, and content is then got from the edge first and from the others in their order.
func TestDuplicatesAreSpares(t *testing.T) {
	const path = "metadata/timestamp.json"
	w := webOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/test"+EdgeServer)
		for _, base := range []string{"http://10.0.0.6:7070/ID/", "http://", "ftp://10.0.0.7/", "https://origin.example/"} {
			AddDuplicate(w.Header(), base+path)
		}
		AddDuplicate(w.Header(), "http://10.0.0.8/another/file")
		w.Header().Add("Link", `<http://10.0.0.9/metadata/timestamp.json>; rel=next`)
		w.Header().Add("Link", "nothing")
		w.Write([]byte("{}"))
	})
	if _, _, err := w.Get(t.Context(), path, 100, ""); err != nil {
		t.Fatal(err)
	}
	var f Found
	w.sources(&f, "abc")
	if want := []string{"http://10.0.0.6:7070/ID/content/abc/", "https://origin.example/content/abc/"}; !slices.Equal(f.Spares, want) {
		t.Errorf("spares %q, want %q", f.Spares, want)
	}
	host := (&url.URL{Scheme: "http", Host: w.base.Host, Path: "/content/abc/"}).String()
	if !slices.Equal(f.WebSeeds, []string{host}) || f.Origin != nil {
		t.Errorf("web seeds %q, origin %q; want the edge itself", f.WebSeeds, f.Origin)
	}
}
