//go:build linux

// Command faults starts clusters of replica processes, four of them, or seven
// of which two lie, puts them under load, makes them fail, and tells whether the
// service survived:
//
//	go -C tools run ./faults                    every case, about ten minutes
//	go -C tools run ./faults kill loss          two of them
//	go -C tools run ./faults -h                 the cases and the flags
//
// Each case has a cluster of its own and prints one line. It fails if nothing was
// acknowledged for twice the view change timeout, if a request took that long or
// failed, if an acknowledged operation is missing at a replica that
// runs at the end or stands there twice, if such replicas differ, or if one that
// was away has not caught up in time. The exit code is 0 if none failed, 1 if
// one did, 2 for a wrong command line, 130 after a signal.
//
// The cases that cut a replica off need the ip command and network namespaces:
// root, or a kernel that gives them to users. All addresses there are inside
// namespaces that end with the processes in them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	exitFailed = 1
	exitUsage  = 2
	exitSignal = 130
)

// options are the flags.
type options struct {
	bin      string
	dir      string // of logs and configurations
	keep     bool
	duration time.Duration
	rate     float64
	settings lines
	inside   bool // this process is the one in the namespace
}

// lines is a flag that may be repeated.
type lines []string

func (l *lines) String() string     { return strings.Join(*l, ", ") }
func (l *lines) Set(s string) error { *l = append(*l, s); return nil }

func (o *options) define(fs *flag.FlagSet) {
	fs.StringVar(&o.bin, "bin", "", "`DIR` with server, client and, for the cases of liars, liar-server ready-made (default: they are built)")
	fs.BoolVar(&o.keep, "keep", false, "keep configurations and logs, and say where")
	fs.DurationVar(&o.duration, "duration", 15*time.Second, "length of the load of a case, at least 10s; rolling takes twice that")
	fs.Float64Var(&o.rate, "rate", 1000, "requests per second, beside 150 of the probe; terminate has a rate of its own")
	fs.Var(&o.settings, "set", "a `LINE` for pbft.yaml, such as 'ckpt_interval: 10'; may be repeated")
	fs.StringVar(&o.dir, "dir", "", "`DIR` for configurations and logs, which stay (default: a temporary one)")
	fs.BoolVar(&o.inside, "inside", false, "this is a network namespace for one case (the tool says so to itself)")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: go -C tools run ./faults [flags] [CASE…]\n\ncases:")
		for _, f := range faults {
			fmt.Fprintf(fs.Output(), "  %-12s %s\n", f.name, f.what)
		}
		fmt.Fprintln(fs.Output(), "\nflags:")
		fs.PrintDefaults()
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == launchArg {
		fail(launch(os.Args[2:])) // returns only after an error
	}
	var o options
	fs := flag.NewFlagSet("faults", flag.ContinueOnError)
	o.define(fs)
	switch err := fs.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil: // told already
		os.Exit(exitUsage)
	}
	chosen, err := choose(fs.Args())
	if err == nil && o.duration < 10*time.Second {
		err = fmt.Errorf("--duration is %v, allowed are 10s and more: a view change takes some", o.duration)
	}
	if err == nil && !(o.rate >= 1 && o.rate <= 1e6) {
		err = fmt.Errorf("--rate is %v, allowed are 1 to 1000000", o.rate)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok, err := runAll(ctx, &o, chosen)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		os.Exit(exitSignal)
	case err != nil:
		fail(err)
	case !ok:
		os.Exit(exitFailed)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "faults:", err)
	os.Exit(exitFailed)
}

// choose finds the cases by name; no name stands for all.
func choose(names []string) ([]fault, error) {
	if len(names) == 0 {
		return faults, nil
	}
	var chosen []fault
	for _, name := range names {
		i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no case %q; -h lists them", name)
		}
		chosen = append(chosen, faults[i])
	}
	return chosen, nil
}

// runAll runs the cases one after the other and says whether all went well.
func runAll(ctx context.Context, o *options, chosen []fault) (bool, error) {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "faults-")
		if err != nil {
			return false, err
		}
		o.dir = dir
		if o.keep {
			defer fmt.Println("logs are in", dir)
		} else {
			defer func() { _ = os.RemoveAll(dir) }()
		}
	}
	if o.bin == "" {
		o.bin = o.dir
		if err := build(ctx, o.bin); err != nil {
			return false, err
		}
	}
	bin, err := filepath.Abs(o.bin) // a name without a slash would be looked up in PATH
	if err != nil {
		return false, err
	}
	o.bin = bin
	ok := true
	for _, f := range chosen {
		run := runCase
		if f.network && !o.inside {
			run = runInside
		}
		passed := run(ctx, o, &f)
		if ctx.Err() != nil {
			return false, nil
		}
		ok = passed && ok
	}
	return ok, nil
}

// build makes server and client, from the module above this one.
func build(ctx context.Context, into string) error {
	for _, args := range [][]string{
		{"-C", "..", "build", "-o", into + "/", "./server", "./client"},
		{"-C", "..", "build", "-tags", "liar", "-o", filepath.Join(into, liarProgram), "./server"},
	} {
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%sstart it as: go -C tools run ./faults, or name ready-made programs with --bin", err, out)
		}
	}
	return nil
}
