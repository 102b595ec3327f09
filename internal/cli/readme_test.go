package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/child"
	"shoal/internal/release"
)

// TestReadmeTour does what the README's tour says, and sees what it says one sees.
//
// The tour is the README's ```console blocks, in order, in one directory. A line that begins with "$ " is run
// by sh; the lines up to the next one are what it prints on stdout and stderr together. In them ... stands
// for anything within a line, and a line of ... alone for any number of lines. Lines that tell how far something is
// do not count: a busy computer has more of them. What ends in " &" goes on in the background until the tour is over. Port numbers are replaced by free ones.
func TestReadmeTour(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("the tour is for a shell")
	}
	t.Parallel()
	runtime.LockOSThread() // see child.Command
	defer runtime.UnlockOSThread()
	steps := tour(t)
	if len(steps) < 10 {
		t.Fatalf("the README's tour has %d commands, want 10 at least: are its blocks still ```console?", len(steps))
	}
	free := freePorts(t, 3)
	ports := strings.NewReplacer("7070", free[0], "7071", free[1], "7072", free[2])
	ctx, stop := context.WithCancel(t.Context())
	dir := t.TempDir()
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	for _, step := range steps {
		command, want := ports.Replace(step.command), ports.Replace(step.output)
		line, runsOn := strings.CutSuffix(command, " &")
		if runsOn {
			line = "exec " + line // so that a signal reaches shoal, not the shell
		}
		c := child.Command(ctx, shell, "-c", line)
		c.Dir = dir
		c.Env = append(withoutSettings(os.Environ()), "HOME="+dir, "SHOAL_STATE_DIR="+filepath.Join(dir, "state"), "SHOAL_NO_LAN=true", "SHOAL_DHT=off", "GORACE=atexit_sleep_ms=0")
		var printed output
		c.Stdout, c.Stderr = &printed, &printed
		if !runsOn {
			if err := c.Run(); err != nil {
				t.Fatalf("README.md:%d: %s\n%v; it printed:\n%s", step.line, line, err, &printed)
			}
			if got := progressLine.ReplaceAllString(printed.String(), ""); !matchesOutput(want, got) {
				t.Fatalf("README.md:%d: %s\ngot:\n%s\nwant:\n%s", step.line, line, got, want)
			}
			continue
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		background.Go(func() { c.Wait() })
		for begin := time.Now(); !matchesOutput(want, printed.String()); time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("README.md:%d: %s\nin 20 s got:\n%s\nwant:\n%s", step.line, line, &printed, want)
			}
		}
	}
}

// progressLine is what there is every five seconds where no terminal is.
var progressLine = regexp.MustCompile(`(?m)^.*: [^:]* of [^:]* \(\d+%\).*\n`)

// withoutSettings is an environment without shoal's variables, which the newcomer has not set.
func withoutSettings(environment []string) []string {
	return slices.DeleteFunc(environment, func(v string) bool { return strings.HasPrefix(v, "SHOAL_") })
}

// tourStep is a command of the tour and what it prints.
type tourStep struct {
	line            int
	command, output string
}

func tour(t *testing.T) (steps []tourStep) {
	t.Helper()
	inside := false
	for i, line := range strings.Split(readme(t), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, tourStep{line: i + 1, command: line[2:]})
		default:
			steps[len(steps)-1].output += line + "\n"
		}
	}
	return steps
}

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// matchesOutput says whether got is what the README shows as want.
func matchesOutput(want, got string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(want) {
		if line == "...\n" {
			pattern.WriteString(`(.*\n)*`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(got)
}

func TestMatchesOutput(t *testing.T) {
	for _, c := range []struct {
		want, got string
		match     bool
	}{
		{"", "", true},
		{"", "more\n", false},
		{"a (b)\n", "a (b)\n", true},
		{"a (b)\n", "a b\n", false},
		{"in ... s\n", "in 0.3 s\n", true},
		{"in ... s\n", "in 0.3\ns\n", false},
		{"a\n...\n", "a\n", true},
		{"a\n...\nd\n", "a\nb\nc\nd\n", true},
		{"a\n...\nd\n", "a\nb\nc\n", false},
	} {
		if got := matchesOutput(c.want, c.got); got != c.match {
			t.Errorf("matchesOutput(%q, %q) = %v, want %v", c.want, c.got, got, c.match)
		}
	}
}

// freePorts are numbers of ports on loopback that nobody listens on.
func freePorts(t *testing.T, n int) (numbers []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		numbers = append(numbers, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return numbers
}

// output collects what a program prints while others look at it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// TestReadmeNamesEverything holds the reference against the program: every command, flag and exit code is there,
// and no flag that is not.
func TestReadmeNamesEverything(t *testing.T) {
	text := readme(t)
	flags := map[string]bool{"version": true, "help": true}
	var walk func(list []*command)
	walk = func(list []*command) {
		for _, c := range list {
			if !strings.Contains(text, "`"+c.name) && !strings.Contains(text, "shoal "+c.name) && !strings.Contains(text, "|"+c.name) {
				t.Errorf("the README does not name the command %s", c.name)
			}
			for _, o := range c.options {
				flags[o.name] = true
				if !regexp.MustCompile("--" + o.name + "\\b").MatchString(text) {
					t.Errorf("the README does not name --%s of %s", o.name, c.name)
				}
			}
			walk(c.sub)
		}
	}
	walk(commands())
	for _, line := range strings.Split(text, "\n") {
		if !strings.Contains(line, "shoal") && !strings.HasPrefix(line, "|") {
			continue // other programs have flags too
		}
		for _, m := range regexp.MustCompile("(?:^|[ `(\\[])--([a-z][a-z-]+)").FindAllStringSubmatch(line, -1) {
			if !flags[m[1]] {
				t.Errorf("the README names --%s, which no command has: %s", m[1], line)
			}
		}
	}
	for _, f := range failures() {
		if row := fmt.Sprintf("| %d |", f.code); !strings.Contains(text, row) {
			t.Errorf("the README's exit codes have no row %q (%s)", row, f.rule)
		}
		rules := []string{f.rule}
		if f.rule == "" {
			rules = nil
			for _, r := range release.Rules() {
				rules = append(rules, string(r))
			}
		}
		for _, rule := range rules {
			if !strings.Contains(text, "`"+rule+"`") {
				t.Errorf("the README does not name the rule %s", rule)
			}
		}
	}
}

// TestReadmeNamesEveryEvent finds the events in the source, where each is written as a literal.
func TestReadmeNamesEveryEvent(t *testing.T) {
	text := readme(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:\.Event|\.Result|writeEvent)\("([a-z]+)"`).FindAllSubmatch(b, -1) {
			events = append(events, string(m[1]))
		}
	}
	slices.Sort(events)
	events = slices.Compact(events)
	if len(events) < 10 {
		t.Fatalf("found the events %q only", events)
	}
	for _, event := range events {
		if !strings.Contains(text, "| `"+event+"` |") {
			t.Errorf("the README's table of events has no row for %s", event)
		}
	}
}
