package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// testCommands is a small tree with every kind of flag, and a command that has both subcommands and arguments.
func testCommands() []*command {
	nothing := func(context.Context, *env, []string) error { return nil }
	return []*command{
		{
			name: "fetch", args: "SOURCE", usage: "fetch", maxArgs: anyArgs, run: nothing, complete: "file",
			options: slices.Concat([]option{
				{name: "output", short: "o", value: "DIR", complete: "dir"},
				{name: "peer", kind: kindList, value: "HOST:PORT"},
				{name: "format", choices: []string{"fast", "small"}, def: "fast"},
				{name: "count", kind: kindInt},
			}, swarmOptions(":7070"), waitOptions("2m"), stateOptions(), logOptions("warn"), outputOptions()),
		},
		{
			name: "edge", args: "ORIGIN", usage: "edge", maxArgs: anyArgs, run: nothing, options: outputOptions(),
			sub: []*command{{name: "ls", usage: "list", options: outputOptions(), run: nothing}},
		},
	}
}

func TestArrange(t *testing.T) {
	root := rootCommand(testCommands())
	for _, tt := range []struct{ in, want string }{
		{"", "shoal --"},
		{"fetch a", "shoal fetch -- a"},
		{"fetch a -o d", "shoal fetch --output=d -- a"},
		{"fetch -o d a", "shoal fetch --output=d -- a"},
		{"-o d fetch a", "shoal fetch --output=d -- a"}, // its value is not the command
		{"-o fetch fetch a", "shoal fetch --output=fetch -- a"},
		{"--json fetch a", "shoal fetch --json -- a"},
		{"fetch --json a", "shoal fetch --json -- a"}, // a bool takes no value
		{"fetch a --json=false b", "shoal fetch --json=false -- a b"},
		{"fetch -o=d a", "shoal fetch --output=d -- a"},
		{"fetch --output= a", "shoal fetch --output= -- a"},
		{"fetch -output d a", "shoal fetch --output=d -- a"},
		{"fetch --peer a:1 b --peer c:2", "shoal fetch --peer=a:1 --peer=c:2 -- b"},
		{"fetch a -- --json -o", "shoal fetch -- a --json -o"},
		{"fetch -", "shoal fetch -- -"},
		{"fetch --count -1", "shoal fetch --count=-1 --"},
		{"fetch --output -x", "shoal fetch --output=-x --"}, // no flag has that name
		{"fetch fetch", "shoal fetch -- fetch"},
		{"fetch ls", "shoal fetch -- ls"},
		{"edge ls", "shoal edge ls --"},
		{"edge --json ls", "shoal edge ls --json --"},
		{"edge http://o ls", "shoal edge -- http://o ls"}, // only the first word can be a subcommand
		{"fetch a -h --nonsense", "shoal fetch --help --"},
		{"help", "shoal --help --"},
		{"help edge ls", "shoal edge ls --help --"},
		{"--version", "shoal --version --"},
	} {
		a, err := arrange(root, strings.Fields(tt.in))
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := strings.Join(a.line("shoal"), " "); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestArrangeRefuses(t *testing.T) {
	root := rootCommand(testCommands())
	for _, tt := range []struct{ in, message, hint string }{
		{"fetsh a", `no command "fetsh"`, "shoal fetch"},
		{"nonsense", "no command", "shoal -h"},
		{"fetch --ouptut d", "shoal fetch has no flag --ouptut", "--output"},
		{"fetch --lim 3", "no flag --lim", "--limit-"},
		{"fetch --nothing-like-it", "no flag", "shoal fetch -h"},
		{"fetch -z", "no flag -z", "shoal fetch -h"},
		{"edge ls --output d", "shoal edge ls has no flag --output", "-h"},
		{"--json", "shoal has no flag --json", "-h"},
		{"fetch --output", "--output needs a value", "--output DIR"},
		{"fetch --output --json", "--output needs a value", "--output DIR"},
		{"fetch -o -- d", "--output needs a value", "--output DIR"},
	} {
		_, err := arrange(root, strings.Fields(tt.in))
		var usage *usageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", tt.in, err)
			continue
		}
		if !strings.Contains(usage.message, tt.message) || !strings.Contains(usage.hint, tt.hint) {
			t.Errorf("%q: got %q, %q, want %q, %q", tt.in, usage.message, usage.hint, tt.message, tt.hint)
		}
	}
}

// Whatever stands on a line, each of its words ends up as the command, a flag, a flag's value or an argument,
// and a line that was put in order stays as it is.
func FuzzArrange(f *testing.F) {
	for _, s := range []string{"fetch a -o d", "--json edge ls", "fetch -- -o", "help fetch", "-o fetch fetch --peer=x y -"} {
		f.Add(s)
	}
	root := rootCommand(testCommands())
	f.Fuzz(func(t *testing.T, line string) {
		a, err := arrange(root, strings.Fields(line))
		if err != nil {
			return
		}
		once := a.line("shoal")
		b, err := arrange(root, once[1:])
		if err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", line, once, err)
		}
		if twice := b.line("shoal"); !slices.Equal(once, twice) {
			t.Fatalf("%q becomes %q, and that %q", line, once, twice)
		}
	})
}

// arrange tells flags with a value from those without before it knows the command.
func TestOptionsOfOneNameAreOfOneKind(t *testing.T) {
	kinds, shorts := map[string]kind{}, map[string]string{}
	var walk func(list []*command)
	walk = func(list []*command) {
		for _, c := range list {
			for _, o := range c.options {
				if k, ok := kinds[o.name]; ok && k != o.kind {
					t.Errorf("%s: --%s is of kind %d, elsewhere of kind %d", c.name, o.name, o.kind, k)
				}
				kinds[o.name] = o.kind
				if o.short == "" {
					continue
				}
				if long, ok := shorts[o.short]; ok && long != o.name {
					t.Errorf("%s: -%s is --%s, elsewhere --%s", c.name, o.short, o.name, long)
				}
				shorts[o.short] = o.name
			}
			walk(c.sub)
		}
	}
	walk(commands())
}

func TestEveryCommandIsDescribed(t *testing.T) {
	var walk func(prefix string, list []*command)
	walk = func(prefix string, list []*command) {
		for _, c := range list {
			name := prefix + c.name
			if c.usage == "" || len(c.examples) == 0 || c.run == nil {
				t.Errorf("%s has no usage, no example, or nothing to run", name)
			}
			for _, example := range c.examples {
				if !strings.Contains(example, "shoal "+name) {
					t.Errorf("example of %s does not show it: %s", name, example)
				}
			}
			for _, o := range c.options {
				if o.usage == "" || o.kind != kindBool && o.value == "" {
					t.Errorf("%s: --%s has no usage, or no word for its value", name, o.name)
				}
				if _, err := o.parse(nil); err != nil {
					t.Errorf("%s: default of --%s: %v", name, o.name, err)
				}
			}
			walk(name+" ", c.sub)
		}
	}
	walk("", commands())
}

func TestNearest(t *testing.T) {
	known := []string{"output", "limit-up", "limit-down", "json"}
	for word, want := range map[string]string{
		"ouput": "output", "OUTPUT": "output", "jsno": "json", "limit-upp": "limit-up", "limit": "limit-up",
		"xyzzy": "", "": "", strings.Repeat("json", 30): "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}
