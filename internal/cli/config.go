package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/BurntSushi/toml"
)

// configCommand prints settings. It has a subcommand for each command, with that command's flags, so that
// it shows what a whole command line would mean.
func configCommand(all []*command) *command {
	config := &command{
		name:  "config",
		args:  "[COMMAND]",
		usage: "print the settings of a command, and where each comes from",
		long: "A setting comes from the flag, else from the variable SHOAL_NAME, else from the file that --config names, else it is the default.\n" +
			"What is printed is such a file: keys are names of flags, tables names of commands. Keys above the first table hold for every\n" +
			"command that has the flag.",
		examples: []string{
			"shoal config create --format v1   # what would hold for this command line",
			"shoal config > shoal.toml         # a file to start from",
		},
		options: outputOptions(),
		maxArgs: 0,
	}
	var shown []*command
	for _, c := range all {
		if len(settable(c)) == 0 {
			continue
		}
		shown = append(shown, c)
		config.sub = append(config.sub, &command{
			name:     c.name,
			usage:    "settings of " + c.name,
			examples: []string{"shoal config " + c.name},
			options:  c.options,
			maxArgs:  anyArgs,
			run: func(_ context.Context, e *env, _ []string) error {
				return printSettings(e, c, e.settings)
			},
		})
	}
	config.run = func(_ context.Context, e *env, _ []string) error {
		given := map[string][]string{}
		if path := e.settings.String("config"); path != "" {
			given["config"] = []string{path}
		}
		for i, c := range shown {
			s, err := mergeSettings(c, all, given, e.lookupEnv)
			if err != nil {
				return err
			}
			if i > 0 && !e.report.json {
				fmt.Fprintln(e.stdout)
			}
			if err := printSettings(e, c, s); err != nil {
				return err
			}
		}
		return nil
	}
	return config
}

// settable lists a command's own options: those of outputOptions are the same everywhere.
func settable(c *command) []string {
	var own []string
	for _, o := range c.options {
		if o.name != "json" && o.name != "quiet" && !o.invocation {
			own = append(own, o.name)
		}
	}
	return own
}

func printSettings(e *env, c *command, s *settings) error {
	if !e.report.json {
		fmt.Fprintf(e.stdout, "[%s]\n", c.name)
	}
	for _, name := range settable(c) {
		one := s.get(name)
		var value any = one.value
		if text, isText := one.text(); isText {
			value = text
		} else if list, isList := value.([]string); isList {
			value = orEmpty(list) // TOML leaves out what is nil
		}
		hidden := ""
		if one.secret && value != "" { // a comment, so that what is printed does not set it to something else
			value, hidden = "(hidden)", "# "
		}
		line, err := toml.Marshal(map[string]any{name: value})
		if err != nil {
			return err
		}
		e.report.Result("setting", struct {
			Command string `json:"command"`
			Name    string `json:"name"`
			Value   any    `json:"value"`
			Origin  string `json:"origin"`
			Where   string `json:"where"`
		}{c.name, name, value, one.origin, one.where}, func(w io.Writer) {
			where := one.where
			if where == "" {
				where = one.origin
			}
			fmt.Fprintf(w, "%-40s # %s\n", hidden+strings.TrimSpace(string(line)), clean(where))
		})
	}
	return nil
}

// text is the value as it was written, for kinds whose value is a number with a unit.
func (s *setting) text() (string, bool) {
	switch s.kind {
	case kindSize, kindRate, kindRates, kindDuration:
		return s.written(), true
	}
	return "", false
}

// written is the value as it was written.
func (s *setting) written() string {
	if len(s.texts) > 0 {
		return s.texts[len(s.texts)-1]
	}
	return s.def
}
