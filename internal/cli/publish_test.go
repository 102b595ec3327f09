package cli

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/swarmtest"
)

// Interrupted before its patches are there, --patches-first does not claim that the release is live: its channel does not have it.
func TestPatchesFirstIsInterrupted(t *testing.T) {
	needsSignals(t)
	t.Parallel()
	h := swarmtest.Local(t)
	for i, dir := range []string{h.Path("one"), h.Path("two")} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/text", hexDigits(byte(i), 4<<20), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	repo := repositoryOf(h, h.Path("one"))
	p := h.Start("publish", h.Path("two"), "--as", "app@2", "--channel", "stable", "--patches-first", "--repo", repo)
	p.Expect("published")
	p.Signal(syscall.SIGINT)
	if hint := p.Expect("error").String("hint"); strings.Contains(hint, "live") || !strings.Contains(hint, "app:stable") {
		t.Errorf("%q, want what is missing yet", hint)
	}
}
