package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path that all our packages begin with.
const module = "shoal"

// floors puts the rooms in order: a room may import those on lower floors only, never one on its own. What
// is not listed (helpers for tests) may import anything, but only tests import it.
var floors = map[string]int{
	"internal/sock": -1, "internal/memory": -1,
	"internal/disk": 0, "internal/webseed": 0, "internal/port": 0, "internal/portmap": 0, "internal/child": 0, "internal/units": 0,
	"piece": 1, "internal/release": 1, "internal/schedule": 1,
	"internal/fleet":   2,
	"swarm":            2,
	"internal/deliver": 3,
	"seeder":           4, "edgecache": 4, "internal/updater": 4, "internal/rollout": 4,
	"internal/daemon": 5,
	"internal/cli":    6,
	"":                7, // the command itself
}

type listedPackage struct {
	ImportPath                                  string
	Imports, TestImports, XTestImports, GoFiles []string
	Deps                                        []string
}

// listPackages asks the go command for every package of the module.
func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps,GoFiles", module+"/...")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var list []listedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 3 {
		t.Fatalf("go list found %d packages, want the whole module", len(list))
	}
	return list
}

// room returns the room that a package of ours is in; ours is false for a package of others.
func room(path string) (name string, ours bool) {
	if path == module {
		return "", true
	}
	path, ours = strings.CutPrefix(path, module+"/")
	if !ours {
		return "", false
	}
	segments := strings.Split(path, "/")
	if segments[0] == "internal" && len(segments) > 1 {
		return segments[0] + "/" + segments[1], true
	}
	return segments[0], true
}

// forbidden returns why a package in room from must not import one in room to, or "".
func forbidden(from, to string) string {
	fromFloor, fromKnown := floors[from]
	toFloor, toKnown := floors[to]
	switch {
	case from == to:
		return ""
	case from == "tracker":
		return "tracker imports no room"
	case to == "tracker":
		if from == "internal/daemon" || from == "internal/cli" || !fromKnown {
			return ""
		}
		return "daemon alone joins the tracker to the one port"
	case !fromKnown:
		return ""
	case !toKnown:
		return "it is for tests only"
	case from == "swarm" && to == "internal/release":
		return "swarm must not know releases"
	case from == "" && to != "internal/cli":
		return "main only calls cli"
	case toFloor >= fromFloor:
		return "imports point down"
	}
	return ""
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range listPackages(t) {
		from, _ := room(p.ImportPath)
		for _, imported := range p.Imports {
			to, ours := room(imported)
			if !ours {
				continue
			}
			if why := forbidden(from, to); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
	}
}

func TestEngineOfOthersIsNotImported(t *testing.T) {
	const engine = "github.com/anacrolix/torrent"
	for _, p := range listPackages(t) {
		if slices.Contains(p.Deps, engine) || slices.Contains(p.TestImports, engine) || slices.Contains(p.XTestImports, engine) {
			t.Errorf("%s depends on the root package of %s: only its subpackages are used", p.ImportPath, engine)
		}
	}
}

func TestPieceStaysOffTheNetwork(t *testing.T) {
	for _, p := range listPackages(t) {
		if name, _ := room(p.ImportPath); name != "piece" {
			continue
		}
		for _, imported := range p.Imports {
			if imported == "net" || imported == "net/http" {
				t.Errorf("%s imports %s: piece does not touch the network", p.ImportPath, imported)
			}
		}
	}
}

// What is signed, and how, is one room's business.
func TestSigningStaysInRelease(t *testing.T) {
	for _, p := range listPackages(t) {
		if name, _ := room(p.ImportPath); name == "internal/release" {
			continue
		}
		for _, imported := range p.Imports {
			for _, library := range []string{"github.com/theupdateframework/", "filippo.io/age", "golang.org/x/mod/sumdb"} {
				if strings.HasPrefix(imported, library) {
					t.Errorf("%s imports %s: internal/release owns signing and checking", p.ImportPath, imported)
				}
			}
		}
	}
}

// The simulator drives the engine and is no part of what runs in production.
func TestCommandIsFreeOfTheSimulator(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath == module && slices.Contains(p.Deps, module+"/swarm/sim") {
			t.Error("the command depends on swarm/sim")
		}
	}
}

// What stands alone below swarm knows nothing of it: it can be read, tested and replaced by itself.
func TestDHTStandsAlone(t *testing.T) {
	found := false
	for _, p := range listPackages(t) {
		if p.ImportPath != module+"/swarm/dht" {
			continue
		}
		found = true
		for _, imported := range p.Imports {
			if to, ours := room(imported); ours && to != "internal/disk" && imported != module+"/swarm/agenda" {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
	if !found {
		t.Error("there is no package swarm/dht")
	}
}

// The rules themselves, so that a hole in them does not pass for order in the house.
func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		allowed  bool
	}{
		{"internal/cli", "internal/daemon", true},
		{"internal/cli", "piece", true},
		{"internal/daemon", "tracker", true},
		{"internal/deliver", "swarm", true},
		{"swarm", "swarm", true},
		{"piece", "internal/disk", true},
		{"internal/swarmtest", "internal/daemon", true},
		{"internal/swarmtest", "tracker", true},
		{"", "internal/cli", true},
		{"", "piece", false},
		{"swarm", "internal/release", false},
		{"swarm", "internal/deliver", false},
		{"swarm", "tracker", false},
		{"seeder", "edgecache", false},
		{"seeder", "tracker", false},
		{"tracker", "piece", false},
		{"tracker", "internal/disk", false},
		{"piece", "internal/release", false},
		{"internal/disk", "internal/webseed", false},
		{"swarm", "internal/swarmtest", false},
		{"internal/daemon", "internal/cli", false},
	} {
		if why := forbidden(tt.from, tt.to); (why == "") != tt.allowed {
			t.Errorf("%s imports %s: %q, want allowed %v", tt.from, tt.to, why, tt.allowed)
		}
	}
}
