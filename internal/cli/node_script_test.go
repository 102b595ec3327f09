package cli

import (
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Commands for scripts in which nodes run in the background:
//
//	port P
//	exec shoal serve data --listen 127.0.0.1:$P &origin&
//	ready http://127.0.0.1:$P/data.torrent

// port NAME… sets each variable to a port on loopback that is free.
func scriptPort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: port NAME…")
	}
	for _, name := range args {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer ln.Close()
		ts.Setenv(name, fmt.Sprint(ln.Addr().(*net.TCPAddr).Port))
	}
}

// ready URL waits until the URL answers with 200.
func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready URL")
	}
	eventually(ts, args[0], func() error {
		resp, err := http.Head(args[0])
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// until PATTERN URL asks until the body matches.
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until PATTERN URL")
	}
	re := regexp.MustCompile(args[0])
	eventually(ts, args[1], func() error {
		resp, err := http.Get(args[1])
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || !re.Match(body) {
			return fmt.Errorf("%v %s", err, body)
		}
		return nil
	})
}

// listening PORT waits until somebody takes connections at the port of loopback.
func scriptListening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listening PORT")
	}
	eventually(ts, args[0], func() error {
		c, err := net.Dial("tcp", "127.0.0.1:"+args[0])
		if err == nil {
			c.Close()
		}
		return err
	})
}

// eventually tries until there is no error, a minute at most.
func eventually(ts *testscript.TestScript, what string, try func() error) {
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	ts.Fatalf("%s: %v", what, err)
}

// http STATUS URL [HEADER] asks once and wants that status. The body can be searched with stdout.
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: http STATUS URL [HEADER:VALUE]")
	}
	req, err := http.NewRequest(http.MethodGet, args[1], nil)
	ts.Check(err)
	if len(args) > 2 {
		name, value, _ := strings.Cut(args[2], ":")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), string(body))
	if fmt.Sprint(resp.StatusCode) != args[0] {
		ts.Fatalf("%s answers %s, want %s", args[1], resp.Status, args[0])
	}
}

// field NAME EVENT KEY sets a variable to a field of the last event of that name on stdout.
func scriptField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field NAME EVENT KEY")
	}
	value, found := "", false
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var object map[string]any
		ts.Check(json.Unmarshal([]byte(line), &object))
		if object["event"] == args[1] {
			value, found = fmt.Sprint(object[args[2]]), object[args[2]] != nil
		}
	}
	if !found {
		ts.Fatalf("no event %s with %s", args[1], args[2])
	}
	ts.Setenv(args[0], value)
}

// same WANT GOT compares two files or two trees: content, names, exec bits, symlinks.
func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] same WANT GOT")
	}
	a, b := inventory(ts, ts.MkAbs(args[0])), inventory(ts, ts.MkAbs(args[1]))
	if (a == b) == neg {
		ts.Fatalf("same: %v, want %v\n%.2000s\n%.2000s", a == b, !neg, a, b)
	}
}

// inventory is a text that is the same for equal trees.
func inventory(ts *testscript.TestScript, root string) string {
	var b strings.Builder
	ts.Check(filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			fmt.Fprintf(&b, "%q directory\n", rel)
		case d.Type() == os.ModeSymlink:
			target, err := os.Readlink(path)
			fmt.Fprintf(&b, "%q -> %q %v\n", rel, target, err)
		default:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%q exec %v %d %x\n", rel, info.Mode()&0o100 != 0, len(content), sha1.Sum(content))
		}
		return nil
	}))
	return b.String()
}
