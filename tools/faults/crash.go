//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// Bounds of what crash draws.
const (
	crashOps     = 2000 // operations of a round
	crashKeys    = 4
	crashHasty   = 0.03 // share of operations that are given up early
	crashStrikes = 4    // in a round
	strikesTurn  = 300 * time.Millisecond
	// crashLimit is what a round may take.
	crashLimit = 3 * time.Minute
)

// thinkTimes are mean pauses of a client of the recorder: with none a round is
// over in a moment, with the longest it takes some seconds.
var thinkTimes = []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 30 * time.Millisecond}

// crash is a run of rounds in which replicas are killed at random.
type crash struct {
	c      *cluster
	random *rand.Rand
	ledger *ledger

	operations, unknown int
	strikes, whole      int           // how often anybody was killed, and all four at once
	wait                time.Duration // longest of a client
	back                []time.Duration
}

// strike is an end of some replicas by SIGKILL, and their start.
type strike struct {
	killed  []int
	started time.Time // the last of them
}

func crashAlone(ctx context.Context, o *options, c *cluster, r *result) error {
	k := &crash{c: c, random: rand.New(rand.NewPCG(o.seed, 0)), ledger: newLedger()}
	r.note = fmt.Sprintf("seed %d", o.seed) // should nothing else be known
	for n := range o.rounds {
		ctx, cancel := context.WithTimeout(ctx, crashLimit)
		problems := k.round(ctx)
		cancel()
		if len(problems) > 0 {
			for _, p := range problems {
				r.fail("round %d: %s", n+1, p)
			}
			k.report(o, n+1, r)
			return nil // what is there now is worth a look
		}
		if (n+1)%20 == 0 && n+1 < o.rounds {
			k.report(o, n+1, r)
			fmt.Fprintf(os.Stderr, "crash: so far %s\n", r.note)
		}
	}
	k.report(o, o.rounds, r)
	r.failures = append(r.failures, k.checkStopped(ctx)...)
	return nil
}

func (k *crash) report(o *options, rounds int, r *result) {
	r.note = fmt.Sprintf("seed %d, %d rounds, %d operations (%d unknown), %d strikes, longest wait of a client %.2f s",
		o.seed, rounds, k.operations, k.unknown, k.strikes, k.wait.Seconds())
	if k.whole > 0 {
		r.note += fmt.Sprintf("; all four killed %d times", k.whole)
	}
	if len(k.back) > 0 {
		r.note += fmt.Sprintf(", back after %.2f s at the median, %.2f s at most", median(k.back).Seconds(), slices.Max(k.back).Seconds())
	}
}

// round lets replicas die under load, and looks at what is left.
func (k *crash) round(ctx context.Context) []string {
	think := thinkTimes[k.random.IntN(len(thinkTimes))]
	rec, err := k.c.startRecording(&recordingOptions{
		seed: k.random.Uint64(), ops: crashOps, keys: crashKeys, think: think, hasty: crashHasty,
	})
	if err != nil {
		return []string{err.Error()}
	}
	defer rec.kill()
	strikes, err := k.strike(ctx, rec, think)
	if err != nil {
		return []string{err.Error()}
	}
	ops, err := rec.result(ctx, crashLimit)
	if err != nil {
		return []string{err.Error()}
	}
	k.count(ops, strikes)
	return k.c.judge(ctx, k.ledger, ops)
}

// strike kills and starts replicas while the load runs, once at least.
func (k *crash) strike(ctx context.Context, rec *recording, think time.Duration) (strikes []strike, err error) {
	wait := k.upTo(100*time.Millisecond + 40*think)
	for range 1 + k.random.IntN(crashStrikes) {
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		if len(strikes) > 0 && !rec.running() {
			break
		}
		all := k.victims()
		k.c.kill(all...)
		if err := sleep(ctx, k.upTo(500*time.Millisecond)); err != nil {
			return nil, err
		}
		if i := all[0]; k.random.IntN(4) == 0 {
			if err := k.c.check(ctx, i); err != nil {
				return nil, fmt.Errorf("replica %d was killed, and then: %w", i, err)
			}
		}
		for _, i := range all {
			if err := sleep(ctx, k.upTo(100*time.Millisecond)); err != nil {
				return nil, err
			}
			if err := k.c.restart(i); err != nil {
				return nil, err
			}
		}
		strikes = append(strikes, strike{all, time.Now()})
		wait = k.upTo(strikesTurn) // before all is well again
		if k.random.IntN(2) == 0 {
			wait = 2*strikesTurn + k.upTo(2*strikesTurn)
		}
	}
	return strikes, nil
}

// victims are some replicas, in any order; every third time all of them.
func (k *crash) victims() []int {
	n := len(k.c.procs)
	all := k.random.Perm(n)
	if k.random.IntN(3) == 0 {
		return all
	}
	return all[:1+k.random.IntN(n-1)]
}

func (k *crash) upTo(d time.Duration) time.Duration { return time.Duration(k.random.Int64N(int64(d))) }

// count takes figures from what clients saw.
func (k *crash) count(ops []operation, strikes []strike) {
	k.operations += len(ops)
	for i := range ops {
		if !ops[i].Known {
			k.unknown++
		}
	}
	k.strikes += len(strikes)
	k.wait = max(k.wait, longestWait(ops))
	at := answers(ops)
	for i, s := range strikes {
		if len(s.killed) < len(k.c.procs) {
			continue
		}
		k.whole++
		started := s.started.UnixNano()
		next, _ := slices.BinarySearch(at, started)
		if next == len(at) || i+1 < len(strikes) && at[next] > strikes[i+1].started.UnixNano() {
			continue // nobody asked any more, or they were killed again
		}
		k.back = append(k.back, time.Duration(at[next]-started))
	}
}

// checkStopped stops all replicas in order and looks at their directories.
func (k *crash) checkStopped(ctx context.Context) (problems []string) {
	c := k.c
	for i := range c.procs {
		if err := c.terminate(ctx, i); err != nil {
			problems = append(problems, err.Error())
		}
	}
	for i := range c.procs {
		if err := c.check(ctx, i); err != nil {
			problems = append(problems, err.Error())
		}
		d, err := c.stored(ctx, i)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if p := difference(d, k.ledger.entries[:min(len(d), len(k.ledger.entries))]); p != "" {
			problems = append(problems, fmt.Sprintf("the directory of replica %d is not as the replicas were: %s", i, p))
		}
	}
	return problems
}
