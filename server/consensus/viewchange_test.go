package consensus

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// watcher checks what correct replicas send: never two votes for one number in
// one view (I5), none below a view that was asked for (I6), never two
// proposals for one number (I27), and that equal views start equally (I10).
type watcher struct {
	t        testing.TB
	prepares map[vote]crypto.Digest
	commits  map[vote]crypto.Digest
	proposed map[vote]crypto.Digest
	asked    map[int]uint64
	newViews map[uint64]crypto.Digest
}

type vote struct {
	from    int
	view, n uint64
}

func newWatcher(t testing.TB) *watcher {
	return &watcher{
		t: t, prepares: map[vote]crypto.Digest{}, commits: map[vote]crypto.Digest{}, proposed: map[vote]crypto.Digest{},
		asked: map[int]uint64{}, newViews: map[uint64]crypto.Digest{},
	}
}

func (w *watcher) sent(from int, m message.Message) {
	switch m := m.(type) {
	case *message.PrePrepare:
		w.once("I27", w.proposed, vote{from, m.View, m.Batch.Header.N}, m.Batch.Digest)
	case *message.Prepare:
		w.once("I5", w.prepares, vote{from, m.View, m.N}, m.Digest)
	case *message.Commit:
		w.once("I5", w.commits, vote{from, m.View, m.N}, m.Digest)
	case *message.ViewChange:
		if int(m.Replica) == from {
			w.asked[from] = max(w.asked[from], m.NewView)
		}
	case *message.NewView:
		if d, ok := w.newViews[m.View]; ok && d != m.DecisionDigest {
			w.t.Fatalf("I10: two new views %d", m.View)
		}
		w.newViews[m.View] = m.DecisionDigest
	}
}

func (w *watcher) once(rule string, said map[vote]crypto.Digest, v vote, d crypto.Digest) {
	if v.view < w.asked[v.from] {
		w.t.Fatalf("I6: replica %d speaks in view %d at %d, it asked for view %d", v.from, v.view, v.n, w.asked[v.from])
	}
	if old, ok := said[v]; ok && old != d {
		w.t.Fatalf("%s: replica %d said %s and %s at %d in view %d", rule, v.from, old, d, v.n, v.view)
	}
	said[v] = d
}

// settle delivers and ticks until f holds.
func (c *cluster) settle(what string, f func() bool) {
	c.t.Helper()
	for step := 0; !f(); step++ {
		if step > 300_000 {
			c.dump()
			c.t.Fatalf("%s: not reached", what)
		}
		if len(c.queue) > 0 {
			c.deliver(0)
		} else {
			c.ticks(1)
		}
	}
	c.checkAgreement()
}

func (c *cluster) dump() {
	for i, nd := range c.nodes {
		c.t.Logf("replica %d: stopped=%t %s view=%d asked=%d h=%d exec=%d committed=%d pending=%d backoff=%d", i, nd.stopped, nd.status, nd.view, nd.views.asked, nd.h, nd.lastExec, nd.lastCommitted, nd.pend.requests, nd.views.backoff)
	}
}

// do lets a replica act as if an input had made it.
func (n *node) do(f func(r *Replica)) {
	n.Replica.out = &n.out
	f(n.Replica)
	n.Replica.out = nil
	n.flush()
}

// live reports whether all replicas that run have executed so many requests.
func (c *cluster) live(requests int) bool {
	for _, n := range c.nodes {
		if !n.stopped && len(n.done) < requests {
			return false
		}
	}
	return true
}

func TestSection7_AStoppedPrimaryIsReplaced(t *testing.T) {
	for _, n := range []int{4, 5, 7, 10} {
		c := newCluster(t, n, nil)
		c.watch = newWatcher(t)
		c.request(1, Source{}, "a", 1)
		c.request(0, Source{}, "a", 1)
		c.settle("first request", func() bool { return c.live(1) })
		for f := range MaxFaulty(n) { // one primary after the other
			c.nodes[f].stopped = true
			for i := range c.nodes {
				c.request(i, Source{Retry: true}, "a", uint64(2+f))
			}
			c.settle(fmt.Sprint("request after primary ", f), func() bool { return c.live(2 + f) })
		}
		for _, nd := range c.nodes[MaxFaulty(n):] {
			if nd.view != uint64(MaxFaulty(n)) || nd.status != message.Normal {
				t.Fatalf("n %d: view %d, %s", n, nd.view, nd.status)
			}
		}
	}
}

