//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// caughtUp waits until replica i has executed what the others had a moment ago,
// and tells how long that took.
func (c *cluster) caughtUp(ctx context.Context, i int) (time.Duration, error) {
	begin := time.Now()
	before := ^uint64(0) // of the others, at the poll before
	var own, first uint64
	for time.Since(begin) < catchUpTimeout {
		var others uint64
		for j := range c.procs {
			s, err := c.status(ctx, j)
			switch {
			case err != nil:
			case j == i:
				own = s.LastExecuted
			default:
				others = max(others, s.LastExecuted)
			}
		}
		if first == 0 {
			first = own
		}
		if own >= before {
			return time.Since(begin), nil
		}
		before = others
		if err := sleep(ctx, pollEvery); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("replica %d did not catch up within %v: it executed batches %d to %d, the others are at %d", i, catchUpTimeout, first, own, before)
}

const changingStatus = "REPLICA_STATUS_CHANGING"

// settle waits until all replicas that are present have executed the same and
// returns the highest view.
func (c *cluster) settle(ctx context.Context) (view uint64, err error) {
	var said string
	for end := time.Now().Add(catchUpTimeout); time.Now().Before(end); {
		var lines []string
		var last *replicaStatus
		same, ahead := true, false
		for _, i := range c.present() {
			s, err := c.status(ctx, i)
			if err != nil {
				same = false
				lines = append(lines, fmt.Sprintf("replica %d: %v", i, err))
				continue
			}
			view = max(view, s.View)
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("replica %d executed %d in view %d, %s %s", i, s.LastExecuted, s.View, s.Status, s.Reason)))
			// One replica may have asked for a higher view than the others found
			// together: it votes in none below, and executes along.
			if s.Status == changingStatus && !ahead && (last == nil || s.LastExecuted == last.LastExecuted) {
				ahead = true
				continue
			}
			same = same && s.Status == c.wanted(i) && (last == nil || s.LastExecuted == last.LastExecuted && s.View == last.View)
			last = s
		}
		now := strings.Join(lines, "; ")
		if same && now == said { // twice: nothing is on its way
			return view, nil
		}
		said = now
		if err := sleep(ctx, pollEvery); err != nil {
			return view, err
		}
	}
	return view, fmt.Errorf("replicas still differ %v after the load: %s", catchUpTimeout, said)
}

// wanted is the status that a replica has to have.
func (c *cluster) wanted(i int) string {
	if c.learns[i] {
		return learner
	}
	return normal
}

// back waits until replica i, which was started again, has the status that it
// has to have and has executed what the others have.
func (c *cluster) back(ctx context.Context, i int) (time.Duration, error) {
	begin := time.Now()
	said := "nothing"
	for time.Since(begin) < catchUpTimeout {
		if !c.procs[i].running() {
			return 0, fmt.Errorf("replica %d ended at its start: %w; its log: %s", i, c.procs[i].err, c.lastWords(i))
		}
		if s, err := c.status(ctx, i); err == nil {
			if said = s.Status + " " + s.Reason; s.Status == c.wanted(i) {
				_, err := c.caughtUp(ctx, i)
				return time.Since(begin), err
			}
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("replica %d is %s %v after its start, and should be %s", i, said, catchUpTimeout, c.wanted(i))
}
