package disk

import (
	"errors"
	"path/filepath"
	"strings"
)

// DefaultStateDir returns where a shoal without --state-dir keeps its state: systemd's $STATE_DIRECTORY if it runs there, else the system's
// place for root (Windows: an elevated process) and the user's for others. It creates nothing.
func DefaultStateDir() (string, error) { return stateDir(environment()) }

// env is what decides about the state directory.
type env struct {
	windows, admin bool
	get            func(string) string
}

func stateDir(e env) (string, error) {
	// systemd lists several directories with colons when the unit names several: the first is the unit's main one.
	if d, _, _ := strings.Cut(e.get("STATE_DIRECTORY"), ":"); d != "" && !e.windows {
		return d, nil
	}
	first := func(parts ...[]string) (string, error) {
		for _, p := range parts {
			// XDG: a relative path in the variable must be ignored.
			if d := e.get(p[0]); filepath.IsAbs(d) || e.windows && d != "" {
				return filepath.Join(append([]string{d}, p[1:]...)...), nil
			}
		}
		return "", errors.New("no default state directory: none of the usual environment variables is set; name one with --state-dir")
	}
	switch {
	case e.windows && e.admin:
		return first([]string{"ProgramData", "shoal"})
	case e.windows:
		return first([]string{"LocalAppData", "shoal"})
	case e.admin:
		return "/var/lib/shoal", nil
	default:
		return first([]string{"XDG_STATE_HOME", "shoal"}, []string{"HOME", ".local", "state", "shoal"})
	}
}
