package guard

import (
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine/kv"
)

// executePath executes batches of puts on keys that are there, and digests the
// state at every checkpoint.
type executePath struct {
	tb     testing.TB
	engine *execution.Engine
	made   uint64 // batches
	execs  []consensus.Exec
	states int // digested
}

func newExecutePath(tb testing.TB) path {
	e, err := execution.New(execution.Config{
		Cluster: cluster, ClientWindow: clientWindow, MaxCachedResult: 4 << 10, ReplyBytes: 64 << 10, MaxClients: 10_000,
		// Small, so that the steady state, in which what is new takes the
		// place of what is old, begins soon.
		HistoryBytes: 4 << 20, ResultCache: 1 << 20,
	}, kv.New())
	if err != nil {
		tb.Fatal(err)
	}
	return &executePath{tb: tb, engine: e}
}

func (p *executePath) prepare(batches int) {
	p.execs = p.execs[:0]
	for range batches {
		list := groups(p.tb, p.made)
		p.made++
		b := message.NewBatch(cluster, message.Header{N: p.made, WallUS: int64(p.made)}, list)
		p.execs = append(p.execs, consensus.Exec{
			N: p.made, TimeUS: int64(p.made), Digest: b.Digest, Batch: b, Checkpoint: p.made%interval == 0, Answer: true,
			Stable: (max(p.made, interval/2) - interval/2) / interval * interval,
		})
	}
}

func (p *executePath) handle() {
	x := &p.execs[0]
	out := p.engine.Execute(x)
	p.check(x, out)
	if out.State != nil {
		p.states++
	}
	for p.engine.Underway() {
		if p.engine.Advance() != nil {
			p.states++
		}
	}
	if want := int(x.N / interval); p.states != want {
		p.tb.Fatalf("%d checkpoints after batch %d, want %d", p.states, x.N, want)
	}
	*x = consensus.Exec{}
	p.execs = p.execs[1:]
}

// check looks at each block's last result.
func (p *executePath) check(x *consensus.Exec, out *execution.Output) {
	if out.Executed.N != x.N || len(out.Blocks) != clients {
		p.tb.Fatalf("batch %d gave %d blocks as batch %d, want %d", x.N, len(out.Blocks), out.Executed.N, clients)
	}
	for i := range out.Blocks {
		results := out.Blocks[i].Results
		if r := &results[len(results)-1]; len(results) != groupSize || r.Status != crypto.StatusOK || string(r.Value) != "OK" {
			p.tb.Fatalf("batch %d, client %s: %d results, the last one of status %d: %q", x.N, out.Blocks[i].Client, len(results), r.Status, r.Value)
		}
	}
}
