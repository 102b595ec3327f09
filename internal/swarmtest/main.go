package swarmtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// asProgram is set for processes that are shoal and not the tests. Children inherit it, so that a
// shoal which starts itself gets what it expects.
const asProgram = "SHOAL_TEST_AS_PROGRAM"

// Main is for TestMain. The test binary plays shoal, whose main function program is, when a Host
// starts it so, and under the name shoal in scripts.
// No test may speak with the public DHT, whatever addresses the machine has: it is off unless a test says otherwise.
func Main(m *testing.M, program func(args []string) int) {
	os.Setenv("SHOAL_DHT", "off")
	if os.Getenv(asProgram) != "" {
		os.Exit(program(os.Args))
	}
	testscript.Main(m, map[string]func(){
		"shoal": func() {
			os.Setenv(asProgram, "1")
			os.Exit(program(os.Args))
		},
	})
}

// Require skips a test that needs more than Go: programs of others, or with the group "netns" root
// and Linux. SHOAL_REQUIRE names the groups that are wanted; there a missing program is a failure.
func Require(t testing.TB, group string, programs ...string) {
	t.Helper()
	if !Required(group) {
		t.Skipf("needs %s; SHOAL_REQUIRE=%s runs it", strings.Join(append([]string{group}, programs...), ", "), group)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("SHOAL_REQUIRE names %s, and %s is missing: %v", group, p, err)
		}
	}
	if group == "netns" && os.Geteuid() != 0 {
		t.Fatal("SHOAL_REQUIRE names netns, which needs root")
	}
}

// Required says whether SHOAL_REQUIRE names the group.
func Required(group string) bool {
	return slices.Contains(strings.Split(os.Getenv("SHOAL_REQUIRE"), ","), group)
}
