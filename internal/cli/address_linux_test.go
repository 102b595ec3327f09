package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"shoal/internal/swarmtest"
)

// TestPrintedAddress serves on a machine with a bridge for containers, an overlay network, and one way out.
func TestPrintedAddress(t *testing.T) {
	swarmtest.Require(t, "netns", "ip", "unshare", "timeout")
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `set -e
ip link set lo up
for i in docker0=172.17.0.1/16 overlay=100.101.1.1/10 eth0=192.168.1.20/24; do
	ip link add ${i%=*} type veth peer name ${i%=*}-other
	ip link set ${i%=*}-other up
	ip addr add ${i#*=} dev ${i%=*}
	ip link set ${i%=*} up
done
ip route add default via 192.168.1.1 dev eth0
"$0" serve "$1/file" --listen :7070 --state-dir "$1/state" --no-lan >"$1/out" &
for i in $(seq 200); do grep -q magnet "$1/out" && break; sleep 0.05; done
kill -INT $!
wait $!`
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-n", "sh", "-c", script, self, dir)
	cmd.Env = append(os.Environ(), "SHOAL_TEST_AS_PROGRAM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := os.ReadFile(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shoal get http://192.168.1.20:7070/file\n", "also at:", "http://172.17.0.1:7070/file", "http://100.101.1.1:7070/file"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("serve did not print %q: %s", want, out)
		}
	}
}
