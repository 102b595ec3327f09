package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"shoal/internal/deliver"
	"shoal/internal/disk"
	"shoal/internal/release"
	"shoal/internal/units"
	"shoal/internal/updater"
	"shoal/piece"
)

// Exit codes, as the manual promises them to scripts.
const (
	exitDone        = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitNoSource    = 3
	exitCorrupt     = 4 // content failed verification; also a .torrent that is none
	exitTrust       = 5 // a signature, or trust, refused
	exitStalled     = 6 // deadline passed, or stalled
	exitLocal       = 7 // local I/O, port in use, disk full
	exitHeld        = 8 // somebody else has the lock, or an update is not to be now
	exitHalted      = 9 // nor later: its rollout was halted
	exitAvailable   = 10
	exitInterrupted = 130
	exitClosed      = 141 // what a shell says of a program that SIGPIPE ended
)

// failure is what an error means to the user.
type failure struct {
	code int
	rule string // the word for it in JSON; never renamed. "": the refusal's own
	hint string
}

// failures is the table from error to failure; the first row that matches counts.
func failures() []struct {
	is func(error) bool
	failure
} {
	return []struct {
		is func(error) bool
		failure
	}{
		{as[*usageError], failure{exitUsage, "usage", ""}},
		{is(deliver.ErrSource), failure{exitUsage, "source", ""}},
		{is(release.ErrRefused), failure{exitTrust, "", ""}},
		{is(deliver.ErrInterrupted), failure{exitInterrupted, "interrupted", "what is verified is kept: run it again to go on"}},
		{isClosed, failure{exitClosed, "closed", ""}},
		{is(updater.ErrHalted), failure{exitHalted, "halted", ""}},
		{is(updater.ErrHeld), failure{exitHeld, "update-held", ""}},
		{is(updater.ErrRolledBack), failure{exitUnexpected, "rolled-back", "it is not tried again here; the next version is"}},
		{as[*updater.HookError], failure{exitUnexpected, "hook-failed", "nothing was changed; the next check tries again"}},
		{is(updater.ErrLayout), failure{exitLocal, "layout", "name another place with --to"}},
		{as[*updater.RefusedError], failure{exitTrust, "fleet-refused", ""}},
		{is(updater.ErrNothing), failure{exitNoSource, "no-version", "shoal update history shows what there was"}},
		{is(deliver.ErrNoSource), failure{exitNoSource, "no-source", ""}},
		{is(deliver.ErrDeadline), failure{exitStalled, "deadline", ""}},
		{is(deliver.ErrStalled), failure{exitStalled, "stalled", ""}},
		{is(piece.ErrBadTorrent), failure{exitCorrupt, "bad-torrent", "fetch it again; if it stays so, whoever made it has to make another one"}},
		{is(piece.ErrCorrupt), failure{exitCorrupt, "corrupt", ""}},
		{is(context.Canceled), failure{exitInterrupted, "interrupted", ""}},
		{is(release.ErrPublished), failure{exitLocal, "published", ""}},
		{is(release.ErrInUse), failure{exitLocal, "in-use", "promote another version first"}},
		{is(release.ErrBehind), failure{exitNoSource, "behind", "a moment later it may have what is missing; the origin has it now"}},
		{is(release.ErrNoRelease), failure{exitNoSource, "no-release", "shoal inspect REPO lists what there is"}},
		{as[*release.KeysMissingError], failure{exitLocal, "keys-missing", ""}},
		{is(release.ErrConflict), failure{exitHeld, "conflict", ""}},
		{as[*deliver.PushError], failure{exitNoSource, "push-refused", ""}},
		{is(release.ErrSteered), failure{exitHeld, "not-steered", "shoal rollout status APP:CHANNEL shows where it stands"}},
		{is(disk.ErrHeld), failure{exitHeld, "held", "end the other one, or wait for it"}},
		{is(errOnlyHere), failure{exitHeld, "only-here", ""}},
		{is(errAlone), failure{exitHeld, "alone", ""}},
		{is(errNoRoom), failure{exitLocal, "no-room", ""}},
		{disk.IsNoSpace, failure{exitLocal, "disk-full", "make room, then run it again"}},
		{is(syscall.EADDRINUSE, windowsPortInUse), failure{exitLocal, "port-in-use", "choose another port with --listen"}},
		{notOurs, failure{exitLocal, "io", "--listen takes an address that this machine has, or :PORT for all of them"}},
		{is(syscall.EROFS), failure{exitLocal, "permission", "that file system is mounted read-only: choose another place, or mount it for writing"}},
		{is(fs.ErrPermission), failure{exitLocal, "permission", "choose a place (or a port) that this user may use, or run it as another user"}},
		{is(fs.ErrNotExist), failure{exitLocal, "not-found", "is the path right? It is taken from the current directory on"}},
		{is(fs.ErrExist, syscall.ENOTDIR, syscall.EISDIR), failure{exitLocal, "exists", "choose another name, or move away what lies there"}},
		{isLocal, failure{exitLocal, "io", "look at the disk and the system's log, then run it again"}},
		{func(error) bool { return true }, failure{exitUnexpected, "unexpected", ""}},
	}
}

