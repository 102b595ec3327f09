//go:build !windows

package disk

import "os"

func environment() env { return env{admin: os.Geteuid() == 0, get: os.Getenv} }
