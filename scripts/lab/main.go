//go:build linux

// Command lab measures how software brings one content to many machines: it builds their network out of
// network namespaces in this computer, starts the real programs in it, and compares how long they took with
// how long they had to. See usage.txt, which -h prints.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

//go:embed usage.txt
var usage string

func main() {
	l := &lab{out: os.Stdout, talk: os.Stderr}
	var contenders string
	flag.Usage = help
	flag.StringVar(&contenders, "contenders", "", "")
	flag.IntVar(&l.rounds, "rounds", 0, "")
	flag.StringVar(&l.shoal, "shoal", "", "")
	flag.StringVar(&l.dir, "dir", "", "")
	flag.StringVar(&l.picture, "picture", "", "")
	flag.StringVar(&l.keep, "keep", "", "")
	flag.BoolVar(&l.debug, "debug", false, "")
	flag.BoolVar(&l.json, "json", false, "")
	flag.BoolVar(&l.why, "why", false, "")
	flag.IntVar(&l.nice, "nice", -10, "")
	flag.Float64Var(&l.scale, "scale", 1, "")
	flag.BoolVar(&l.check, "check", false, "")
	simulate := flag.Bool("simulate", false, "")
	flag.Parse()
	if contenders != "" {
		l.contenders = strings.Split(contenders, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if ok, err := role(ctx, flag.Args()); ok {
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			os.Exit(1)
		}
		return
	}
	if flag.NArg() == 0 {
		help()
		os.Exit(2)
	}
	if *simulate {
		stop() // it has nothing to clean up: a signal ends it as it ends any program
		var given []string
		flag.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
		if err := l.simulate(given, flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			os.Exit(1)
		}
		return
	}
	if err := l.run(ctx, flag.Args()); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func help() {
	fmt.Fprint(os.Stderr, usage, "\nScenarios that are shipped:\n")
	for _, name := range names() {
		s, err := load(name)
		if err != nil {
			panic(err) // a test reads them all
		}
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", name, s.About)
	}
}