// windowsPortInUse is what Windows calls EADDRINUSE; package syscall's is invented there.
const windowsPortInUse = syscall.Errno(10048)

// isClosed says whether whoever read stdout has had enough.
func isClosed(err error) bool {
	const windowsNoData, windowsBrokenPipe = syscall.Errno(232), syscall.Errno(109)
	return errors.Is(err, deliver.ErrOutput) && is(syscall.EPIPE, windowsNoData, windowsBrokenPipe)(err)
}

func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
}

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// notOurs says whether an address to listen on is not one of this machine's.
func notOurs(err error) bool {
	const windowsNotOurs = syscall.Errno(10049)
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "listen" && is(syscall.EADDRNOTAVAIL, windowsNotOurs)(err)
}

// isLocal says whether the file system or this machine's network refused.
func isLocal(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "listen"
	}
	return as[*fs.PathError](err) || as[*os.LinkError](err) || as[*os.SyscallError](err) || is(errOutput, deliver.ErrOutput)(err)
}

// errOutput is that stdout cannot be written to.
var errOutput = errors.New("writing the output")

// explain turns an error into its failure, with the hint that knows the case best.
func explain(err error) failure {
	var found failure
	for _, row := range failures() {
		if row.is(err) {
			found = row.failure
			break
		}
	}
	var usage *usageError
	var delivery *deliver.Error
	var hinted *hintError
	var refusal *release.Refusal
	var place *updater.LayoutError
	var damaged *updater.DamagedError
	var unwell *updater.UnwellError
	var back *updater.RolledBackError
	switch {
	case errors.As(err, &hinted):
		found.hint = hinted.hint
	case errors.As(err, &refusal):
		found.rule, found.hint = string(refusal.Rule), refusal.Hint
	case errors.As(err, &usage):
		found.hint = usage.hint
	case errors.As(err, &unwell):
		found.hint = unwell.Version + " needs a hand: put it right, or publish a version that is well"
	case errors.As(err, &back) && back.Pinned:
		found.hint = "it is pinned: it is tried when it is pinned once more, the channel's version when it is unpinned"
	case errors.As(err, &damaged):
		found.hint = "try again when its repository can be reached; --force takes it as it lies"
	case errors.As(err, &place):
		found.hint = place.Do
	case errors.As(err, &delivery) && delivery.Hint != "":
		found.hint = delivery.Hint
	}
	return found
}

// hintError adds a hint to an error of any kind.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

func withHint(err error, hint string) error { return &hintError{err, hint} }

// answer is an exit code that is no failure: what the command was asked for has been printed.
type answer int

func (a answer) Error() string { return fmt.Sprintf("exit code %d", int(a)) }

// sentence is an error's text in one line: errors that were joined follow one another, and one that comes twice, as of a write and the flush after it, is said once.
func sentence(err error) string {
	var inner []error
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		inner = []error{x.Unwrap()}
	case interface{ Unwrap() []error }:
		inner = x.Unwrap()
	}
	text := err.Error()
	var before, after []string
	for _, e := range inner {
		if e == nil {
			continue
		}
		was, is := e.Error(), sentence(e)
		text = strings.Replace(text, was, is, 1)
		if before = append(before, was); !slices.Contains(after, is) {
			after = append(after, is)
		}
	}
	if len(before) > 1 && err.Error() == strings.Join(before, "\n") {
		return strings.Join(after, "; ")
	}
	return text
}

// fail reports an error and returns the exit code: one line on stderr, or with --json one on stdout. That a reader
// has closed its pipe is no news for anybody.
func (e *env) fail(err error) int {
	var a answer
	if errors.As(err, &a) {
		return int(a)
	}
	f := explain(err)
	message := clean(strings.TrimSpace(sentence(err)))
	if f.rule == "interrupted" {
		message = "interrupted"
	}
	lost := [][2]int{}
	if x := (*deliver.LostError)(nil); errors.As(err, &x) {
		lost = units.Runs(x.Pieces)
	}
	e.report.Stop()
	if f.code == exitClosed {
		return f.code
	}
	if e.report.json {
		e.report.Event("error", struct {
			Code    int      `json:"code"`
			Rule    string   `json:"rule"`
			Message string   `json:"message"`
			Hint    string   `json:"hint"`
			Lost    [][2]int `json:"lost,omitempty"` // first and last of each run of pieces
		}{f.code, f.rule, message, f.hint, lost})
		return f.code
	}
	line := "shoal: " + message
	if f.hint != "" {
		line += " — " + clean(f.hint)
	}
	fmt.Fprintln(e.stderr, line)
	return f.code
}
