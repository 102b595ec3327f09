//go:build unix

package swarmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Postgres is a PostgreSQL server of its own, which ends with the test.
type Postgres struct {
	URL string // of its one database, postgres://…

	t    testing.TB
	bin  string // where its programs are
	data string
	port int
	as   *user.User // who runs it; nil: whoever runs the test
	cmd  *exec.Cmd
}

// StartPostgres starts a server on a free port. Without the programs the test is skipped, unless SHOAL_REQUIRE names them.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	var missing error
	s := &Postgres{t: t, bin: postgresPrograms()}
	if s.bin == "" {
		missing = errors.New("there is no initdb here, of PostgreSQL")
	} else if os.Geteuid() == 0 { // it refuses to run as root
		s.as, missing = user.Lookup("postgres")
	}
	if missing != nil {
		if Required("postgres") {
			t.Fatalf("SHOAL_REQUIRE names postgres: %v", missing)
		}
		t.Skip(missing)
	}
	// What t.TempDir makes lies below what another user cannot enter. Processes are killed here, never the system: that what is written outlives them needs no disk.
	dir, err := os.MkdirTemp("/dev/shm", "shoal-postgres-")
	if err != nil {
		dir, err = os.MkdirTemp("", "shoal-postgres-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.data = filepath.Join(dir, "data")
	if s.as != nil {
		uid, _ := strconv.Atoi(s.as.Uid)
		gid, _ := strconv.Atoi(s.as.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := s.command("initdb", "-D", s.data, "-U", "shoal", "-A", "trust", "-E", "UTF8", "--no-locale", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.port = FreePort(t)
	s.URL = fmt.Sprintf("postgres://shoal@127.0.0.1:%d/postgres", s.port)
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// postgresPrograms is the directory with initdb and postgres; "" if there is none.
func postgresPrograms() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

func (s *Postgres) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = filepath.Dir(s.data)
	runAs(c, s.as)
	return c
}

// Start starts the server, which recovers what it had.
func (s *Postgres) Start() {
	s.t.Helper()
	s.cmd = s.command("postgres", "-D", s.data, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "shared_buffers=8MB", "-c", "restart_after_crash=off",
		"-c", "fsync=off")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(patience()); ; time.Sleep(20 * time.Millisecond) {
		out, err := s.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "shoal").CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the server does not answer: %v\n%s", err, out)
		}
	}
}

// Kill ends the server at once, with all its processes, without a word to anybody.
func (s *Postgres) Kill() {
	s.cmd.Process.Signal(syscall.SIGQUIT) // "immediate shutdown": it recovers when it starts again
	s.cmd.Wait()
}

// runAs has a program run as a user; nil: as whoever runs the test.
func runAs(c *exec.Cmd, u *user.User) {
	if u == nil {
		return
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
