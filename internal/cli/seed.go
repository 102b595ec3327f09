package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"shoal/internal/daemon"
	"shoal/internal/disk"
	"shoal/piece"
	"shoal/swarm"
)

func seedCommand() *command {
	return &command{
		name:  "seed",
		args:  "TORRENT PATH",
		usage: "verify content against a .torrent, and give it to others",
		long: "PATH is the content itself, or the directory that holds it. The port is :7070, or any free one if\n" +
			"that is taken. shoal limit and shoal status reach it through the state directory. It fetches nothing, so\n" +
			"--limit-down bounds nothing.",
		examples: []string{"shoal seed release.torrent /srv/release"},
		options:  concat([]option{roleOption()}, swarmOptions(":7070"), peerOptions(), dhtOptions(), stateOptions(), logOptions("info"), outputOptions()),
		minArgs:  2, maxArgs: 2, complete: "file",
		run: func(ctx context.Context, e *env, args []string) error { return e.seed(ctx, args[0], args[1]) },
	}
}

// seedDir is where a seed keeps its state below the state directory, so that it can run beside an origin.
const seedDir = "seed"

func (e *env) seed(ctx context.Context, torrent, path string) error {
	t, err := readTorrent(torrent)
	if err != nil {
		return err
	}
	path, err = findContent(t.Info, path)
	if err != nil {
		return err
	}
	leaves, err := os.CreateTemp("", "shoal-leaves-")
	if err != nil {
		return err
	}
	defer os.Remove(leaves.Name())
	defer leaves.Close()
	report, err := piece.Verify(ctx, t.Info, path, piece.VerifyConfig{Leaves: leaves, Progress: e.progress("verifying " + t.Name)})
	e.report.Stop()
	if err != nil {
		return err
	}
	if err := (verified{report}).failure(t.Info); err != nil {
		return withHint(err, "shoal verify names what is bad, and with --repair fetches it")
	}
	role, _ := swarm.ParseRole(e.settings.String("role"))
	node, around, err := e.swarmConfig(role, serverPeers)
	if err != nil {
		return err
	}
	config := daemon.ServeConfig{Listen: e.settings.String("listen"), Version: readVersion().Version, Log: e.log, Swarm: node, DHT: e.dht(t.Private), Limits: e.settings.limits(), Around: around}
	if dir := e.settings.String("state-dir"); dir != "" {
		config.StateDir = filepath.Join(dir, seedDir)
	}
	s, err := daemon.NewServer(ctx, config)
	var unreached error
	if errors.Is(err, disk.ErrHeld) || errors.Is(err, fs.ErrPermission) { // it gives all the same
		unreached, config.StateDir = err, ""
		s, err = daemon.NewServer(ctx, config)
	}
	if errors.Is(err, syscall.EADDRINUSE) && !e.settings.given("listen") {
		config.Listen = ":0"
		if s, err = daemon.NewServer(ctx, config); err == nil {
			e.report.Notice("port 7070 is taken: listening on %d", s.Port())
		}
	}
	if err != nil {
		return err
	}
	if unreached != nil {
		e.report.Notice("shoal limit and shoal status do not reach this seed: %v; choose another --state-dir", unreached)
	}
	return e.runServer(ctx, s, func(ctx context.Context) error {
		c, err := s.Seeder().AddTorrent(t, path, leaves.Name())
		if err != nil {
			return err
		}
		dht := s.DHT()
		e.report.Notice("%s", dht)
		e.report.Result("seeding", struct {
			Name     string `json:"name"`
			Infohash string `json:"infohash"`
			Bytes    int64  `json:"bytes"`
			Port     int    `json:"port"`
			Peer     string `json:"peer"`
			DHT      string `json:"dht"`
			Reason   string `json:"dht_reason"`
		}{c.Name, c.Key(), c.Length, s.Port(), hostPort(s), dht.Mode, dht.Reason}, func(w io.Writer) {
			fmt.Fprintf(w, "seeding %s: %s, verified; peer address %s\n", clean(c.Name), formatBytes(c.Length), hostPort(s))
		})
		return nil
	})
}
