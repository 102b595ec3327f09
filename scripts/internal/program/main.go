//go:build linux

package program

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a program that measures until it is interrupted, and exits with 1 if it fails.
func Main(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Part is something that is measured.
type Part struct {
	Name    string
	Measure func(context.Context) error
}

// Table measures the parts one after the other, or the one that is called only, and prints a table of their rows, see Row.
func Table(ctx context.Context, only string, parts []Part) error {
	fmt.Printf("%s, %s\n\n", Machine(), Load())
	fmt.Println("| what | measured |\n| --- | --- |")
	for _, p := range parts {
		if only != "" && only != p.Name {
			continue
		}
		if err := p.Measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	fmt.Printf("\nat the end: %s\n", Load())
	return nil
}
