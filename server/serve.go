package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/server/replica"
)

// How much the heap grows between collections, unless GOGC says otherwise. Most of
// it holds no pointers, so that a collection costs little, while memory that is
// touched for the first time costs much. On disk, where saves make more of it, most
// of the slowest batches fell into a collection at some replica.
const (
	gcPercent       = 50
	gcPercentOnDisk = 100
)

// runner is a replica that holds its ports.
type runner interface {
	// Run serves until ctx ends (nil) or the replica halts.
	Run(ctx context.Context) error
}

// serve is the root command.
func (p *program) serve(o *options) error {
	if err := o.check(); err != nil {
		return misused{err}
	}
	cfg, err := config.Load(o.config)
	if err != nil {
		return err
	}
	if err := cfg.CheckAddresses(o.insecure); err != nil {
		return fmt.Errorf("%s: %w", o.config, err)
	}
	indices, err := o.indices(len(cfg.Nodes))
	if err != nil {
		return misused{err}
	}
	if o.gomaxprocs > 0 {
		runtime.GOMAXPROCS(o.gomaxprocs)
	}
	if os.Getenv("GOGC") == "" {
		percent := gcPercent
		if cfg.Durability == config.Disk {
			percent = gcPercentOnDisk
		}
		debug.SetGCPercent(percent)
	}
	logs, err := openLogs(p.stderr, o, indices)
	if err != nil {
		return err
	}
	defer logs.close()
	if o.pprof != "" {
		stop, err := servePprof(o.pprof, logs.process)
		if err != nil {
			return err
		}
		defer stop()
	}
	runners, err := p.open(cfg, indices, logs)
	if err != nil {
		return err
	}
	announce(logs.process, cfg)
	return p.run(runners, logs, func() {
		if o.all {
			printHints(p.stdout, cfg, o.config)
		}
	})
}

// check looks at what needs no configuration.
func (o *options) check() error {
	switch {
	case o.all && o.indexGiven:
		return errors.New("both --index and --all: give one of them")
	case !o.all && !o.indexGiven:
		return errors.New("which replica? Give -i INDEX, or --all for every replica of the configuration in this process")
	case o.gomaxprocs < 0:
		return fmt.Errorf("--gomaxprocs is %d, allowed are 1 and more", o.gomaxprocs)
	}
	return nil
}

// indices are the replicas to run, of n.
func (o *options) indices(n int) ([]int, error) {
	if !o.all {
		if o.index < 0 || o.index >= n {
			return nil, fmt.Errorf("index %d is out of range: %s has nodes 0 to %d", o.index, o.config, n-1)
		}
		return []int{o.index}, nil
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all, nil
}

// open makes every replica before any runs: a port in use stops them all.
func (p *program) open(cfg *config.Config, indices []int, logs *logs) ([]runner, error) {
	var runners []runner
	for k, i := range indices {
		r, err := p.start(replica.Options{Config: cfg, Index: i, Logger: logs.replicas[k], Version: version()})
		if err != nil {
			return nil, failed{err}
		}
		runners = append(runners, r)
	}
	return runners, nil
}

// announce logs what an operator should know of the configuration.
func announce(log *slog.Logger, cfg *config.Config) {
	for _, note := range cfg.Notes {
		log.Info("configuration adjusted", "what", note)
	}
	log.Warn("replicas use development keys: whoever knows the configuration can speak for them; their ports must not be reachable by strangers")
	if cfg.Durability == config.Memory {
		log.Warn("durability is memory: a replica that restarts has lost its promises and only follows; if more than f restart, the cluster stops, and if all do, everything is gone", "f", cfg.F())
	}
}

// run serves until a signal comes or no replica is left. A replica that halts
// leaves the others running: they are what tolerates it.
func (p *program) run(runners []runner, logs *logs, started func()) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go p.watchSignals(done, cancel, logs.process)

	ends := make(chan error, len(runners))
	for k, r := range runners {
		go func() {
			err := r.Run(ctx)
			if err != nil {
				logs.replicas[k].Error("replica ended", "err", err)
			}
			ends <- err
		}()
	}
	started()
	var errs []error
	for range runners {
		if err := <-ends; err != nil {
			errs = append(errs, failed{err})
		}
	}
	return errors.Join(errs...)
}

// watchSignals ends the replicas at the first signal and the process at the
// second one.
func (p *program) watchSignals(done <-chan struct{}, cancel func(), log *slog.Logger) {
	select {
	case s := <-p.signals:
		log.Info("stopping", "signal", s.String())
		cancel()
	case <-done:
		return
	}
	select {
	case <-p.signals:
		p.exit(exitInterrupted)
	case <-done:
	}
}
