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
			groups = append(groups, randomCommands(t, rnd, base))
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
			l.Advance()
			if s := l.Snapshot(l.checkpointN); s != nil {
				s.Root()
			}
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
		if got := c.snapshot.Root(); got != c.state.AppRoot {
			t.Fatalf("snapshot at %d has root %s, its state says %s", c.state.N, got, c.state.AppRoot)
		}
	}
}

// A state that is digested in pieces, while batches change what it holds, has
// the digest of one that is digested at once.
func TestACheckpointIsOfTheStateWhenItBegan(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		edit := func(c *Config) { c.MaxClients = 4 }
		atOnce, slow := newLab(t, kv.New(), edit), newLab(t, kv.New(), edit)
		want, got := map[uint64]*message.State{}, map[uint64]*message.State{}
		note := func(s *message.State) {
			if s != nil {
				got[s.N] = s
			}
		}
		base := map[string]uint64{}
		for range 100 {
			var groups []crypto.GroupView
			for range rnd.IntN(4) {
				groups = append(groups, randomCommands(t, rnd, base))
			}
			x := atOnce.next(groups...)
			x.Checkpoint = x.N%10 == 0
			if x.Checkpoint {
				want[x.N] = atOnce.Execute(x).State
			} else {
				atOnce.Execute(x)
			}
			note(slow.Engine.Execute(x).State)
			for range rnd.IntN(3) {
				note(slow.advance(1 + rnd.IntN(40)))
			}
		}
		note(slow.finishCheckpoint())
		for n, s := range want {
			if got[n] == nil || *got[n] != *s {
				t.Fatalf("seed %d: checkpoint %d is %+v, digested at once %+v", seed, n, got[n], s)
			}
		}
	}
}

// randomCommands is a random group of commands on few keys.
func randomCommands(t *testing.T, rnd *rand.Rand, base map[string]uint64) crypto.GroupView {
	g := randomGroup(t, rnd, base)
	own := crypto.Group{Client: string(g.Client), Session: g.Session}
	var r crypto.Request
	for cur := g.Cursor(); cur.Next(&r); {
		r.Op = fmt.Appendf(nil, "%s k%d", []string{"put", "put", "get", "delete"}[rnd.IntN(4)], rnd.IntN(100))
		if r.Op[0] == 'p' {
			r.Op = fmt.Appendf(r.Op, " %s", text(rnd.IntN(2*maxInline)))
		}
		own.Requests = append(own.Requests, r)
	}
	return view(t, &own)
}
