//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"shoal/piece"
)

// lab is one run of the command.
type lab struct {
	contenders       []string // instead of the scenarios' own
	rounds           int      // instead of the scenarios' own
	shoal            string   // the program
	dir              string   // of temporary files
	keep             string   // directory for the processes' logs
	picture          string   // directory for pictures
	debug, json, why bool
	nice             int     // the programs' priority, as nice(1) counts
	scale            float64 // of rates and contents
	check            bool    // missing a goal is an error
	out, talk        io.Writer
}

func (l *lab) run(ctx context.Context, scenarios []string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("this needs root: it makes network namespaces")
	}
	for _, tool := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("there is no %s here: it is in the package iproute2", tool)
		}
	}
	var list []*scenario
	for _, name := range scenarios {
		s, err := load(name)
		if err != nil {
			return err
		}
		if err := s.shrink(l.scale); err != nil {
			return err
		}
		if n := s.hosts(); n > maxHosts {
			return fmt.Errorf("scenario %s: %d machines are more than the %d that this computer can be: -simulate", name, n, maxHosts)
		}
		list = append(list, s)
	}
	where := l.dir
	if where == "" {
		where = memory()
	}
	sweep(where)
	if l.dir, err = os.MkdirTemp(where, fmt.Sprintf("%s%d-", prefix, os.Getpid())); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	if l.shoal == "" {
		l.shoal = filepath.Join(l.dir, "shoal")
		if err := command(ctx, "", "env", "CGO_ENABLED=0", "go", "build", "-o", l.shoal, "shoal"); err != nil {
			return err
		}
	} else if l.shoal, err = filepath.Abs(l.shoal); err != nil {
		return err
	}
	if err := l.hurry(); err != nil {
		return err
	}
	missed := 0
	for _, s := range list {
		n, err := l.scenario(ctx, s)
		if err != nil {
			return err
		}
		missed += n
	}
	if l.check && missed > 0 {
		return fmt.Errorf("goals missed: %d", missed)
	}
	return nil
}

// hurry has the lab itself come before other work, or what it sees is late. Threads that come later inherit it.
func (l *lab) hurry() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, l.nice); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("priority %d: %w", l.nice, err)
		}
	}
	return nil
}

// memory is a directory whose files are not on a disk, so that no figure is of one.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// scenario measures all contenders in turn, round after round, so that a disturbance hits all; it returns how
// many goals were missed.
func (l *lab) scenario(ctx context.Context, s *scenario) (missed int, err error) {
	names, rounds := s.Contenders, s.Rounds
	if l.contenders != nil {
		names = l.contenders
	}
	if l.rounds > 0 {
		rounds = l.rounds
	}
	var contenders []contender
	for _, name := range names {
		c, err := parseContender(name)
		if err != nil {
			return 0, err
		}
		for _, p := range c.programs() {
			for _, need := range programs()[p].needs {
				if _, err := exec.LookPath(need); err != nil {
					return 0, fmt.Errorf("%s needs %s, which is not installed", name, need)
				}
			}
		}
		contenders = append(contenders, c)
	}
	if l.check && !slices.ContainsFunc(contenders, contender.ours) {
		return 0, fmt.Errorf("-check of scenario %s: no contender is shoal", s.Name)
	}
	dir := filepath.Join(l.dir, s.Name)
	content := filepath.Join(dir, "content", "release.bin")
	if err := os.MkdirAll(filepath.Dir(content), 0o755); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := randomFile(content, int64(s.Size), s.Seed); err != nil {
		return 0, err
	}
	var results []*result
	for n := range rounds {
		for _, c := range contenders {
			x, err := l.round(ctx, s, c, n, dir, content)
			if err != nil {
				return 0, err
			}
			results = append(results, x)
			l.tell(x)
		}
	}
	return l.report(s, contenders, results)
}

