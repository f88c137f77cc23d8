package consensus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// restart gives replica i a new life with its log, and the state that it had
// after batch at.
func (c *cluster) restart(i int, at uint64, edit func(*Config)) {
	c.t.Helper()
	old := c.nodes[i]
	cfg := testConfig(len(c.nodes), i)
	if edit != nil {
		edit(&cfg)
	}
	nd := &node{c: c, log: old.log, durable: 1}
	e := nd.restoreFrom(old, at, cfg)
	y, err := NewRecovery(cfg, testSigner(c.id, i), Restored{N: at, LastTimeUS: nd.lastTime(), Windows: e.Windows})
	if err != nil {
		c.t.Fatal(err)
	}
	for k := range old.log {
		if err := y.Take(&old.log[k]); err != nil {
			c.t.Fatalf("replica %d, record %d: %v", i, k, err)
		}
	}
	nd.Replica = y.Replica()
	c.nodes[i] = nd
	nd.step(Input{Kind: InTick, Tick: c.tick, WallUS: c.wallUS})
	nd.step(Input{Kind: InStart})
	nd.flush()
	for _, o := range c.nodes {
		if o != nd && !o.stopped {
			o.step(Input{Kind: InConnected, From: message.ReplicaID(i)})
			o.flush()
			nd.step(Input{Kind: InConnected, From: message.ReplicaID(slices.Index(c.nodes, o))})
			nd.flush()
		}
	}
}

// startAll begins the life of all replicas.
func (c *cluster) startAll() {
	for _, nd := range c.nodes {
		nd.step(Input{Kind: InStart})
		nd.flush()
	}
}

// drain delivers all messages, and what follows from them.
func (c *cluster) drain() {
	for len(c.queue) > 0 {
		c.deliver(0)
	}
}

func (n *node) restoreFrom(old *node, at uint64, cfg Config) *Executed {
	n.Replica = &Replica{c: cfg}
	return n.replay(old.executed[:at])
}

func (n *node) lastTime() int64 {
	if len(n.executed) == 0 {
		return 0
	}
	return n.executed[len(n.executed)-1].TimeUS
}

// TestSection5_5_RandomRestarts crashes replicas, all of them at once too,
// between any two batches of records, and starts them again from what was
// durable.
func TestSection5_5_RandomRestarts(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		n := []int{4, 1, 4, 7}[seed%4]
		t.Run(fmt.Sprintf("seed=%d,n=%d", seed, n), func(t *testing.T) { runRestarts(t, uint64(seed), n) })
	}
}

func runRestarts(t *testing.T, seed uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, 5))
	c := newCluster(t, n, func(c *Config) { c.Depth = 1 + int(seed%3) })
	c.startAll()
	const requests = 90
	loss := []float64{0, 0.05, 0.1}[rng.IntN(3)]
	sent := 0
	for step := 0; ; step++ {
		if step > 400_000 {
			for i, nd := range c.nodes {
				t.Logf("replica %d: %s v%d h=%d exec=%d committed=%d pending=%d", i, nd.status, nd.view, nd.h, nd.lastExec, nd.lastCommitted, nd.pend.requests)
			}
			t.Fatalf("no end after %d steps, loss %.2f", step, loss)
		}
		if rng.IntN(4) == 0 && (sent < requests || rng.IntN(200) == 0) { // who forgot a request hears of it again
			x := sent % requests
			c.request(rng.IntN(n), Source{Alone: true, Retry: sent >= requests}, fmt.Sprint("c", x%3), uint64(x/3))
			sent++
		}
		if step < 6000 && rng.IntN(400) == 0 {
			c.crash(rng, loss)
		}
		if len(c.queue) == 0 || rng.IntN(20*n) == 0 {
			c.ticks(1)
		}
		c.deliverOne(rng, func(envelope) bool { return rng.Float64() < loss })
		c.startStopped(rng)
		c.checkSome(step)
		if step > 6000 && c.allDone(requests) {
			break
		}
	}
	c.checkAgreement()
}

// crash stops some replicas, now or before one of their next records.
func (c *cluster) crash(rng *rand.Rand, all float64) {
	for _, nd := range c.nodes {
		switch {
		case nd.stopped || all == 0 && rng.IntN(2) == 0:
		case rng.IntN(2) == 0:
			nd.stopped = true
		default:
			nd.fuse = 1 + rng.IntN(5)
		}
	}
}

// startStopped starts a replica that crashed, from a checkpoint that it had
// saved: it may have executed more.
func (c *cluster) startStopped(rng *rand.Rand) {
	for i, nd := range c.nodes {
		if !nd.stopped || rng.IntN(60) != 0 {
			continue
		}
		k := uint64(4)
		at := uint64(len(nd.executed)) / k * k
		at -= min(at, k*rng.Uint64N(3))
		c.restart(i, at, func(cfg *Config) { cfg.Depth = nd.Replica.c.Depth })
	}
}

