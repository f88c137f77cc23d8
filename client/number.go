package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// Pauses between rounds of asking while too few replicas answer.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

// nextNumber chooses the number of a client's next request, from what at least
// n-f replicas say. The f+1 highest answers hold one of a correct replica, so
// that liars cannot push the number up; those of a client that was answered
// before hold one that saw that.
func nextNumber(answers []uint64, f int) uint64 {
	sorted := slices.Sorted(slices.Values(answers))
	return sorted[len(sorted)-1-f]
}

// askNextNumber asks all replicas until n-f of them have answered.
func (m *messenger) askNextNumber(ctx context.Context) (uint64, error) {
	all, err := m.c.dial()
	if err != nil {
		return 0, err
	}
	defer all.close()
	n, f := m.c.n(), m.c.f()
	ask := func(ctx context.Context, g grpc.ClientConnInterface) (uint64, error) {
		in := &pbftv1.GetClientInfoRequest{Client: m.client}
		r, err := pbftv1.NewClientServiceClient(g).GetClientInfo(ctx, in)
		return r.GetNext(), err
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		var got []uint64
		var why error
		for i, a := range askAll(ctx, all, m.c.cfg.NetworkTimeout, ask) {
			if a.err == nil {
				got = append(got, a.value)
			} else {
				why = fmt.Errorf("replica %d at %s: %w", i, m.c.addrs[i], a.err)
			}
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if len(got) >= n-f {
			return nextNumber(got, f), nil
		}
		m.logf("%d of %d replicas tell the next number, needs %d, asking again: %v", len(got), n, n-f, why)
		if err := wait(ctx, pause); err != nil {
			return 0, err
		}
	}
}

// wait lets d pass.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
