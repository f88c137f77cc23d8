//go:build linux

// Command faults starts clusters of replica processes, four of them, or seven
// of which two lie, puts them under load, makes them fail, and tells whether the
// service survived:
//
//	go -C tools run ./faults                    every case that is not long, about 20 minutes
//	go -C tools run ./faults kill loss          two of them
//	go -C tools run ./faults crash --rounds 5   replicas killed at random, all at once, too
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
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
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
	rounds   int    // of crash
	seed     uint64 // of crash and rolling-disk
	requests uint64 // of bounded
	inside   bool   // this process is the one in the namespace
}

// args are the flags that a process in a namespace is given again.
func (o *options) args() []string {
	args := []string{
		"--duration", o.duration.String(), "--rate", strconv.FormatFloat(o.rate, 'g', -1, 64),
		"--seed", strconv.FormatUint(o.seed, 10),
	}
	for _, line := range o.settings {
		args = append(args, "--set", line)
	}
	if o.keep {
		args = append(args, "--keep")
	}
	return args
}

// lines is a flag that may be repeated.
type lines []string

func (l *lines) String() string     { return strings.Join(*l, ", ") }
func (l *lines) Set(s string) error { *l = append(*l, s); return nil }

func (o *options) define(fs *flag.FlagSet) {
	fs.StringVar(&o.bin, "bin", "", "`DIR` with server, client, recorder and, for the cases of liars, liar-server ready-made (default: they are built)")
	fs.BoolVar(&o.keep, "keep", false, "keep configurations, logs and the replicas' data, and say where")
	fs.DurationVar(&o.duration, "duration", 15*time.Second, "length of the load of a case, at least 10s; some cases take several times that")
	fs.Float64Var(&o.rate, "rate", 1000, "requests per second, beside 150 of the probe; terminate has a rate of its own")
	fs.Var(&o.settings, "set", "a `LINE` for pbft.yaml, such as 'ckpt_interval: 10'; may be repeated")
	fs.StringVar(&o.dir, "dir", "", "`DIR` for configurations and logs, which stay (default: a temporary one)")
	fs.IntVar(&o.rounds, "rounds", 200, "rounds of crash; a few are enough to see that it works")
	fs.Uint64Var(&o.seed, "seed", 0, "what crash and rolling-disk draw from (default: a new one, which they print)")
	fs.Uint64Var(&o.requests, "requests", 10_000_000, "requests of bounded")
	fs.BoolVar(&o.inside, "inside", false, "this is a network namespace for one case (the tool says so to itself)")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: go -C tools run ./faults [flags] [CASE…]\n\ncases:")
		for _, f := range faults {
			long := ""
			if f.long {
				long = " (long: only if it is named)"
			}
			fmt.Fprintf(fs.Output(), "  %-12s %s%s\n", f.name, f.what, long)
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
	names, err := parse(fs, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil: // told already
		os.Exit(exitUsage)
	}
	chosen, err := choose(names)
	if err == nil {
		err = o.check()
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

// parse takes flags before, between and behind the names of cases, which it
// returns.
func parse(fs *flag.FlagSet, args []string) (names []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return names, nil
		}
		names, args = append(names, args[0]), args[1:]
	}
}

func (o *options) check() error {
	switch {
	case o.duration < 10*time.Second:
		return fmt.Errorf("--duration is %v, allowed are 10s and more: a view change takes some", o.duration)
	case !(o.rate >= 1 && o.rate <= 1e6):
		return fmt.Errorf("--rate is %v, allowed are 1 to 1000000", o.rate)
	case o.rounds < 1:
		return fmt.Errorf("--rounds is %d, allowed are 1 and more", o.rounds)
	case o.requests < 100:
		return fmt.Errorf("--requests is %d, allowed are 100 and more", o.requests)
	}
	for o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000_000)
	}
	return nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "faults:", err)
	os.Exit(exitFailed)
}

// choose finds the cases by name; no name stands for all that are not long.
func choose(names []string) ([]fault, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.long }), nil
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
		if (f.network || f.mounts) && !o.inside {
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
		append([]string{"-C", "..", "build", "-o", filepath.Join(into, recorderProgram)}, recorderSources...),
	} {
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%sstart it as: go -C tools run ./faults, or name ready-made programs with --bin", err, out)
		}
	}
	return nil
}
