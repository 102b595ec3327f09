package disk

import (
	"os"

	"golang.org/x/sys/windows"
)

func environment() env {
	return env{windows: true, admin: windows.GetCurrentProcessToken().IsElevated(), get: os.Getenv}
}