// TestSection5_5_APrimaryThatProposedAbdicates (I27): it does not know what it
// proposed last.
func TestSection5_5_APrimaryThatProposedAbdicates(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.startAll()
	c.request(0, Source{}, "a", 1)
	c.drain()
	c.restart(0, 0, nil)
	c.drain()
	c.ticks(30)
	c.drain()
	for i, nd := range c.nodes {
		if nd.view != 1 || !nd.normal() || nd.lastExec < 1 {
			t.Errorf("replica %d: view %d, %s, executed %d; want normal in view 1", i, nd.view, nd.status, nd.lastExec)
		}
	}
}

// TestSection5_5_TheOwnLogComesBeforeOthersStates: a replica whose start took
// long executes what its log has, and fetches nothing.
func TestSection5_5_TheOwnLogComesBeforeOthersStates(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.startAll()
	for k := range uint64(30) { // more than a window above the state
		c.request(0, Source{}, "a", k)
		c.drain()
	}
	c.tick += 100_000
	c.restart(1, 4, nil)
	nd := c.nodes[1]
	if nd.h < 20 || nd.lastExec != 30 || nd.fetching != nil {
		t.Errorf("h=%d, executed %d, fetching %v; want all 30 from the own log", nd.h, nd.lastExec, nd.fetching)
	}
}

// TestSection5_5_ViewChangesThatCameMeanwhileCount: the next primary hears the
// others' view changes before it takes part, and leads as soon as it does; no
// timer has to run out.
func TestSection5_5_ViewChangesThatCameMeanwhileCount(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.startAll()
	c.request(0, Source{}, "a", 1)
	c.drain()
	c.restart(1, 0, nil)
	var others []envelope // what the primary of view 1 asks, and is told, comes last
	for _, e := range c.queue {
		if e.from != 1 && e.to != 1 {
			others = append(others, e)
		}
	}
	asked := slices.DeleteFunc(c.queue, func(e envelope) bool { return e.from != 1 && e.to != 1 })
	c.queue = others
	c.nodes[0].step(Input{Kind: InDrain})
	c.nodes[0].flush()
	c.drain()
	if nd := c.nodes[1]; nd.status != message.Starting || nd.heldFor(1) != 3 {
		t.Fatalf("replica 1 is %s and holds %d view changes", nd.status, nd.heldFor(1))
	}
	c.queue = append(c.queue, asked...)
	c.drain()
	for i, nd := range c.nodes {
		if nd.view != 1 || !nd.normal() {
			t.Errorf("replica %d is %s in view %d, want normal in view 1", i, nd.status, nd.view)
		}
	}
}

// TestSection5_7_VoteEcho: f+1 peers that heard votes which the disk lacks make
// a learner; one of them, which may lie, does not.
func TestSection5_7_VoteEcho(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.startAll()
	c.request(0, Source{}, "a", 1)
	c.drain()
	lost := c.nodes[2]
	lost.log = slices.DeleteFunc(lost.log, func(r Record) bool { return r.Kind == RecAccept || r.Kind == RecPrepared })
	lost.executed = nil
	c.restart(2, 0, nil)
	c.drain()
	if got := c.nodes[2].status; got != message.Learner {
		t.Errorf("a replica that lost its synced tail is %s, want learner", got)
	}
	c.restart(2, 0, nil) // nobody has to say it again
	if got := c.nodes[2].status; got != message.Learner {
		t.Errorf("started again it is %s, want learner", got)
	}

	c.restart(3, 0, nil)
	c.queue = nil
	lie := &message.Status{View: 0, Status: message.Normal, HighestVote: message.PQ{N: 9, View: 3, Digest: crypto.Digest{1}}, HighestViewChange: 7}
	nd := c.nodes[3]
	for range 3 {
		nd.step(Input{Kind: InMessage, From: 1, Msg: lie})
		nd.flush()
	}
	if nd.status == message.Learner {
		t.Error("one liar retired a replica")
	}
}

// TestSection5_7_ADamagedLogIsRefused: what records cannot say of one replica is
// an error, not a guess.
func TestSection5_7_ADamagedLogIsRefused(t *testing.T) {
	cfg := testConfig(4, 1)
	d := func(b byte) crypto.Digest { return crypto.Digest{b} }
	for name, tt := range map[string]struct {
		log  []Record
		want string
	}{
		"beyond the window": {[]Record{{Kind: RecAccept, N: cfg.Window + 1, Digest: d(1)}}, "window"},
		"two commits":       {[]Record{{Kind: RecCommitted, N: 1, Digest: d(1)}, {Kind: RecCommitted, N: 1, Digest: d(2)}}, "committed as"},
		"unknown kind":      {[]Record{{Kind: 99}}, "kind 99"},
		"unknown replica":   {[]Record{{Kind: RecSeen, Replica: 4}}, "replica 4"},
		"no view change":    {[]Record{{Kind: RecViewChange, View: 1, Msg: &message.NewView{}}}, "view change"},
		"no new view":       {[]Record{{Kind: RecNewView, View: 1, Msg: &message.ViewChange{}}}, "new view"},
		"no checkpoint":     {[]Record{{Kind: RecCheckpoint, N: 4, Msg: &message.Checkpoint{N: 8}}}, "checkpoint"},
	} {
		y, err := NewRecovery(cfg, testSigner(crypto.ClusterID{1}, 1), Restored{})
		for i := range tt.log {
			if err == nil {
				err = y.Take(&tt.log[i])
			}
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}
