//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	rollingKeys  = 32
	rollingThink = 10 * time.Millisecond
	rollingOps   = 1_000_000 // more than there is time for
	// rollingPause is what a restart may cost all clients together.
	rollingPause = time.Second
	// rollingRest is how long all replicas run between two restarts.
	rollingRest = time.Second
)

// rollingAlone restarts every replica in order, under load, as an operator does.
func rollingAlone(ctx context.Context, o *options, c *cluster, r *result) error {
	rec, err := c.startRecording(&recordingOptions{seed: o.seed, ops: rollingOps, keys: rollingKeys, think: rollingThink})
	if err != nil {
		return err
	}
	defer rec.kill()
	if err := sleep(ctx, rollingRest); err != nil {
		return err
	}
	type restart struct{ from, to int64 }
	var restarts []restart
	for i := range c.procs {
		from := time.Now().UnixNano()
		if err := c.terminate(ctx, i); err != nil {
			return err
		}
		if err := c.restart(i); err != nil {
			return err
		}
		took, err := c.back(ctx, i)
		if err != nil {
			return err
		}
		r.caughtUp = max(r.caughtUp, took)
		if err := sleep(ctx, rollingRest); err != nil {
			return err
		}
		restarts = append(restarts, restart{from, time.Now().UnixNano()})
	}
	ops, err := rec.end(ctx)
	if err != nil {
		return err
	}
	var pauses []string
	at := answers(ops)
	for i, x := range restarts {
		pause := longestGap(at, x.from, x.to)
		pauses = append(pauses, fmt.Sprintf("%d", pause.Milliseconds()))
		if pause >= rollingPause {
			r.fail("nothing was acknowledged for %v while replica %d was restarted, allowed is less than %v", pause.Round(time.Millisecond), i, rollingPause)
		}
	}
	r.note = fmt.Sprintf("seed %d, pauses %s ms, %d operations, longest wait of a client %d ms, back after %.1f s",
		o.seed, strings.Join(pauses, " "), len(ops), longestWait(ops).Milliseconds(), r.caughtUp.Seconds())
	r.failures = append(r.failures, c.judge(ctx, newLedger(), ops)...)
	return nil
}

// judge looks at all replicas after a load that was recorded.
func (c *cluster) judge(ctx context.Context, l *ledger, ops []operation) (problems []string) {
	problems = failures(ops)
	if _, err := c.settle(ctx); err != nil {
		problems = append(problems, err.Error())
	}
	dumps, more := c.dumps(ctx)
	problems = append(problems, more...)
	for i := 1; i < len(dumps); i++ {
		if d := difference(dumps[i], dumps[0]); d != "" {
			problems = append(problems, fmt.Sprintf("replica %d is not as replica 0: %s", i, d))
		}
	}
	if len(problems) > 0 {
		return problems // the rest follows from it
	}
	return l.take(ops, dumps[0])
}
