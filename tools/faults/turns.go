//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const (
	turnsKeys  = 1_000_000
	turnsSize  = 100 // bytes of an operation
	turnsFor   = 12  // times --duration
	turnsLimit = 30 * time.Minute
	// longestTurn is what a turn of a replica's loop may take.
	longestTurn = 20 * time.Millisecond
	loadTimeout = 10 * time.Minute
)

// turnsAlone looks for turns of the replicas' loops that take too long: whatever
// is done for the million keys must be done elsewhere, or in parts.
func turnsAlone(ctx context.Context, o *options, c *cluster, r *result) error {
	if err := c.loadKeys(ctx); err != nil {
		return err
	}
	if _, err := c.settle(ctx); err != nil {
		return err
	}
	before, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	length := turnsFor * o.duration
	b, err := c.startBenchWith(length, "--workload", "kv-put", "--keys", strconv.Itoa(turnsKeys), "--size", strconv.Itoa(turnsSize),
		"--rate", strconv.FormatFloat(10*o.rate, 'f', -1, 64))
	if err != nil {
		return err
	}
	defer b.kill()
	report, err := b.report(ctx)
	if err != nil {
		return err
	}
	after, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	r.note = fmt.Sprintf("%d requests in %v, longest turns in ms, loading apart, and since the start:", report.Requests, length)
	for i := range after {
		now, was := &after[i], &before[i]
		over, most := now.Turns.since(&was.Turns)
		r.note += fmt.Sprintf(" [%d: %s, %s; batches %d to %d]", i, between(over, most), millis(now.Turns.longest()), was.LastExecuted, now.LastExecuted)
		if over >= longestTurn || over != most && most > longestTurn {
			r.fail("replica %d had a turn of %s ms, allowed are less than %v", i, between(over, most), longestTurn)
		}
		if now.Saved == was.Saved {
			r.fail("replica %d has saved no state: the load was too short", i)
		}
	}
	if report.Errors > 0 {
		r.fail("%d errors of client bench: %v", report.Errors, report.ErrorTexts)
	}
	return nil
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }

func between(over, most time.Duration) string {
	if over == most {
		return millis(most)
	}
	return millis(over) + " to " + millis(most)
}

// statuses are those of all replicas.
func (c *cluster) statuses(ctx context.Context) (all []replicaStatus, err error) {
	for i := range c.procs {
		s, err := c.status(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("replica %d: %w", i, err)
		}
		all = append(all, *s)
	}
	return all, nil
}

// loadKeys puts every key once.
func (c *cluster) loadKeys(ctx context.Context) error {
	var said bytes.Buffer
	cmd := exec.Command(filepath.Join(c.bin, recorderProgram), "-c", c.config(), "-load", strconv.Itoa(turnsKeys), "-size", strconv.Itoa(turnsSize))
	cmd.Stderr = &said
	p, err := start(cmd)
	if err != nil {
		return err
	}
	if err := p.wait(ctx, loadTimeout); err != nil {
		return fmt.Errorf("recorder -load: %w", failed(err, said.Bytes()))
	}
	return nil
}
