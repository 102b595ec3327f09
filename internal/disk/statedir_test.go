package disk

import (
	"path/filepath"
	"runtime"
	"testing"
)

func TestStateDir(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the paths in the table are Unix paths")
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		root bool
		want string // "" is an error
	}{
		{"root", map[string]string{"HOME": "/root", "XDG_STATE_HOME": "/x"}, true, "/var/lib/shoal"},
		{"user with XDG", map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/x/state"}, false, "/x/state/shoal"},
		{"user without", map[string]string{"HOME": "/home/u"}, false, "/home/u/.local/state/shoal"},
		{"relative XDG is ignored", map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "state"}, false, "/home/u/.local/state/shoal"},
		{"systemd, root", map[string]string{"STATE_DIRECTORY": "/var/lib/private/shoal"}, true, "/var/lib/private/shoal"},
		{"systemd, several", map[string]string{"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/"}, false, "/var/lib/a"},
		{"nothing known", nil, false, ""},
	} {
		got, err := stateDir(env{admin: c.root, get: func(k string) string { return c.env[k] }})
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	for admin, want := range map[bool]string{true: `C:\ProgramData`, false: `C:\Users\u\AppData\Local`} {
		vars := map[string]string{"ProgramData": `C:\ProgramData`, "LocalAppData": `C:\Users\u\AppData\Local`}
		got, err := stateDir(env{windows: true, admin: admin, get: func(k string) string { return vars[k] }})
		if err != nil || got != filepath.Join(want, "shoal") {
			t.Errorf("windows, elevated %v: got %q, %v", admin, got, err)
		}
	}
}
