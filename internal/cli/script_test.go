package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"shoal/internal/swarmtest"
	"shoal/internal/units"
)

func TestMain(m *testing.M) { swarmtest.Main(m, Main) }

// TestScript runs the promises of the manual, a script each.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SHOAL_CONFIG", "")
			env.Setenv("SHOAL_NO_LAN", "true")
			env.Setenv("SHOAL_DHT", "off")            // see swarmtest.Main
			env.Setenv("GORACE", "atexit_sleep_ms=0") // under -race each process would wait a second at its end
			env.Setenv("XDG_STATE_HOME", env.WorkDir+"/state")
			env.Setenv("SHOAL_STATE_DIR", env.WorkDir+"/state/shoal") // root's default is the machine's
			return nil
		},
		Condition: func(condition string) (bool, error) {
			if condition != "root" {
				return false, fmt.Errorf("unknown condition %q", condition)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails":       scriptFails,
			"answers":     scriptAnswers,
			"json":        scriptJSON,
			"interrupt":   scriptInterrupt,
			"bad-torrent": scriptBadTorrent,
			"random-file": scriptRandomFile,
			"sparse-file": scriptSparseFile,
			"damage":      scriptDamage,
			"truncate":    scriptTruncate,
			"port":        scriptPort,
			"http":        scriptHTTP,
			"ready":       scriptReady,
			"until":       scriptUntil,
			"listening":   scriptListening,
			"field":       scriptField,
			"same":        scriptSame,
		},
	})
}

// fails CODE ARGS… runs shoal, which must exit with CODE and say why in exactly one line: on stderr, or with
// --json as an error object that ends stdout. The output can be searched with stdout and stderr.
func scriptFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("shoal", args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("shoal succeeded, want exit code %d (%v)", want, err)
	}
	if exit.ExitCode() != want {
		ts.Fatalf("exit code %d, want %d", exit.ExitCode(), want)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	var failure struct {
		Event   string
		Code    int
		Rule    string
		Message string
	}
	if json.Unmarshal([]byte(lines[len(lines)-1]), &failure) == nil && failure.Event == "error" {
		if failure.Code != want || failure.Rule == "" || failure.Message == "" || stderr != "" {
			ts.Fatalf("error object %+v and stderr %q, want code %d, a rule, a message, and nothing on stderr", failure, stderr, want)
		}
		return
	}
	if !strings.HasPrefix(stderr, "shoal: ") || strings.Count(stderr, "\n") != 1 {
		ts.Fatalf("stderr is not exactly one line that begins with shoal: %q", stderr)
	}
}

// answers CODE ARGS… runs shoal, which must exit with CODE without calling it an error.
func scriptAnswers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: answers CODE ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec("shoal", args[1:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	if stderr := ts.ReadFile("stderr"); code != want || strings.Contains(stderr, "shoal: ") {
		ts.Fatalf("exit code %d (%v), stderr %q; want %d and no error", code, err, stderr, want)
	}
}

// json EVENT KEY=VALUE… looks on stdout for an object with that event, whose values are as given. KEY=* only
// asks that it is there; KEY.INNER looks into an object.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: json EVENT KEY=VALUE…")
	}
	found := false
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var object map[string]any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			ts.Fatalf("not a line of JSON: %v: %s", err, line)
		}
		if object["time"] == nil {
			ts.Fatalf("no time in %s", line)
		}
		found = found || object["event"] == args[0] && matches(object, args[1:])
	}
	if found == neg {
		ts.Fatalf("event %q: found %v, want %v", args, found, !neg)
	}
}

func matches(object map[string]any, conditions []string) bool {
	for _, condition := range conditions {
		key, want, _ := strings.Cut(condition, "=")
		value, ok := object[key]
		if outer, inner, dotted := strings.Cut(key, "."); dotted {
			o, _ := object[outer].(map[string]any)
			value, ok = o[inner]
		}
		if !ok {
			return false
		}
		text, isText := value.(string)
		if !isText {
			var b bytes.Buffer
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			if encoder.Encode(value) != nil {
				return false
			}
			text = strings.TrimSpace(b.String())
		}
		if want != "*" && text != want {
			return false
		}
	}
	return true
}

// interrupt ARGS… runs shoal with --json, sends it what Ctrl-C sends as soon as it says something, and wants
// exit code 130 with an error object that ends the output.
func scriptInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: interrupt ARGS…")
	}
	program, err := exec.LookPath("shoal") // testscript put it there
	ts.Check(err)
	command := exec.Command(program, append(args, "--json")...)
	command.Dir = ts.MkAbs(".")
	command.Env = append(os.Environ(), "SHOAL_JSON=")
	stdout, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	lines := bufio.NewScanner(stdout)
	var last string
	for first := true; lines.Scan(); first = false {
		last = lines.Text()
		if first {
			ts.Check(command.Process.Signal(os.Interrupt))
		}
	}
	err = command.Wait()
	if code := command.ProcessState.ExitCode(); code != exitInterrupted {
		ts.Fatalf("exit code %d (%v), want %d; last line: %s", code, err, exitInterrupted, last)
	}
	if !strings.HasPrefix(last, `{"event":"error",`) || !strings.Contains(last, `"code":130,"rule":"interrupted"`) {
		ts.Fatalf("last line is no error object for an interruption: %s", last)
	}
}

// sparse-file FILE BYTES makes a file of zeros that takes no room.
func scriptSparseFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sparse-file FILE BYTES")
	}
	size, err := units.ParseSize(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), nil, 0o644))
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// random-file FILE BYTES SEED writes a file that looks random and is always the same.
func scriptRandomFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: random-file FILE BYTES SEED")
	}
	size, err := units.ParseSize(args[1])
	ts.Check(err)
	var key [32]byte
	copy(key[:], args[2])
	content := make([]byte, size)
	_, err = rand.NewChaCha8(key).Read(content)
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o644))
}

// damage FILE OFFSET flips the bits of one byte.
func scriptDamage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage FILE OFFSET")
	}
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	content, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	content[offset] ^= 0xff
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o644))
}

// truncate FILE BYTES cuts a file.
func scriptTruncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE BYTES")
	}
	size, err := units.ParseSize(args[1])
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}
