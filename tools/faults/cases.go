//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// fault is a case: what happens to a cluster under load.
type fault struct {
	name    string
	what    string
	loss    float64       // percent of the messages between replicas
	network bool          // each replica has a network namespace
	lie     string        // of two replicas of seven: see server/replica/lie_on.go
	rate    float64       // of the load per second, 0: --rate
	longer  int           // the load is so many times --duration, 0: once
	runs    int           // clusters, one after the other, 0: one; no more with network
	slowest time.Duration // limit of the runs' median of the slowest request, 0: none

	mounts   bool                   // it has a mount namespace of its own
	long     bool                   // it runs only if it is named
	size     int                    // of the load's operations in bytes, 0: the default of client bench
	settings []string               // lines of pbft.yaml
	possible func() string          // why the case cannot run here, empty: it can
	before   func(c *cluster) error // prepares what the replicas find when they start
	// act does it, while the load runs, and returns when it is over.
	act func(ctx context.Context, r *run) error
	// alone is the whole of a case that has a load of its own, in place of act. What
	// it returns is a failure.
	alone func(ctx context.Context, o *options, c *cluster, r *result) error
	limit time.Duration // of alone
}

var faults = []fault{
	{name: "kill", what: "SIGKILL of the primary", act: killPrimary},
	{name: "stop", what: "SIGSTOP of the primary, SIGCONT later", act: func(ctx context.Context, r *run) error {
		i, err := r.cluster.primary(ctx)
		if err != nil {
			return err
		}
		return r.stop(ctx, i, r.hold)
	}},
	{name: "cut-primary", what: "the primary is cut off the network for a while", network: true, act: func(ctx context.Context, r *run) error {
		return r.cut(ctx, 0)
	}},
	{name: "cut-backup", what: "a backup is cut off the network for a while", network: true, act: func(ctx context.Context, r *run) error {
		return r.cut(ctx, 2)
	}},
	{name: "rolling", what: "SIGSTOP and SIGCONT of each replica in turn", longer: 2, act: func(ctx context.Context, r *run) error {
		for i := range r.cluster.procs {
			if err := r.stop(ctx, i, r.hold*4/5); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "loss", what: "10 % of the messages between replicas are lost", loss: 10, act: func(context.Context, *run) error { return nil }},
	{name: "loss-kill", what: "the same, and SIGKILL of the primary, three clusters", loss: 10, runs: 3, act: killPrimary},
	{
		name: "terminate", what: "SIGTERM of the primary at 20,000 requests/s, five clusters",
		rate: 20_000, runs: 5, slowest: 300 * time.Millisecond, act: terminatePrimary,
	},
}

// The cases of liars: seven replicas, of which two do the same thing wrong.
func init() {
	for _, l := range []struct{ lie, what string }{
		{"equivocate", "propose one batch to half of the others and another one to the rest, and vote for both"},
		{"silent", "say nothing to one other replica"},
		{"votes", "vote for what nobody proposed, and claim to be far ahead"},
		{"starve", "never propose what one client asks for"},
		{"replies", "answer with wrong results"},
	} {
		faults = append(faults, fault{
			name: "lie-" + l.lie, what: "two of seven replicas " + l.what, lie: l.lie,
			act: func(context.Context, *run) error { return nil },
		})
	}
}

func killPrimary(ctx context.Context, r *run) error {
	i, err := r.cluster.primary(ctx)
	if err != nil {
		return err
	}
	return r.cluster.end(i, syscall.SIGKILL)
}

func terminatePrimary(ctx context.Context, r *run) error {
	i, err := r.cluster.primary(ctx)
	if err != nil {
		return err
	}
	if err := r.cluster.end(i, syscall.SIGTERM); err != nil {
		return err
	}
	if err := r.cluster.procs[i].wait(ctx, 10*time.Second); err != nil {
		return fmt.Errorf("replica %d after SIGTERM: %w", i, err)
	}
	return nil
}

// stop stops the process of replica i for a while and waits until it has
// caught up.
func (r *run) stop(ctx context.Context, i int, d time.Duration) error {
	return r.away(ctx, i, d, func(away bool) error {
		if away {
			return r.cluster.procs[i].signal(syscall.SIGSTOP)
		}
		return r.cluster.procs[i].signal(syscall.SIGCONT)
	})
}

// cut takes the place-th replica from the primary on off the network for a
// while and waits until it has caught up.
func (r *run) cut(ctx context.Context, place int) error {
	primary, err := r.cluster.primary(ctx)
	if err != nil {
		return err
	}
	i := (primary + place) % len(r.cluster.procs)
	return r.away(ctx, i, r.hold, func(away bool) error { return r.cluster.network.plug(i, !away) })
}

// away has replica i away for d, and back.
func (r *run) away(ctx context.Context, i int, d time.Duration, set func(away bool) error) error {
	if !r.bench.running() {
		return fmt.Errorf("the load has ended before replica %d was to fail: give a longer --duration", i)
	}
	if err := set(true); err != nil {
		return err
	}
	slept := sleep(ctx, d)
	if err := set(false); err != nil {
		return err
	}
	if slept != nil {
		return slept
	}
	took, err := r.cluster.caughtUp(ctx, i)
	r.result.caughtUp = max(r.result.caughtUp, took)
	return err
}
