package sim

import (
	"fmt"
	"testing"
)

// TestL7AFloodLeavesTheOthersTheirShare runs the same cluster without and with
// a client that offers ten times what the cluster can do. The others, which
// want less than half of that, must get at least 80 % of what they got before.
func TestL7AFloodLeavesTheOthersTheirShare(t *testing.T) {
	for _, urgent := range []bool{false, true} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("seed=%d,urgent=%t", seed, urgent), func(t *testing.T) {
				t.Parallel()
				quiet := Run(seed, Options{Ignore: options().Ignore, Edit: func(p *Plan) { calmPlan(p) }})
				flooded := Run(seed, Options{Ignore: options().Ignore, Edit: func(p *Plan) {
					calmPlan(p)
					p.Clients = append(p.Clients, ClientPlan{Mode: ModeFlood, Urgent: urgent, Group: 2, Requests: 22, Pause: tick})
				}})
				for _, r := range []*Report{quiet, flooded} {
					if len(r.Violations) > 0 {
						t.Fatal(r)
					}
				}
				if flooded.InTime*10 < quiet.InTime*8 {
					t.Errorf("seed %d: %d requests were answered without, %d with the flood, view %d\n%s", seed, quiet.InTime, flooded.InTime, flooded.View, flooded.Coverage)
				}
			})
		}
	}
}

// calmPlan is a cluster of four that orders some 200 requests a second, in
// batches of two, and three clients that want 90.
func calmPlan(p *Plan) {
	p.N, p.Liars, p.Faults, p.Fresh, p.Durable = 4, nil, nil, false, false
	p.Clocks = append(p.Clocks[:4:4], ClockPlan{})[:4]
	p.Interval, p.Window, p.Depth, p.Pipeline = 8, 32, 1, 1
	p.Limits.MaxBatch, p.Limits.MaxBatchBytes = 2, 2<<10
	p.WindowBytes = 1 << 20
	p.MaxPending, p.ClientWindow = 20_000, 64
	p.Timeout, p.MaxTimeout, p.SyncInterval, p.RetryFirst = 200, 6000, 50, 10
	p.Net = NetPlan{Delay: 2000, Jitter: 1000}
	p.Disk, p.Exec, p.Turn = 0, 500, 0
	p.Retry, p.End = 1_000_000, 6_000_000
	p.Clients = nil
	for range 3 {
		p.Clients = append(p.Clients, ClientPlan{Mode: ModeStream, Window: 20, Group: 2, Requests: 200, Pause: 50_000})
	}
}