func (l *lab) round(ctx context.Context, s *scenario, c contender, n int, dir, content string) (x *result, err error) {
	if c.simulated() {
		return s.simulateRound(n)
	}
	r := &round{lab: l, scenario: s, contender: c, number: n, content: content, dir: filepath.Join(dir, "round")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if l.keep != "" {
			err = errors.Join(err, keepLogs(r, filepath.Join(l.keep, fmt.Sprintf("%s-%s-%d", s.Name, c.file(), n+1))))
		}
		err = errors.Join(err, os.RemoveAll(r.dir))
	}()
	if c.byTracker() || c.webSeeded() {
		r.torrent = filepath.Join(r.dir, "made.torrent")
		if err := l.describe(ctx, s, r); err != nil {
			return nil, err
		}
	}
	return r.run(ctx)
}

// describe makes the .torrent that a contender gets. It is v1, which all of them read, unless only shoal is to.
func (l *lab) describe(ctx context.Context, s *scenario, r *round) error {
	length := cmp.Or(r.pieceLength(), 64<<10)
	args := []string{"create", "--quiet", "--piece-length", fmt.Sprint(int64(length)), "--output", r.torrent}
	if len(r.contender.machines) > 1 || r.contender.machines[0] != "shoal" || r.contender.byTracker() {
		args = append(args, "--format", "v1")
	}
	// The tracker is the first host, the origin the second: see buildNetwork.
	if r.contender.byTracker() {
		args = append(args, "--tracker", fmt.Sprintf("http://198.18.%d.2:6969/announce", len(s.Sites)+1))
	} else {
		args = append(args, "--web-seed", fmt.Sprintf("http://198.18.%d.2:%d/%s", len(s.Sites)+2, httpPort, filepath.Base(r.content)))
	}
	if err := command(ctx, "", l.shoal, append(args, r.content)...); err != nil {
		return err
	}
	t, err := piece.ReadFile(r.torrent)
	if err != nil {
		return err
	}
	r.infohash = t.V1
	return nil
}

// keepLogs copies what the processes wrote to stderr.
func keepLogs(r *round, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, p := range r.running {
		b, err := os.ReadFile(p.logs)
		if err != nil {
			return err
		}
		name := strings.ReplaceAll(strings.ReplaceAll(p.what, ": ", "-"), " ", "") + ".log"
		if err := os.WriteFile(filepath.Join(to, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// randomFile writes n bytes that no hash or copy can take a shortcut on.
func randomFile(path string, n int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	var key [32]byte
	copy(key[:], fmt.Sprint("shoal lab ", seed))
	_, err = io.CopyN(f, rand.NewChaCha8(key), n)
	return errors.Join(err, f.Close())
}

// tell says how a round went, as soon as it is over.
func (l *lab) tell(x *result) {
	if l.json {
		json.NewEncoder(l.out).Encode(struct {
			Event string `json:"event"`
			*result
		}{"round", x})
		return
	}
	fmt.Fprintf(l.talk, "%s, round %d, %s: %d of %d verified", x.Scenario, x.Round+1, x.Contender, x.Verified, x.Expected)
	if x.Verified > 0 {
		fmt.Fprintf(l.talk, " in %.2f s", x.Makespan)
	}
	if x.Ratio > 0 {
		fmt.Fprintf(l.talk, " (%.3f × T_min)", x.Ratio)
	}
	if x.Simulated {
		fmt.Fprintf(l.talk, ", origin sent %.3f × content\n", float64(x.OriginPayload)/float64(x.Size))
	} else {
		fmt.Fprintf(l.talk, ", origin sent %.3f × content on the wire\n", float64(x.OriginWire)/float64(x.Size))
	}
	failed := 0
	for _, m := range x.Machines {
		if m.Error == "" {
			continue
		}
		if failed++; failed <= 2 {
			fmt.Fprintf(l.talk, "  %s, exit code %d: %.200s\n", m.Name, m.Code, m.Error)
		}
	}
	if failed > 2 {
		fmt.Fprintf(l.talk, "  and %d more\n", failed-2)
	}
}