func TestSection7_2_ADrainingPrimaryHandsOver(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.watch = newWatcher(t)
	c.request(0, Source{}, "a", 1)
	c.nodes[0].step(Input{Kind: InDrain})
	c.nodes[0].flush()
	before := c.tick
	c.settle("view 1", func() bool { return c.nodes[0].view == 1 && c.nodes[3].view == 1 && c.live(1) })
	if c.tick-before > 100 {
		t.Fatalf("it took %d ticks", c.tick-before)
	}
	for _, nd := range c.nodes {
		if nd.views.backoff != 0 {
			t.Fatal("handing over lengthened a timeout")
		}
	}
}

func TestSection7_2_OneReplicaAloneMovesNobody(t *testing.T) {
	c := newCluster(t, 4, nil)
	c.nodes[3].do(func(r *Replica) { r.changeView(1, NoProgress) })
	for i := range uint64(20) {
		c.request(0, Source{}, "a", i)
		c.request(1, Source{}, "a", i)
	}
	c.settle("requests", func() bool { return c.live(20) })
	if c.nodes[0].view != 0 || c.nodes[3].status != message.Changing {
		t.Fatalf("view %d, replica 3 is %s", c.nodes[0].view, c.nodes[3].status)
	}
}

// TestSection7_RandomViewChanges orders requests while messages are lost,
// repeated and reordered, and replicas, primaries first, are cut off for a
// while, at times so many that no quorum is left.
func TestSection7_RandomViewChanges(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 8
	}
	list := []int{
		781, 1157, // a replica that gave its view up alone must pass its requests to all
		1052, // the null batch has no body to fetch
	}
	for seed := range seeds {
		list = append(list, seed)
	}
	for _, seed := range list {
		n := []int{4, 5, 7, 10}[seed%4]
		t.Run(fmt.Sprintf("seed=%d,n=%d", seed, n), func(t *testing.T) { runViewChanges(t, uint64(seed), n) })
	}
}

func runViewChanges(t *testing.T, seed uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	c := newCluster(t, n, func(c *Config) { c.Depth = 1 + int(seed%3) })
	c.watch = newWatcher(t)
	const requests = 60
	loss := []float64{0, 0.05, 0.2}[rng.IntN(3)]
	sent, views := 0, uint64(0)
	cut, until := map[int]bool{}, 0
	for step := 0; ; step++ {
		if step > 400_000 {
			c.dump()
			t.Fatalf("no end after %d steps, loss %.2f", step, loss)
		}
		if step >= until {
			clear(cut)
			until = step + rng.IntN(3000)
			if step < 60_000 && rng.IntN(2) == 0 {
				cut[int(c.nodes[rng.IntN(n)].view)%n] = true // most often a primary
				for range rng.IntN(3) {                      // and others, perhaps too many
					cut[rng.IntN(n)] = true
				}
			}
		}
		if sent < requests && rng.IntN(40) == 0 {
			to := rng.IntN(n)
			c.request(to, Source{Alone: true, Retry: true}, fmt.Sprint("c", sent%3), uint64(sent/3))
			sent++
		}
		if len(c.queue) == 0 || rng.IntN(10*n) == 0 {
			c.ticks(1)
		}
		c.deliverOne(rng, func(e envelope) bool { return cut[e.from] || cut[e.to] || rng.Float64() < loss })
		c.checkSome(step)
		if sent == requests && c.live(requests) {
			break
		}
	}
	c.checkAgreement()
	for _, nd := range c.nodes {
		views = max(views, nd.view)
	}
	t.Logf("view %d after %d ticks, loss %.2f", views, c.tick, loss)
}

func TestSection8_8_ALostVoteCostsLittle(t *testing.T) {
	for _, kind := range []string{"pre-prepare", "prepare", "commit"} {
		c := newCluster(t, 4, nil)
		c.request(0, Source{}, "a", 1)
		for i := 0; i < len(c.queue); i++ { // nobody but the sender has it
			if strings.HasPrefix(Describe(c.queue[i].msg), kind+" ") {
				c.queue = append(c.queue[:i], c.queue[i+1:]...)
				i--
			}
			if i == len(c.queue)-1 && kind != "pre-prepare" {
				c.deliver(0)
				i = -1
			}
		}
		before := c.tick
		c.settle(kind, func() bool { return c.live(1) })
		if late := c.tick - before; late > 2*c.nodes[0].Replica.c.RetryFirst {
			t.Errorf("without any %s: %d ticks", kind, late)
		}
	}
}
