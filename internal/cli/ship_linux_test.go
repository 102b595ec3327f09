package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// The script that ships a patch as a CI job does, with real machines: a good version comes to all, and a broken one to one of them.
func TestShipsAPatch(t *testing.T) {
	needsSignals(t)
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	t.Parallel()
	machines := 4
	if swarmtest.Required("long") {
		machines = 20
	}
	script, err := filepath.Abs("../../scripts/ship.sh")
	if err != nil {
		t.Fatal(err)
	}
	h := swarmtest.Local(t)
	content := swarmtest.Tree(t, h.Path("dist"), 1<<20)
	h.Run("init", h.Path("repo"), "--plain-keys").Succeed()
	h.Run("publish", content, "--as", "app@1", "--channel", "stable", "--repo", h.Path("repo")).Succeed()
	// The origin's copy has no offline keys; then the build machine's online keys go.
	err = errors.Join(os.CopyFS(h.Path("copy"), os.DirFS(h.Path("repo"))), os.RemoveAll(h.Path("copy", "keys", "offline")), os.RemoveAll(h.Path("repo", "keys", "online")),
		os.WriteFile(h.Path("token"), []byte("0123456789abcdef\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	origin := h.Start("serve", h.Path("copy"), "--listen", "127.0.0.1:0", "--token-file", h.Path("token"))
	base := origin.Expect("releases").String("url")
	origin.Expect("ready")
	token := h.Run("fleet", "token").Succeed().Expect("token").String("token")
	var fleet []*swarmtest.Process
	for range machines {
		m := swarmtest.Local(t)
		m.Setenv("SHOAL_ENROLL_TOKEN", token)
		m.Run("fleet", "enroll", base).Succeed()
		fleet = append(fleet, m.Start("update", base+"app:stable", "--to", m.Path("opt"), "--root", h.Path("repo", "root.json"), "--listen", "127.0.0.1:0", "--every", "500ms",
			"--site", "hall", "--post", `test ! -e "$SHOAL_PATH/broken"`))
	}
	had := func(m *swarmtest.Process, state, version string) bool {
		for _, e := range m.Events("update") {
			if e.String("state") == state && e.String("version") == version {
				return true
			}
		}
		return false
	}
	confirmed := func(m *swarmtest.Process, version string) {
		t.Helper()
		m.Expect("update", func(e swarmtest.Event) bool {
			return e.String("state") == "confirmed" && e.String("version") == version
		})
	}
	for _, m := range fleet {
		confirmed(m, "1")
	}
	ship := func(version, build string, want int) {
		t.Helper()
		for name, value := range map[string]string{"BUILD": build, "CONTENT": content, "REPO": h.Path("repo"), "WAVES": "1,50%,100%", "PATIENCE": "2m", "ORIGIN": base,
			"TOKEN_FILE": h.Path("token"), "ORIGIN_REPO": h.Path("copy")} {
			h.Setenv(name, value)
		}
		p := h.StartProgram("bash", script, "app@"+version)
		if code := p.Wait(); code != want {
			t.Fatalf("shipping %s: exit code %d, want %d\n%s", version, code, want, p.Output())
		}
	}
	ship("2", fmt.Sprintf("echo 2 > %s/bin/version", content), exitDone)
	for _, m := range fleet {
		confirmed(m, "2")
	}
	ship("2", "", exitDone) // once more: it is done
	ship("3", fmt.Sprintf("echo 3 > %s/broken", content), exitHalted)
	touched := 0
	for _, m := range fleet {
		if had(m, "switched", "3") {
			touched++
			m.Expect("update", func(e swarmtest.Event) bool { return e.String("state") == "rolled-back" })
		}
		if had(m, "confirmed", "3") {
			t.Error("a broken version was confirmed")
		}
	}
	if touched != 1 {
		t.Errorf("the broken version came to %d machines, want the first alone", touched)
	}
	list := h.Run("fleet", "ls", "app").Succeed().Events("machine")
	for _, m := range list {
		if m.String("running") != "2" {
			t.Errorf("%v: want version 2 in place", m)
		}
	}
	if len(list) != machines {
		t.Errorf("%d machines have reported, want %d", len(list), machines)
	}
	t.Log(strings.Repeat("=", 3), machines, "machines")
}
