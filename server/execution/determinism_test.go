package execution

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine/kv"
)

// randomRun executes random batches and gives the states, and the digests of
// all blocks. curious is called between batches.
func randomRun(t *testing.T, curious func(l *lab)) (states []message.State, blocks []crypto.Digest) {
	rnd := rand.New(rand.NewPCG(9, 9))
	l := newLab(t, kv.New(), func(c *Config) { c.MaxClients = 4 })
	base := map[string]uint64{}
	for range 200 {
		var groups []crypto.GroupView
		for range rnd.IntN(5) {
			g := randomGroup(t, rnd, base)
			own := crypto.Group{Client: string(g.Client), Session: g.Session}
			var r crypto.Request
			for cur := g.Cursor(); cur.Next(&r); {
				r.Op = fmt.Appendf(nil, "%s k%d", []string{"put", "get", "delete"}[rnd.IntN(3)], rnd.IntN(50))
				if r.Op[0] == 'p' {
					r.Op = fmt.Appendf(r.Op, " %s", text(rnd.IntN(200)))
				}
				own.Requests = append(own.Requests, r)
			}
			groups = append(groups, view(t, &own))
		}
		x := l.next(groups...)
		x.Checkpoint = x.N%3 == 0
		out := l.Execute(x)
		if out.State != nil {
			states = append(states, *out.State)
		}
		for i := range out.Blocks {
			blocks = append(blocks, out.Blocks[i].Digest)
		}
		if curious != nil {
			curious(l)
		}
	}
	return states, blocks
}

func TestQuestionsAndTheCollectorChangeNoRoot(t *testing.T) {
	states, blocks := randomRun(t, nil)
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	rnd := rand.New(rand.NewPCG(1, 1))
	again, againBlocks := randomRun(t, func(l *lab) {
		for range 20 {
			name := string(rune('a' + rnd.IntN(6)))
			low, next := l.ClientInfo(name)
			l.Lookup(name, rnd.Uint64N(3), low+rnd.Uint64N(2+next-low))
		}
		l.Dump(rnd.Uint64N(l.lastN+1), rnd.IntN(1000))
		l.Log(rnd.Uint64N(l.lastN+1), rnd.IntN(5))
		if rnd.IntN(5) == 0 {
			l.store.Root()
			l.clients.root()
			l.store.Snapshot()
		}
	})
	if len(states) != len(again) || len(blocks) != len(againBlocks) {
		t.Fatalf("%d states and %d blocks, then %d and %d", len(states), len(blocks), len(again), len(againBlocks))
	}
	for i := range states {
		if states[i] != again[i] {
			t.Fatalf("%+v, then %+v", states[i], again[i])
		}
	}
	for i := range blocks {
		if blocks[i] != againBlocks[i] {
			t.Fatalf("block %d: %s, then %s", i, blocks[i], againBlocks[i])
		}
	}
}

func TestCheckpointsOfAnyIntervalAgree(t *testing.T) {
	often, seldom := newLab(t, kv.New(), nil), newLab(t, kv.New(), nil)
	for i := range uint64(60) {
		g := group(t, "a", 1, op{3 * i, fmt.Sprintf("put k%d %d", i%17, i)}, op{3*i + 1, fmt.Sprintf("delete k%d", i%5)})
		a := often.exec(g)
		x := seldom.next(g)
		x.Checkpoint = x.N%20 == 0
		if b := seldom.Execute(x); b.State != nil && *a.State != *b.State {
			t.Fatalf("batch %d: %+v and %+v", x.N, a.State, b.State)
		}
	}
	for _, n := range []uint64{40, 60} {
		if s := seldom.CheckpointState(n); s == nil || s.N != n {
			t.Fatalf("no state at %d: %+v", n, s)
		}
	}
	if seldom.CheckpointState(20) != nil || seldom.CheckpointState(0) != nil {
		t.Fatal("a state that is no longer held")
	}
	for _, c := range seldom.checkpoints {
		if got := c.snapshot.Root(seldom.cfg.Cluster); got != c.state.AppRoot {
			t.Fatalf("snapshot at %d has root %s, its state says %s", c.state.N, got, c.state.AppRoot)
		}
	}
}
