package seeder

import (
	"io/fs"
	"strings"
	"testing"
)

// What may be pushed stays below the directories that are for it.
func FuzzMayPush(f *testing.F) {
	for _, s := range []string{"metadata/1.root.json", "content/" + strings.Repeat("a", 64) + "/x/y", "content/../keys", "keys/online/x", "targets/releases/../../keys", "log/checkpoint"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !mayPush(path) {
			return
		}
		first, _, _ := strings.Cut(path, "/")
		if !fs.ValidPath(path) || first != "metadata" && first != "targets" && first != "content" || strings.Contains("/"+path+"/", "/../") {
			t.Fatalf("%q may be pushed", path)
		}
	})
}
