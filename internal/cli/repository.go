package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"shoal/internal/release"
)

// repoOption names a publisher's repository.
func repoOption() option {
	return option{name: "repo", value: "DIR", usage: "the repository; default: the nearest directory above that has shoal.json. For get and inspect also a URL", complete: "dir"}
}

// keyOptions are for commands that sign with offline keys.
func keyOptions() []option {
	return []option{
		repoOption(),
		{name: "keys", kind: kindList, value: "DIR", usage: "where else keys lie, such as a stick; may be repeated", complete: "dir"},
		{name: "passphrase-file", value: "FILE", usage: "a file with the passphrase of the keys in its first line; SHOAL_PASSPHRASE is another way", complete: "file"},
	}
}

// repository opens the publisher's repository.
func (e *env) repository(c release.Config) (*release.Repository, error) {
	dir := e.settings.String("repo")
	if dir == "" {
		var err error
		if dir, err = nearestRepository(); err != nil {
			return nil, err
		}
	}
	r, err := release.Open(dir, c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("shoal init "+dir+" makes one", "%s is not a repository", dir)
	}
	return r, err
}

// nearestRepository looks for shoal.json here and above.
func nearestRepository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, release.MarkerName)); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", usagef("name it with --repo DIR, or make one: shoal init DIR", "there is no repository here or above")
		}
		dir = parent
	}
}

// signing is how offline keys are opened: by --passphrase-file, SHOAL_PASSPHRASE, or a person at the terminal.
func (e *env) signing() release.Config {
	c := release.Config{KeyDirs: e.settings.List("keys")}
	c.Passphrase = func(again bool) (string, error) { return e.passphrase(again) }
	return c
}

const maxPassphrase = 1 << 10

func (e *env) passphrase(again bool) (string, error) {
	if path := e.settings.String("passphrase-file"); path != "" {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := release.ReadLimited(f, maxPassphrase, path)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return checkPassphrase(strings.TrimSuffix(line, "\r"), path)
	}
	if text, ok := e.lookupEnv("SHOAL_PASSPHRASE"); ok && text != "" {
		return text, nil
	}
	in, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usagef("set SHOAL_PASSPHRASE, give --passphrase-file FILE, or run it in a terminal", "the offline keys are encrypted, and there is nobody to ask for the passphrase")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(e.stderr, prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(e.stderr)
		return string(b), err
	}
	pass, err := ask("Passphrase of the repository's keys: ")
	if err != nil {
		return "", err
	}
	if again {
		repeated, err := ask("The same again: ")
		if err != nil {
			return "", err
		}
		if repeated != pass {
			return "", usagef("", "the two are not the same")
		}
	}
	return checkPassphrase(pass, "the passphrase")
}

func checkPassphrase(pass, what string) (string, error) {
	if pass == "" {
		return "", usagef("--plain-keys leaves keys unencrypted", "%s is empty", what)
	}
	return pass, nil
}

func initCommand() *command {
	return &command{
		name:  "init",
		args:  "DIR",
		usage: "make a repository of signed releases",
		long: "DIR/public is what the world may see: plain files for any web server. DIR/keys/offline has the keys that\n" +
			"releases are signed with, encrypted; those of root should be moved to where no network is. DIR/keys/online has\n" +
			"those that sign daily. DIR/root.json is what machines pin: bring it to them over a way you trust.",
		examples: []string{
			"shoal init /srv/releases",
			"shoal init repo --root-keys 3 --root-threshold 2",
			"SHOAL_PASSPHRASE=… shoal init repo",
		},
		options: append([]option{
			{name: "root-keys", kind: kindInt, value: "N", usage: "how many root keys to make", def: "1"},
			{name: "root-threshold", kind: kindInt, value: "N", usage: "how many of them must sign a change of the root", def: "1"},
			{name: "plain-keys", kind: kindBool, usage: "do not encrypt the offline keys"},
			{name: "passphrase-file", value: "FILE", usage: "a file with the passphrase of the keys in its first line; SHOAL_PASSPHRASE is another way", complete: "file"},
		}, outputOptions()...),
		minArgs: 1, maxArgs: 1, complete: "dir",
		run: func(ctx context.Context, e *env, args []string) error { return e.initRepository(ctx, args[0]) },
	}
}

func (e *env) initRepository(ctx context.Context, dir string) error {
	keys, threshold := int(e.settings.Int("root-keys")), int(e.settings.Int("root-threshold"))
	if keys < 1 || keys > 64 || threshold < 1 || threshold > keys {
		return usagef("such as --root-keys 3 --root-threshold 2", "a threshold of %d and %d root keys do not go together", threshold, keys)
	}
	var c release.Config
	if !e.settings.Bool("plain-keys") {
		c.Passphrase = e.passphrase
	}
	r, err := release.Init(ctx, dir, release.InitConfig{RootKeys: keys, RootThreshold: threshold}, c)
	if err != nil {
		return err
	}
	o, err := r.Inspect(ctx)
	if err != nil {
		return err
	}
	e.report.Result("initialized", struct {
		Repository  string `json:"repository"`
		Path        string `json:"path"`
		Root        string `json:"root"`
		Fingerprint string `json:"fingerprint"`
	}{o.ID, dir, filepath.Join(dir, "root.json"), o.Fingerprint}, func(w io.Writer) {
		fmt.Fprintf(w, "repository %s in %s\n", o.ID, clean(dir))
		fmt.Fprintf(w, "  pin on machines    %s (SHA-256 %s)\n", clean(filepath.Join(dir, "root.json")), o.Fingerprint)
		fmt.Fprintf(w, "  move offline       %s\n", clean(filepath.Join(dir, "keys", "offline", "root-*.key")))
		fmt.Fprintf(w, "  publish            %s\n", clean("shoal publish PATH --as APP@VERSION --channel stable --repo "+shellWord(dir)))
	})
	return nil
}

// changeError puts what a repository refuses into the user's words.
func changeError(err error) error {
	var missing *release.KeysMissingError
	switch {
	case errors.As(err, &missing):
		return withHint(err, "--keys DIR names the directory that has it; shoal key list shows which are here")
	case errors.Is(err, release.ErrPassphrase):
		return usagef("it is that of shoal init", "%s", err)
	case errors.Is(err, release.ErrPublished):
		return withHint(err, "a version never changes: publish it under another one")
	}
	return err
}
