package cli

import (
	"fmt"
	"slices"
	"strings"
)

// arrangement is a command line put in order.
type arrangement struct {
	path  []*command // from the root to the command
	flags []string   // --name=value or --name, long names only
	words []string   // the arguments
	help  bool       // the word help stood before the command
}

// arrange sorts a command line (without the program's name): urfave/cli stops looking for flags at the
// first argument, but here flags may stand anywhere, even before the command. A flag's value is told from an
// argument by the flag's kind, which is the same in all commands. After -- there are only arguments.
//
// Where a command has subcommands, their words win over an argument in first place.
func arrange(root *command, args []string) (*arrangement, error) {
	a := &arrangement{path: []*command{root}}
	var given []givenFlag
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			a.words = append(a.words, args[i+1:]...)
			break
		}
		name, isFlag := flagName(arg)
		if !isFlag {
			a.addWord(arg)
			continue
		}
		name, value, hasValue := strings.Cut(name, "=")
		f := givenFlag{text: arg, name: name, value: value, hasValue: hasValue}
		if o := anyOption(root, name); o != nil && o.kind != kindBool && !hasValue && i+1 < len(args) {
			// The next word is the value, unless it is plainly another flag: then the value was forgotten.
			next, nextIsFlag := flagName(args[i+1])
			next, _, _ = strings.Cut(next, "=")
			if args[i+1] != "--" && (!nextIsFlag || anyOption(root, next) == nil) {
				f.value, f.hasValue = args[i+1], true
				i++
			}
		}
		given = append(given, f)
	}
	if a.command() == root && len(a.words) > 0 {
		return a, unknownCommand(root, a.words[0])
	}
	if a.help || slices.ContainsFunc(given, givenFlag.asksHelp) {
		a.flags, a.words = []string{"--help"}, nil
		return a, nil
	}
	for _, f := range given {
		flag, err := f.resolve(a)
		if err != nil {
			return a, err
		}
		a.flags = append(a.flags, flag)
	}
	return a, nil
}

// command is the one that the line is for.
func (a *arrangement) command() *command { return a.path[len(a.path)-1] }

// name is the command's full name without the program's, such as "config create".
func (a *arrangement) name() string {
	var names []string
	for _, c := range a.path[1:] {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}

func (a *arrangement) addWord(word string) {
	if len(a.words) == 0 {
		if sub := a.command().find(word); sub != nil {
			a.path = append(a.path, sub)
			return
		}
		if word == "help" && len(a.path) == 1 {
			a.help = true
			return
		}
	}
	a.words = append(a.words, word)
}

// line is the command line in the order that urfave/cli understands.
func (a *arrangement) line(program string) []string {
	line := []string{program}
	for _, c := range a.path[1:] {
		line = append(line, c.name)
	}
	line = append(line, a.flags...)
	line = append(line, "--")
	return append(line, a.words...)
}

type givenFlag struct {
	text, name, value string
	hasValue          bool
}

func (f givenFlag) asksHelp() bool { return f.name == "help" || f.name == "h" }

// resolve checks the flag against the command that the line turned out to be for.
func (f givenFlag) resolve(a *arrangement) (string, error) {
	c := a.command()
	o := c.option(f.name)
	if o == nil {
		where := strings.TrimSpace("shoal " + a.name())
		hint := where + " -h lists its flags"
		if near := nearest(f.name, append(c.optionNames(), "help")); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return "", usagef(hint, "%s has no flag %s", where, strings.SplitN(f.text, "=", 2)[0])
	}
	switch {
	case o.kind == kindBool && !f.hasValue:
		return "--" + o.name, nil
	case !f.hasValue:
		return "", usagef(fmt.Sprintf("write --%s %s", o.name, o.value), "--%s needs a value", o.name)
	}
	return "--" + o.name + "=" + f.value, nil
}

// flagName tells flags from words. A lone - and what begins with a digit behind the - are words.
func flagName(arg string) (name string, ok bool) {
	name, ok = strings.CutPrefix(arg, "-")
	if !ok || name == "" || name[0] >= '0' && name[0] <= '9' {
		return "", false
	}
	return strings.TrimPrefix(name, "-"), true
}

// anyOption finds an option of that name in any command.
func anyOption(c *command, name string) *option {
	if o := c.option(name); o != nil {
		return o
	}
	for _, s := range c.sub {
		if o := anyOption(s, name); o != nil {
			return o
		}
	}
	return nil
}

func unknownCommand(root *command, word string) error {
	hint := "shoal -h lists the commands"
	if near := nearest(word, root.names()); near != "" {
		hint = "did you mean shoal " + near + "?"
	}
	return usagef(hint, "there is no command %q", word)
}
