//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	boundedKeys   = 10_000
	boundedFlight = "1000" // requests
	boundedKeep   = 256    // MiB of history on disk
	// boundedDisk is the bound of a data directory: the history, as much again
	// while it is written anew, and the log with its spare files.
	boundedDisk = (2*boundedKeep + 512) << 20
	// boundedMemory is by how much resident memory may grow in the second half.
	boundedMemory = 1.2
	boundedLimit  = time.Hour
	growthPoll    = 500 * time.Millisecond
)

// size is what a replica takes.
type size struct{ disk, memory int64 }

// boundedAlone orders very many requests on the same keys, and looks at what
// replicas take meanwhile.
func boundedAlone(ctx context.Context, o *options, c *cluster, r *result) error {
	b, err := c.startBenchWith(boundedLimit, "--workload", "kv-put", "--keys", strconv.Itoa(boundedKeys), "--outstanding", boundedFlight)
	if err != nil {
		return err
	}
	defer b.kill()
	began := time.Now()
	var points [][]size
	for _, percent := range []uint64{10, 50, 100} {
		if err := c.waitForRequests(ctx, b.process, o.requests*percent/100); err != nil {
			return err
		}
		sizes, err := c.sizes()
		if err != nil {
			return err
		}
		points = append(points, sizes)
	}
	took := time.Since(began)
	b.kill()
	r.note = fmt.Sprintf("%d requests at %.0f/s; MiB on disk and in memory at 10, 50, 100 %%:", o.requests, float64(o.requests)/took.Seconds())
	for i := range c.procs {
		half, end := points[1][i], points[2][i]
		r.note += fmt.Sprintf(" [%d: disk %d %d %d, memory %d %d %d]", i,
			points[0][i].disk>>20, half.disk>>20, end.disk>>20, points[0][i].memory>>20, half.memory>>20, end.memory>>20)
		if float64(end.memory) > boundedMemory*float64(half.memory) {
			r.fail("replica %d has %d MiB in memory at the end, %d at half, allowed is %v times that", i, end.memory>>20, half.memory>>20, boundedMemory)
		}
		for _, p := range points {
			if p[i].disk > boundedDisk {
				r.fail("replica %d has %d MiB on disk, allowed are %d", i, p[i].disk>>20, int64(boundedDisk)>>20)
			}
		}
	}
	_, err = c.settle(ctx)
	return err
}

// waitForRequests waits until all replicas have executed so many.
func (c *cluster) waitForRequests(ctx context.Context, load *process, n uint64) error {
	for {
		least, what := ^uint64(0), ""
		for i := range c.procs {
			s, err := c.status(ctx, i)
			switch {
			case !c.procs[i].running():
				return fmt.Errorf("replica %d ended by itself: %w; its log: %s", i, c.procs[i].err, c.lastWords(i))
			case err != nil: // busy
				least, what = 0, err.Error()
			default:
				least = min(least, s.Requests)
			}
		}
		if least >= n {
			return nil
		}
		if !load.running() {
			return fmt.Errorf("the load ended after %d of %d requests %s", least, n, what)
		}
		if err := sleep(ctx, growthPoll); err != nil {
			return fmt.Errorf("%d of %d requests were executed: %w", least, n, err)
		}
	}
}

// sizes are those of all replicas.
func (c *cluster) sizes() (all []size, err error) {
	for i, p := range c.procs {
		s := size{}
		if s.disk, err = diskUsage(c.dataOf(i)); err != nil {
			return nil, err
		}
		if s.memory, err = resident(p.cmd.Process.Pid); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// diskUsage is what the files below dir take on disk, in bytes.
func diskUsage(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil // it went meanwhile
		}
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += s.Blocks * 512
		}
		return nil
	})
	if os.IsNotExist(err) {
		return sum, nil
	}
	return sum, err
}

// resident is the memory of a process, in bytes.
func resident(pid int) (int64, error) {
	name := fmt.Sprintf("/proc/%d/statm", pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("%s is %q", name, text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
