package cli

import (
	"context"
	"fmt"
	"slices"
)

// command is a word after "shoal".
type command struct {
	name     string
	args     string // its arguments in the help, such as "PATH…"
	usage    string // one line
	long     string // paragraphs for -h; may be empty
	examples []string
	options  []option // its own first, then the groups of common.go
	sub      []*command
	table    string // of the configuration file; "": its name
	run      func(ctx context.Context, e *env, args []string) error

	minArgs, maxArgs int
	complete         string // what the arguments are, for completion: "file", "dir", or neither
}

// anyArgs as maxArgs is no limit.
const anyArgs = -1

// commands is the table of everything shoal can do, in the order of the help.
func commands() []*command {
	all := []*command{
		createCommand(),
		inspectCommand(),
		verifyCommand(),
		serveCommand(),
		edgeCommand(),
		getCommand(),
		planCommand(),
		updateCommand(),
		seedCommand(),
		trackerCommand(),
		initCommand(),
		publishCommand(),
		promoteCommand(),
		withdrawCommand(),
		rolloutCommand(),
		fleetCommand(),
		pruneCommand(),
		keyCommand(),
		logCommand(),
		bundleCommand(),
		pushCommand(),
		statusCommand(),
		limitCommand(),
		demoCommand(),
	}
	all = append(all, versionCommand(), completionCommand())
	return append(all, configCommand(all))
}

// find returns the subcommand of that name, or nil.
func (c *command) find(name string) *command {
	i := slices.IndexFunc(c.sub, func(s *command) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return c.sub[i]
}

// option returns the option of that long or short name, or nil.
func (c *command) option(name string) *option {
	i := slices.IndexFunc(c.options, func(o option) bool { return name != "" && (o.name == name || o.short == name) })
	if i < 0 {
		return nil
	}
	return &c.options[i]
}

func (c *command) names() []string {
	var names []string
	for _, s := range c.sub {
		names = append(names, s.name)
	}
	return names
}

func (c *command) optionNames() []string {
	names := make([]string, len(c.options))
	for i, o := range c.options {
		names[i] = o.name
	}
	return names
}

// checkArgs holds the number of arguments against what the command takes; name is its full name, such as "edge pin".
func (c *command) checkArgs(name string, args []string) error {
	if len(args) < c.minArgs {
		return usagef("shoal "+name+" -h shows an example", "%s needs %s", name, c.args)
	}
	if c.maxArgs != anyArgs && len(args) > c.maxArgs {
		if c.maxArgs == 0 {
			return usagef("shoal "+name+" -h shows an example", "%s takes no argument, but there is %q", name, args[0])
		}
		return usagef("shoal "+name+" -h shows an example", "%s takes %s and nothing more, but there is %q", name, c.args, args[c.maxArgs])
	}
	return nil
}

// usageError is a mistake on the command line, in a variable, or in the configuration file.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

func usagef(hint, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), hint}
}
