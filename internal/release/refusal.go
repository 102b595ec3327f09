package release

import (
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrRefused is matched by every *Refusal.
var ErrRefused = errors.New("refused")

// Rule is why something was refused: a word for scripts, never renamed.
type Rule string

// The rules. Which attack each is against stands in the README's section on trust.
const (
	RuleUnpinned   Rule = "unpinned"   // no root is known for this repository
	RuleOtherRoot  Rule = "other-root" // another root than the pinned one
	RuleSignature  Rule = "signature"  // too few good signatures of the keys that count
	RuleRollback   Rule = "rollback"   // older than what this machine has seen
	RuleExpired    Rule = "expired"    // nobody has vouched for it lately
	RuleTampered   Rule = "tampered"   // bytes that differ from what is signed
	RuleEndless    Rule = "endless"    // longer than it can be
	RuleMalformed  Rule = "malformed"  // cannot be read
	RuleMismatch   Rule = "mismatch"   // signed, but for another app, version, platform or content
	RuleUnknown    Rule = "unknown"    // no such app, channel, version or platform is signed
	RuleWithdrawn  Rule = "withdrawn"  // its publisher has taken it back
	RuleIncomplete Rule = "incomplete" // the signed metadata names a file that is not there
	RuleNotLogged  Rule = "not-logged" // the release does not stand in the transparency log
	RuleFork       Rule = "fork"       // the log is not a continuation of the one that was seen
)

// Rules are all of them.
func Rules() []Rule {
	return []Rule{RuleUnpinned, RuleOtherRoot, RuleSignature, RuleRollback, RuleExpired, RuleTampered, RuleEndless, RuleMalformed, RuleMismatch,
		RuleUnknown, RuleWithdrawn, RuleIncomplete, RuleNotLogged, RuleFork}
}

// Refusal says that something is not trusted, and by which rule.
type Refusal struct {
	Rule    Rule
	Message string // what is wrong with what, one line, lower case
	Hint    string // what to do about it; may be empty
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Rule, r.Message) }

// Is makes every refusal an ErrRefused.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

func refuse(rule Rule, format string, args ...any) *Refusal {
	return &Refusal{Rule: rule, Message: fmt.Sprintf(format, args...)}
}

// refused turns an error of go-tuf about what into a refusal.
func refused(what string, err error) error {
	if err == nil || errors.Is(err, ErrRefused) {
		return err
	}
	rule := RuleMalformed
	switch {
	case as[*metadata.ErrUnsignedMetadata](err):
		rule = RuleSignature
	case as[*metadata.ErrBadVersionNumber](err), as[*metadata.ErrEqualVersionNumber](err):
		rule = RuleRollback
	case as[*metadata.ErrExpiredMetadata](err):
		rule = RuleExpired
	case as[*metadata.ErrLengthOrHashMismatch](err):
		rule = RuleTampered
	case as[*metadata.ErrRepository](err):
		rule = RuleRollback // a snapshot that has lost a role
	}
	r := refuse(rule, "%s: %v", what, err)
	if rule == RuleExpired {
		r.Hint = "the repository has stopped, somebody holds its updates back, or this machine's clock is wrong"
	}
	return r
}

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
