package piece

import (
	"fmt"
	"path/filepath"
	"testing"
)

// What `aria2c -S` of aria2 1.36.0 prints for torrents that libtorrent made.
func TestAliasIsWhatAria2Computes(t *testing.T) {
	for name, want := range map[string]string{
		"exec": "8fe38a38e0a5657bf0103cab7bd8d8de524369e8", "file": "c3edfac2c6109f3a8bb9ba94122e5e5b986ec545",
		"one": "7bc1c207fafb7d2220e33cebc188bb2551ffb579", "pair": "1d7ee24151555113dfb0c567b6133e501f4ccbe0",
		"small": "3ed4abccc022405e1e8bb8f8b9d7df565c0460d0", "tree": "d630154e4abfc618b73d0826578ae6791c154320",
	} {
		x, err := ReadFile(filepath.Join("..", "testdata", "torrent", "libtorrent-hybrid-"+name+".torrent"))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := x.AliasV1()
		if !ok || fmt.Sprintf("%x", got[:]) != want {
			t.Errorf("%s: alias = %x, %v, want %s", name, got, ok, want)
		}
	}
	x, err := ReadFile(filepath.Join("..", "testdata", "torrent", "libtorrent-v1-file.torrent"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := x.AliasV1(); ok {
		t.Error("a v1 torrent has an alias")
	}
}
