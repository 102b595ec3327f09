package cli

import (
	"io"
	"log/slog"
	"sync"

	"shoal/internal/daemon"
)

// env is what a command may touch. It is made once per invocation; settings, log and report are set
// before the command runs.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)

	settings *settings    // of the command that runs, merged and checked
	log      *slog.Logger // goes to stderr; discards if the command has no --log-level
	report   *reporter    // results, notices, progress, events

	elsewhere string // where a repository was asked last in place of a server that does not answer; see noteTrust

	all []*command // for commands about commands: config, completion, help

	limits sync.Mutex            // held while limits change, or are read for a node that begins
	peers  map[*daemon.Peer]bool // that run just now, for a command that begins and ends them
}
