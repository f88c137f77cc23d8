package pbftclient

import (
	"context"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

// settled is a client of n replicas that has no connections, and whose sessions
// are open.
func settled(t testing.TB, n int) (*Client, *Session) {
	t.Helper()
	o := Options{Replicas: make([]string, n)}
	for i := range o.Replicas {
		o.Replicas[i] = string(rune('a' + i))
	}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	c := &Client{o: o, f: (n - 1) / 3, log: o.Logger, byID: map[string]*Session{}, stirred: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(t.Context())
	t.Cleanup(c.cancel)
	for i, addr := range o.Replicas {
		k := &conn{c: c, index: i, addr: addr, wake: make(chan struct{}, 1), up: true, cancel: func() {}}
		c.conns = append(c.conns, k)
	}
	s := c.session("me")
	c.settle(terms{window: 1024, group: 256, groupBytes: 256 << 10, operation: 1 << 20})
	return c, s
}

// call makes a number outstanding.
func (s *Session) testCall(t testing.TB, number uint64) *Call {
	t.Helper()
	call := &Call{Done: func(*Call) {}}
	if ended := s.start(t.Context(), &number, []*Call{call}); len(ended) > 0 {
		t.Fatal(ended[0].Err)
	}
	return call
}

// full is a block of one result.
func full(n, number uint64, value string) wire.Block {
	return wire.Block{N: n, Results: []crypto.Result{{N: n, Number: number, Status: crypto.StatusOK, Value: []byte(value)}}}
}

// say has replica i send a block, as a digest if it is not the source.
func (c *Client) say(t testing.TB, i int, b wire.Block, inFull bool) int {
	t.Helper()
	if !inFull {
		var list []byte
		for j := range b.Results {
			list = crypto.AppendResult(list, c.first.session, &b.Results[j])
		}
		b.Digest, b.Results = c.cluster.BlockDigest(list), nil
	}
	k := c.conns[i]
	in := &wire.SessionResponse{Blocks: []wire.Block{b}}
	k.digest(in)
	ended, err := k.count(in)
	if err != nil {
		t.Fatal(err)
	}
	return len(ended)
}

func TestBlocksCountOncePerReplica(t *testing.T) {
	for n, f := range map[int]int{1: 0, 4: 1, 5: 1, 7: 2, 10: 3} {
		c, s := settled(t, n)
		c.first = s
		s.testCall(t, 7)
		for range 3 {
			if f > 0 && c.say(t, 0, full(5, 7, "x"), true) > 0 {
				t.Errorf("n = %d: one replica is believed", n)
			}
		}
		for i := 1; i < f; i++ {
			if c.say(t, i, full(5, 7, "x"), false) > 0 {
				t.Errorf("n = %d: %d replicas are believed", n, i+1)
			}
		}
		if c.say(t, f, full(5, 7, "x"), f == 0) != 1 {
			t.Errorf("n = %d: %d replicas are not believed", n, f+1)
		}
		for i := range n {
			c.say(t, i, full(5, 7, "x"), false)
		}
		if s.tally.starved != 0 || c.conns[0].held != 0 {
			t.Errorf("n = %d: late digests starve batch %d, %d bytes are held", n, s.tally.starved, c.conns[0].held)
		}
	}
}

func TestAReplicaThatChangesItsMindHasOneVote(t *testing.T) {
	c, s := settled(t, 4)
	c.first = s
	s.testCall(t, 7)
	c.say(t, 0, full(5, 7, "x"), true)
	c.say(t, 0, full(5, 7, "y"), true)
	if c.say(t, 1, full(5, 7, "x"), false) != 0 {
		t.Error("a word that was taken back counts")
	}
	if s.tally.starved != 0 {
		t.Error("one digest starves")
	}
	if c.say(t, 2, full(5, 7, "x"), false) != 0 || s.tally.starved != 5 {
		t.Errorf("digests of f+1 without results: starved %d", s.tally.starved)
	}
	if c.say(t, 0, full(5, 7, "x"), true) != 1 || s.tally.starved != 0 {
		t.Error("the results came, and are not believed")
	}
}

func TestHeldResultsAreBounded(t *testing.T) {
	c, s := settled(t, 4)
	c.first = s
	big := string(make([]byte, 4<<20))
	for n := range uint64(3 * recent) {
		s.testCall(t, n)
		c.say(t, 3, full(n+1, n, big), true)
		if held := c.conns[3].held; held > maxHeld {
			t.Fatalf("%d bytes are held, the most allowed is %d", held, maxHeld)
		}
	}
	if c.conns[3].held < maxHeld/2 {
		t.Errorf("%d bytes are held: the test proves nothing", c.conns[3].held)
	}
	for n := range uint64(3 * recent) {
		c.say(t, 3, full(n+1, n, "small"), true)
	}
	if held := c.conns[3].held; held > recent*200 {
		t.Errorf("%d bytes are still held", held)
	}
}

func TestBlocksOfNoBatchOrNoSessionCountForNothing(t *testing.T) {
	c, s := settled(t, 1)
	c.first = s
	s.testCall(t, 0)
	if c.say(t, 0, full(0, 0, "x"), true) != 0 {
		t.Error("a block of batch 0 is believed")
	}
	stray := full(1, 0, "x")
	stray.Handle = 77
	if c.say(t, 0, stray, true) != 0 {
		t.Error("a block of a session that is not open is believed")
	}
	if c.say(t, 0, wire.Block{N: 1}, true) != 0 {
		t.Error("a block that says nothing is believed")
	}
	if c.say(t, 0, full(1, 0, "x"), true) != 1 {
		t.Error("the right block is not believed")
	}
}

func TestViewsMoveByMoreThanFReplicas(t *testing.T) {
	c, _ := settled(t, 7)
	for i, step := range []struct {
		replica    int
		view, want uint64
	}{{0, 9, 0}, {1, 1 << 60, 0}, {1, 3, 0}, {2, 4, 4}, {3, 9, 9}, {4, 9, 9}, {5, 2, 9}} {
		c.learn(c.conns[step.replica], step.view)
		if c.view != step.want {
			t.Fatalf("step %d: view %d, want %d", i, c.view, step.want)
		}
	}
}

// The hot path allocates by message, not by request.
func TestRequestsCostNoAllocations(t *testing.T) {
	const batch = 256
	c, s := settled(t, 4)
	c.first = s
	calls := make([]*Call, batch)
	for i := range calls {
		calls[i] = &Call{Op: make([]byte, 64), Done: func(*Call) {}}
	}
	results := make([]crypto.Result, batch)
	n := uint64(0)
	perBatch := testing.AllocsPerRun(50, func() {
		n++
		s.Start(t.Context(), calls...)
		c.conns[0].gather()
		for i := range results {
			results[i] = crypto.Result{N: n, Number: calls[i].Number, Status: crypto.StatusOK, Value: calls[i].Op[:8]}
		}
		b := wire.Block{N: n, Results: results}
		c.say(t, 1, b, false)
		if c.say(t, 0, b, true) != batch {
			t.Fatal("the block does not answer all")
		}
	})
	if perBatch > batch/4 {
		t.Errorf("%v allocations for %d requests", perBatch, batch)
	}
}

func BenchmarkRequest(b *testing.B) {
	const batch = 256
	c, s := settled(b, 4)
	c.first = s
	calls := make([]*Call, batch)
	for i := range calls {
		calls[i] = &Call{Op: make([]byte, 64), Done: func(*Call) {}}
	}
	results := make([]crypto.Result, batch)
	for b.Loop() {
		s.Start(b.Context(), calls...)
		c.conns[0].gather()
		n := s.next
		for i := range results {
			results[i] = crypto.Result{N: n, Number: calls[i].Number, Status: crypto.StatusOK, Value: calls[i].Op[:8]}
		}
		block := wire.Block{N: n, Results: results}
		c.say(b, 1, block, false)
		c.say(b, 0, block, true)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/request")
}
