package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"shoal/internal/deliver"
	"shoal/internal/release"
)

// tokenOption is for both ends of a push.
func tokenOption(usage string) option {
	return option{name: "token-file", value: "FILE", usage: usage, complete: "file"}
}

const maxToken = 1 << 10

// token is the first line of --token-file; "" without one.
func (e *env) token() (string, error) {
	path := e.settings.String("token-file")
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := release.ReadLimited(f, maxToken, path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	token := strings.TrimSpace(line)
	if len(token) < 16 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usagef("openssl rand -hex 16 makes one", "%s: a token has 16 characters at least, without spaces", path)
	}
	return token, nil
}

func pushCommand() *command {
	return &command{
		name:  "push",
		args:  "REPO URL",
		usage: "bring what was published in a repository to its origin elsewhere",
		long: "The origin (shoal serve REPO --token-file FILE) has a copy of the repository with the online keys, and not the offline ones. It\n" +
			"checks every signature and byte before anything takes effect, and signs that this is the newest state. Interrupted, it goes on\n" +
			"when it is run again. If somebody else has published the same app meanwhile, nothing changes, and the exit code is 8.",
		examples: []string{"shoal push repo https://origin.example --token-file token"},
		options:  append([]option{tokenOption("a file with the origin's token in its first line")}, outputOptions()...),
		minArgs:  2, maxArgs: 2, complete: "dir",
		run: func(ctx context.Context, e *env, args []string) error { return e.push(ctx, args[0], args[1]) },
	}
}

func (e *env) push(ctx context.Context, dir, where string) error {
	begin := time.Now()
	if err := checkURL("http", "https")(where); err != nil {
		return usagef("such as https://origin.example", "%s", err)
	}
	u, err := url.Parse(where)
	if err != nil {
		return err
	}
	r, err := release.Open(dir, release.Config{})
	if err != nil {
		return err
	}
	token, err := e.token()
	if err != nil {
		return err
	}
	if token == "" {
		return usagef("it is the one that the origin was started with", "push needs --token-file FILE")
	}
	if a, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && (err != nil || !a.IsLoopback()) {
		e.report.Notice("without https, others on the way can read the token: it lets them fill the origin's disk, and publish nothing")
	}
	e.report.Start("pushing "+dir, -1)
	c := deliver.PushConfig{URL: u.JoinPath("/"), Token: token, UserAgent: userAgent(), Progress: func(done, _ int64) { e.report.Update(done, FromBytes{}) }}
	p, err := deliver.Push(ctx, r, c)
	e.report.Stop()
	var refused *deliver.PushError
	switch {
	case errors.Is(err, release.ErrConflict):
		return withHint(err, "nothing has changed there, and nothing is lost here: publish into a fresh copy of the origin's repository")
	case errors.As(err, &refused) && refused.Rule != "":
		r := &release.Refusal{Rule: release.Rule(refused.Rule), Message: refused.Message}
		if refused.Rule == "token" {
			r.Hint = "--token-file takes the token that shoal serve was started with there"
		}
		return r
	case refused != nil && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed):
		return withHint(err, "does shoal serve run there on a copy of this repository, with --token-file?")
	case err != nil:
		return err
	}
	e.report.Result("pushed", struct {
		Roles   []string `json:"roles"`
		Bytes   int64    `json:"bytes"`
		Seconds float64  `json:"seconds"`
	}{orEmpty(p.Roles), p.Bytes, seconds(time.Since(begin))}, func(w io.Writer) {
		if p.Nothing {
			fmt.Fprintln(w, "the origin has everything already")
			return
		}
		fmt.Fprintf(w, "pushed %s: %s, in effect\n", strings.Join(p.Roles, ", "), formatBytes(p.Bytes))
	})
	return nil
}
