// Package cli is the shoal command: flags, words, exit codes. It holds no product logic.
//
// # Terms
//
// A command is a word after "shoal", with options (its flags) and a run function; each has a file of its
// own, named after it. The settings are the options' values, merged from flags, SHOAL_* variables, a TOML
// file and defaults, each with its origin. The env is what a command may touch: output, settings, logger,
// reporter.
//
// # Life of an invocation
//
// Main sorts the arguments so that flags may stand anywhere (args.go), lets urfave/cli parse them and find
// the command (app.go), merges and checks the settings (settings.go), runs the command with a context that
// ends at Ctrl-C or SIGTERM, and turns its error into one line and an exit code (exit.go).
//
// Adding a command: a function that returns a *command, in a file of its own, and its name in commands().
//
// # Output
//
// stdout is for results, stderr for talk. With --json every line on stdout is one JSON object with "event"
// and "time"; see reporter. Whatever comes from outside (names in a torrent, messages of the system) passes
// through clean before it reaches a terminal.
//
// # Goroutines
//
// None of its own but the signal handler; the reporter draws in the goroutine that calls it.
package cli
