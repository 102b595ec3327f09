package child

import (
	"os/exec"
	"syscall"
)

// dieWithParent also takes the program out of the terminal's foreground group: Ctrl-C is for the
// parent, which asks its children in turn.
func dieWithParent(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
