// Command shoal delivers files and releases to many machines, which help each other to fetch them.
package main

import (
	"os"

	"shoal/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args))
}
