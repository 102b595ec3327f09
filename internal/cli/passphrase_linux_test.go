package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/internal/release"
	"shoal/internal/swarmtest"
)

// terminal is a pseudo-terminal: what is typed at its keyboard comes to the program at its screen end.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// typed runs shoal at a terminal, where somebody types a line at each prompt. It returns what was said on stderr, and what was to be seen of the typing.
func typed(t *testing.T, h *swarmtest.Host, lines []string, args ...string) (said, echoed string, err error) {
	t.Helper()
	keyboard, screen := terminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := h.Shoal(ctx, args...)
	c.Stdin = screen
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	buf := make([]byte, 1)
	for {
		n, err := stderr.Read(buf)
		if all.Write(buf[:n]); err != nil {
			break
		}
		if strings.HasSuffix(all.String(), ": ") && len(lines) > 0 && !strings.Contains(all.String(), "shoal: ") {
			// The prompt comes before the terminal is told to show nothing.
			for attributes, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS); err == nil && attributes.Lflag&unix.ECHO != 0 && ctx.Err() == nil; {
				time.Sleep(time.Millisecond)
				attributes, err = unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS)
			}
			if _, err := io.WriteString(keyboard, lines[0]+"\n"); err != nil {
				t.Fatal(err)
			}
			lines = lines[1:]
		}
	}
	err = c.Wait()
	fd := int(keyboard.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 1<<10)
	n, _ := unix.Read(fd, seen)
	return all.String(), string(seen[:max(0, n)]), err
}

// The passphrase of the offline keys comes from the terminal, where it is not shown, from SHOAL_PASSPHRASE, or from a file.
func TestPassphrase(t *testing.T) {
	t.Parallel()
	h := swarmtest.Local(t)
	said, echoed, err := typed(t, h, []string{"correct horse", "battery staple"}, "init", h.Path("none"))
	if err == nil || !strings.Contains(said, "the two are not the same") || strings.Contains(echoed, "horse") {
		t.Errorf("init with two passphrases: %v, said %q, seen %q", err, said, echoed)
	}
	if _, err := os.Stat(h.Path("none")); err == nil {
		t.Error("a repository was made all the same")
	}
	const pass = "correct horse"
	repo := h.Path("repo")
	sealed := release.Config{WorkFactor: 10, Passphrase: func(bool) (string, error) { return pass, nil }}
	r, err := release.Init(t.Context(), repo, release.InitConfig{}, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Update(t.Context(), func(tx *release.Tx) error {
		_, err := tx.Add(release.Release{App: "app", Version: "1", Platform: "any", Artefacts: []release.Artefact{{Kind: "T", Name: "x", V2: strings.Repeat("ab", 32), Bytes: 1}}}, []byte("metainfo"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	channel := 0
	promote := func(more ...string) []string {
		channel++
		return append([]string{"promote", "app@1", "--channel", fmt.Sprintf("c%d", channel), "--repo", repo}, more...)
	}
	if said, echoed, err := typed(t, h, []string{pass}, promote()...); err != nil || strings.Contains(said+echoed, pass) {
		t.Errorf("at the terminal: %v, said %q, seen %q", err, said, echoed)
	}
	if said, _, err := typed(t, h, []string{"wrong"}, promote()...); err == nil || !strings.Contains(said, "does not open the key") {
		t.Errorf("a wrong one at the terminal: %v, said %q", err, said)
	}
	file := h.Path("passphrase")
	if err := os.WriteFile(file, []byte(pass+"\nanother line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Run(promote("--passphrase-file", file)...).Succeed()
	h.Run(promote()...).Fail(exitUsage) // nobody to ask
	h.Setenv("SHOAL_PASSPHRASE", pass)
	h.Run(promote()...).Succeed()
}
