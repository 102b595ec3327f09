//go:build linux

// Delta measures patches between real releases, beside what others make of them, and prints a table in Markdown.
//
//	go run ./scripts/delta [-pairs go-patch,next] [-memory BYTES] [-others | -tree] [-cache DIR]
//
// The releases come from the Go module proxy and the npm registry, 430 MB, once; they are kept in the user's cache directory. Sizes are exact; for
// times the computer should have nothing else to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "delta:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "child" {
		return child(ctx, args[1:])
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("delta", flag.ExitOnError)
	names := flags.String("pairs", "", "`NAMES` of the pairs, with commas between them; default: all")
	memory := flags.Int64("memory", 0, "`BYTES` that a diff may use; default: what delta.Options says")
	others := flags.Bool("others", false, "also measure the update by shoal, casync, xdelta3, zsync, and curl of the whole archive, as far as they are installed")
	pieces := flags.Bool("tree", false, "measure what is fetched of the tree's files where there is no patch instead, in bytes")
	flags.StringVar(&cache, "cache", filepath.Join(cache, "shoal-pairs"), "where the releases are kept")
	flags.Parse(args)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "shoal-delta-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := bench{cache: cache, tmp: tmp, memory: *memory}
	chosen := slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool {
		return *names != "" && !slices.Contains(strings.Split(*names, ","), p.name)
	})
	each := func(row func(context.Context, pair) error) error {
		for _, p := range chosen {
			if err := row(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		return nil
	}
	if *pieces {
		fmt.Println("| pair | tree, equal files reused | blocks as well | index | % of new |")
		fmt.Println("| --- | --: | --: | --: | --: |")
		return each(b.pieces)
	}
	fmt.Println("| pair | new MB | changed MB | archive MB | patch bytes | % of new | goal | diff CPU-s/MB | diff memory, × largest file | apply MB/s | of CPU | apply memory MB |")
	fmt.Println("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
	if err := each(b.measure); err != nil {
		return err
	}
	if !*others {
		return nil
	}
	fmt.Println("\n| pair | by | bytes fetched | publisher CPU-s | client CPU-s | client s |")
	fmt.Println("| --- | --- | --: | --: | --: | --: |")
	return each(b.compare)
}
