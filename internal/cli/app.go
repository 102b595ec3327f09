package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
)

// Main runs the command line args (with the program's name first) and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks; a second one no longer reaches us and ends the process.
	context.AfterFunc(ctx, stop)
	cli.HelpFlag = nil // it is ours (helpFlag); a regular expression finds out the names of urfave/cli's own
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv}
	return e.main(ctx, args)
}

func (e *env) main(ctx context.Context, args []string) (code int) {
	e.all = commands()
	e.log = slog.New(slog.DiscardHandler)
	e.report = newReporter(e, e.wantsJSON(args), false)
	defer func() {
		if bug := recover(); bug != nil {
			e.log.Debug("panic", "err", bug, "stack", string(debug.Stack()))
			code = e.fail(fmt.Errorf("bug: %v", bug))
		}
	}()
	if err := e.dispatch(ctx, args); err != nil {
		return e.fail(err)
	}
	return 0
}

// wantsJSON finds out how to report an error on a line that may not even parse.
func (e *env) wantsJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "-json", "--json=true":
			return true
		}
	}
	text, _ := e.lookupEnv("SHOAL_JSON")
	on, _ := strconv.ParseBool(text)
	return on
}

func (e *env) dispatch(ctx context.Context, args []string) error {
	root := rootCommand(e.all)
	if len(args) > 1 && args[1] == completeWord {
		return complete(e.stdout, root, args[2:])
	}
	arranged, err := arrange(root, args[1:])
	if err != nil {
		return err
	}
	return newApp(e, root, arranged.path).RunContext(ctx, arranged.line("shoal"))
}

// rootCommand is what stands for shoal itself.
func rootCommand(all []*command) *command {
	return &command{
		usage:   "deliver files and releases to many machines, which help each other to fetch them",
		sub:     all,
		options: []option{{name: "version", kind: kindBool, usage: "print the version"}},
	}
}

// newApp builds the application for urfave/cli, which parses, finds the command, and prints help. Errors come
// back to us: it must neither print nor exit. path leads to the command that the line is for.
func newApp(e *env, root *command, path []*command) *cli.App {
	version, help := &optionFlag{option: &root.options[0]}, helpFlag()
	return &cli.App{
		Name:                  "shoal",
		Usage:                 root.usage,
		Compiled:              time.Unix(0, 0), // or it stats the program at each start
		HideHelp:              true,            // of its own, with a word for a flag
		CustomAppHelpTemplate: appHelp,
		Flags:                 []cli.Flag{version, help},
		Commands:              e.urfaveCommands(root.sub, "shoal", path),
		Writer:                e.stdout,
		ErrWriter:             e.stderr,
		ExitErrHandler:        func(*cli.Context, error) {},
		OnUsageError:          onUsageError,
		Action: func(c *cli.Context) error {
			if version.IsSet() {
				printVersion(e)
				return nil
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// urfaveCommands are a list of commands for urfave/cli. Of those that are not on the path it needs a line of help, not 1,400 flags.
func (e *env) urfaveCommands(list []*command, parent string, path []*command) []*cli.Command {
	var out []*cli.Command
	for _, c := range list {
		if !slices.Contains(path, c) {
			out = append(out, &cli.Command{Name: c.name, Usage: c.usage})
			continue
		}
		var flags []cli.Flag
		help := helpFlag()
		for i := range c.options {
			flags = append(flags, &optionFlag{option: &c.options[i]})
		}
		description := strings.TrimSpace(c.long)
		if len(c.examples) > 0 {
			description += "\n\nExamples:\n  " + strings.Join(c.examples, "\n  ")
		}
		out = append(out, &cli.Command{
			Name:               c.name,
			Usage:              c.usage,
			ArgsUsage:          c.args,
			Description:        strings.TrimSpace(description),
			HideHelp:           true,
			CustomHelpTemplate: commandHelp,
			Flags:              append(flags, help),
			Subcommands:        e.urfaveCommands(c.sub, parent+" "+c.name, path),
			OnUsageError:       onUsageError,
			Action: func(ctx *cli.Context) error {
				if help.IsSet() {
					return cli.ShowSubcommandHelp(ctx)
				}
				return e.run(ctx.Context, c, strings.TrimPrefix(parent+" "+c.name, "shoal "), flags, ctx.Args().Slice())
			},
		})
	}
	return out
}

func helpFlag() *optionFlag {
	return &optionFlag{option: &option{name: "help", short: "h", kind: kindBool, usage: "show this help"}}
}

// onUsageError is for what arrange lets through: the value of a flag that its type refuses.
func onUsageError(_ *cli.Context, err error, _ bool) error {
	return usagef("", "%s", err)
}

// run prepares the env for the command, and runs it; name is its full name.
func (e *env) run(ctx context.Context, c *command, name string, flags []cli.Flag, args []string) error {
	given := map[string][]string{}
	for _, f := range flags {
		if f, ok := f.(*optionFlag); ok && f.IsSet() {
			given[f.name] = f.given
		}
	}
	var err error
	if e.settings, err = mergeSettings(c, e.all, given, e.lookupEnv); err != nil {
		return err
	}
	e.report = newReporter(e, e.settings.has("json") && e.settings.Bool("json"), e.settings.has("quiet") && e.settings.Bool("quiet"))
	if e.settings.has("log-level") {
		e.log = newLogger(e.report, e.settings.String("log-level"), e.settings.String("log-format"))
	}
	if err := c.checkArgs(name, args); err != nil {
		return err
	}
	if err := c.run(ctx, e, args); err != nil {
		return err
	}
	return e.report.Err()
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var options slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err == nil { // it is one of the option's choices
		options.Level = l
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, &options))
	}
	return slog.New(slog.NewTextHandler(w, &options))
}

// The help is urfave/cli's, with fewer headings.
const (
	appHelp = `shoal: {{.Usage}}

  shoal COMMAND [flags and arguments in any order]

Commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}

shoal COMMAND -h explains a command, with an example. shoal --version prints the version.
`
	commandHelp = `{{.HelpName}}: {{.Usage}}

  {{.HelpName}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{if .VisibleFlags}} [flags]{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
Commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}
{{end}}
Flags:{{range .VisibleFlags}}
  {{.}}{{end}}

A flag can also be set by a variable (--log-level by SHOAL_LOG_LEVEL) or in the file that --config names.
`
)
