package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// variables stands for an environment.
func variables(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestPrecedence(t *testing.T) {
	all := testCommands()
	path := filepath.Join(t.TempDir(), "shoal.toml")
	text := "site = \"file\"\nlimit-up = \"1M\"\npeer = [\"a:1\"]\n[fetch]\nlimit-up = 2000\nlimit-down = \"3M\"\nquiet = true\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	given := map[string][]string{"config": {path}, "limit-down": {"4M", "5M"}}
	s, err := mergeSettings(all[0], all, given, variables("SHOAL_SITE", "env", "SHOAL_LIMIT_DOWN", "6M", "SHOAL_DEADLINE", "90s", "SHOAL_COUNT", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, origin, where string
		got, want           any
	}{
		{"limit-down", "flag", "--limit-down", s.Rates("limit-down").String(), "5M"}, // the last one wins
		{"site", "env", "SHOAL_SITE", s.String("site"), "env"},
		{"deadline", "env", "SHOAL_DEADLINE", s.Duration("deadline"), 90 * time.Second},
		{"limit-up", "file", path, s.Rates("limit-up").String(), "2K"}, // the table wins over the top
		{"quiet", "file", path, s.Bool("quiet"), true},
		{"count", "default", "", s.Int("count"), int64(0)}, // an empty variable is none
		{"stall-timeout", "default", "", s.Duration("stall-timeout"), 2 * time.Minute},
		{"listen", "default", "", s.String("listen"), ":7070"},
	} {
		one := s.get(tt.name)
		if tt.got != tt.want || one.origin != tt.origin || one.where != tt.where {
			t.Errorf("%s = %v from %s %s, want %v from %s %s", tt.name, tt.got, one.origin, one.where, tt.want, tt.origin, tt.where)
		}
	}
	if got := s.List("peer"); !slices.Equal(got, []string{"a:1"}) {
		t.Errorf("peer = %q, want a:1 from the file", got)
	}
	if !s.given("site") || s.given("listen") {
		t.Error("given(site), given(listen): want true, false")
	}
}

func TestSettingsRefuse(t *testing.T) {
	all := testCommands()
	for _, tt := range []struct {
		flags     map[string][]string
		variables []string
		want      string
	}{
		{map[string][]string{"limit-up": {"fast"}}, nil, "--limit-up: "},
		{map[string][]string{"format": {"slow"}}, nil, `--format: "slow" is not one of fast, small`},
		{map[string][]string{"count": {"-1"}}, nil, "--count: "},
		{map[string][]string{"deadline": {"90"}}, nil, "--deadline: "},
		{map[string][]string{"listen": {"7070"}}, nil, "--listen: "},
		{map[string][]string{"listen": {":70700"}}, nil, "--listen: "},
		{map[string][]string{"json": {"maybe"}}, nil, "--json: "},
		{nil, []string{"SHOAL_LIMIT_DOWN", "-3"}, "SHOAL_LIMIT_DOWN: "},
		{nil, []string{"SHOAL_LOG_LEVEL", "loud"}, "SHOAL_LOG_LEVEL: "},
	} {
		_, err := mergeSettings(all[0], all, tt.flags, variables(tt.variables...))
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(usage.message, tt.want) {
			t.Errorf("%v %v: got %v, want a usage error with %q", tt.flags, tt.variables, err, tt.want)
		}
	}
}

// Whatever an option of a limit takes, its node takes too: setting it is no second reading that could fail.
func TestLimitsRefuseWhatTheirOptionsDo(t *testing.T) {
	options := concat(rateOptions(), []option{minRateOption(""), maxPeersOption("80"), budgetOption()})
	c := &command{name: "node", options: options}
	for _, text := range []string{"", "0", "7", "+7", "-7", "0.5", "1.5", "5M", "20Mbit", "99999999999", "99999999999999999999999", "inf", "nan", "08:00-18:00=5M,else=1", "many"} {
		for _, o := range options {
			s, err := mergeSettings(c, []*command{c}, map[string][]string{o.name: {text}}, variables())
			if err == nil {
				s.limits() // panics where they differ
			} else if strings.Contains(err.Error(), "strconv") {
				t.Errorf("--%s %q: %v", o.name, text, err)
			}
		}
	}
}

func TestConfigFileRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, message, hint string }{
		"not TOML":            {"site = ", "f.toml: ", "TOML"},
		"unknown key":         {"sites = \"a\"", `unknown key "sites"`, "did you mean site?"},
		"unknown key, table":  {"[fetch]\noutptu = \"a\"", `unknown key "fetch.outptu"`, "did you mean output?"},
		"key of another":      {"[edge]\noutput = \"a\"", `unknown key "edge.output"`, "names of flags"},
		"unknown table":       {"[fetsh]\nsite = \"a\"", "unknown table [fetsh]", "did you mean fetch?"},
		"short name":          {"[fetch]\no = \"a\"", `unknown key "fetch.o"`, ""},
		"config in a file":    {"config = \"a\"", `unknown key "config"`, ""},
		"list for one":        {"site = [\"a\"]", "site takes one value", ""},
		"list of numbers":     {"peer = [1]", "list of strings", ""},
		"number for a bool":   {"quiet = 1", "quiet cannot be 1", ""},
		"bool for a text":     {"site = true", "site cannot be true", ""},
		"float":               {"limit-up = 1.5", "write it as a string", ""},
		"nested table":        {"[fetch.site]\na = 1", "fetch.site cannot be", ""},
		"value out of bounds": {"[fetch]\nlimit-up = -1", "negative", ""},
		"value of unused":     {"[fetch]\ndeadline = \"soon\"", "duration", ""},
	} {
		_, err := parseConfig("f.toml", tt.text, testCommands())
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(usage.message, tt.message) || !strings.Contains(usage.hint, tt.hint) {
			t.Errorf("%s: got %v, want a usage error with %q and hint %q", name, err, tt.message, tt.hint)
		}
	}
}

func TestConfigFileTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.toml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#", maxConfigBytes+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(path, testCommands()); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v, want an error about the size", err)
	}
}

func TestDefaultStateDirIsShown(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/a:/b")
	all := testCommands()
	s, err := mergeSettings(all[0], all, nil, variables())
	if err != nil || s.String("state-dir") != "/a" || s.given("state-dir") {
		t.Errorf("got %q, %v, want the default /a", s.String("state-dir"), err)
	}
}
