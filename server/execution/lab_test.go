package execution

import (
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// echo is an application that answers with the operation.
type echo struct{ batches []statemachine.Batch }

func (a *echo) Apply(b *statemachine.Batch, _ statemachine.State, r *statemachine.Results) {
	kept := *b
	kept.Ops = nil
	for _, op := range b.Ops {
		kept.Ops = append(kept.Ops, statemachine.Op{Client: op.Client, Number: op.Number, Data: append([]byte(nil), op.Data...)})
		r.Add(op.Data)
	}
	a.batches = append(a.batches, kept)
}

// lab is an engine under test that numbers its batches itself.
type lab struct {
	*Engine
	t      testing.TB
	timeUS int64
}

func newLab(t testing.TB, sm statemachine.StateMachine, edit func(*Config)) *lab {
	t.Helper()
	c := Config{
		Cluster: crypto.ClusterID{1}, ClientWindow: 128, MaxCachedResult: 100, ReplyBytes: 1000, MaxClients: 100,
		ConfigDigest: crypto.Digest{2}, HistoryBytes: 1 << 20, ResultCache: 1 << 20,
	}
	if edit != nil {
		edit(&c)
	}
	e, err := New(c, sm)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{Engine: e, t: t, timeUS: 1_000_000}
}

// op is one request of a test.
type op struct {
	number uint64
	data   string
}

func ops(numbers ...uint64) (list []op) {
	for _, x := range numbers {
		list = append(list, op{x, "r"})
	}
	return list
}

func group(t testing.TB, client string, session uint64, list ...op) crypto.GroupView {
	t.Helper()
	g := crypto.Group{Client: client, Session: session}
	for _, o := range list {
		g.Requests = append(g.Requests, crypto.Request{Number: o.number, Kind: crypto.KindOperation, Op: []byte(o.data), ClientTime: crypto.NoClientTime})
	}
	return view(t, &g)
}

func view(t testing.TB, g *crypto.Group) crypto.GroupView {
	t.Helper()
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Execute executes a batch, and completes the checkpoint that it asks for.
func (l *lab) Execute(x *consensus.Exec) *Output {
	if last := len(l.checkpoints) - 1; last >= 0 {
		x.Stable = l.checkpoints[last].state.N
	}
	out := l.Engine.Execute(x)
	if x.Checkpoint {
		out.State = l.finishCheckpoint()
	}
	return out
}

// ran tells of each request of the last batch whether it was executed then.
func (l *lab) ran() (list []bool) {
	for _, o := range l.history.entries[len(l.history.entries)-1].outcomes {
		list = append(list, o.executed)
	}
	return list
}

// next is the batch of the given groups behind the last one.
func (l *lab) next(groups ...crypto.GroupView) *consensus.Exec {
	l.timeUS += 10
	n := l.lastN + 1
	b := message.NewBatch(l.cfg.Cluster, message.Header{Epoch: l.cfg.Epoch, N: n, WallUS: l.timeUS}, groups)
	return &consensus.Exec{Epoch: l.cfg.Epoch, N: n, TimeUS: l.timeUS, Digest: b.Digest, Batch: b, Checkpoint: true}
}

func (l *lab) exec(groups ...crypto.GroupView) *Output { return l.Execute(l.next(groups...)) }

// one executes one request in a batch of its own.
func (l *lab) one(client string, session, number uint64, data string) crypto.Result {
	l.t.Helper()
	x := l.next(group(l.t, client, session, op{number, data}))
	x.Checkpoint = false
	out := l.Execute(x)
	if len(out.Blocks) != 1 || len(out.Blocks[0].Results) != 1 {
		l.t.Fatalf("%d blocks", len(out.Blocks))
	}
	return out.Blocks[0].Results[0]
}

// wantOutcome compares all that a client compares, and the value.
func wantOutcome(t testing.TB, r crypto.Result, status crypto.Status, n uint64, value string) {
	t.Helper()
	if r.Status != status || r.N != n || r.Tombstone || string(r.Value) != value {
		t.Fatalf("outcome of %d: %s n %d tombstone %v %q, want %s n %d %q", r.Number, r.Status, r.N, r.Tombstone, r.Value, status, n, value)
	}
}

func wantTombstone(t testing.TB, c crypto.ClusterID, r crypto.Result, n uint64, value string) {
	t.Helper()
	if r.Status != crypto.StatusOK || r.N != n || !r.Tombstone || r.Value != nil || r.Size != uint64(len(value)) || r.Digest != c.ValueDigest([]byte(value)) {
		t.Fatalf("outcome of %d: %+v, want a tombstone of n %d and %d bytes", r.Number, r, n, len(value))
	}
}

// text is a result of the given size.
func text(size int) string { return strings.Repeat("v", size) }
