package consensus

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// cluster runs replicas against each other in one goroutine. Every choice
// comes from the test or from a seeded generator.
type cluster struct {
	t      testing.TB
	id     crypto.ClusterID
	nodes  []*node
	queue  []envelope // messages on their way
	tick   uint64
	wallUS int64
	trace  func(format string, args ...any)
	manual bool // durable and executed are stepped by the test
	watch  *watcher
}

// node is one replica with the simplest host: memory that never fails, and an
// application whose state is the list of batches.
type node struct {
	*Replica
	c        *cluster
	out      Effects
	held     []Send // wait for durable
	liveGen  uint64
	durable  PersistID
	executed []Exec
	done     map[string]int // executions by client and number, duplicates left out
	low      map[string]*fakeWindow
	stopped  bool
	resends  []Resend
	admitted []Admitted
	events   []Event
	halted   *Halt
	fetching *message.Certificate // state to install
	log      []Record             // durable
	fuse     int                  // batches of records until it crashes before one; 0: it does not
}

type fakeWindow struct {
	low  uint64
	bits []uint64
}

type envelope struct {
	from, to int
	msg      message.Message
}

func testConfig(n, self int) Config {
	return Config{
		Cluster: crypto.ClusterID{1}, Self: message.ReplicaID(self), Incarnation: 1, N: n,
		Interval: 4, Window: 16, Limits: message.Limits{MaxBatch: 100, MaxBatchBytes: 1 << 16},
		WindowBytes: 1 << 22, ClientWindow: 64, Pipeline: 8, Depth: 1,
		MaxPending: 1000, MaxPendingBytes: 1 << 20, ClientPendingBytes: 1 << 18,
		MaxDriftUS: 5e6, Timeout: 200, MaxTimeout: 6000, SyncInterval: 50, RetryFirst: 10, StatusBudget: 1 << 20,
	}
}

func testSigner(c crypto.ClusterID, i int) SignFunc {
	s := crypto.DevelopmentSigner(c, i)
	return func(tag crypto.Tag, b []byte) [crypto.SignatureSize]byte { return s.Sign(c, tag, b) }
}

func newCluster(t testing.TB, n int, edit func(*Config)) *cluster {
	c := &cluster{t: t, id: crypto.ClusterID{1}, wallUS: 1_000_000, trace: func(string, ...any) {}}
	for i := range n {
		c.nodes = append(c.nodes, nil)
		c.start(i, n, edit)
	}
	return c
}

func (c *cluster) start(i, n int, edit func(*Config)) {
	cfg := testConfig(n, i)
	if edit != nil {
		edit(&cfg)
	}
	r, err := New(cfg, testSigner(c.id, i))
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = &node{Replica: r, c: c, done: map[string]int{}, low: map[string]*fakeWindow{}}
	c.nodes[i].step(Input{Kind: InTick, Tick: c.tick, WallUS: c.wallUS})
	c.nodes[i].flush()
}

// step takes one input without performing its effects.
func (n *node) step(in Input) {
	n.Step(&in, &n.out)
	if err := n.CheckInvariants(); err != nil {
		n.c.t.Fatalf("replica %d after %+v: %v", n.Replica.c.Self, in, err)
	}
}

// flush ends the turn: performs the effects until nothing is left to do.
func (n *node) flush() {
	for {
		n.step(Input{Kind: InFlush})
		more := n.perform()
		if !more || n.c.manual {
			return
		}
	}
}

// perform carries out one turn's effects as a host does, and steps what
// follows at once.
func (n *node) perform() (more bool) {
	out := n.out
	n.out = Effects{}
	self := int(n.Replica.c.Self)
	for _, line := range out.Describe() {
		n.c.trace("%d: %s", self, line)
	}
	n.liveGen = max(n.liveGen, out.LiveGen)
	if out.K != 0 && n.burns() {
		return false
	}
	n.log = append(n.log, out.Records...)
	for _, s := range out.Sends {
		if s.Gen > 0 && s.Gen < n.liveGen {
			continue
		}
		if s.After > n.durable {
			n.held = append(n.held, s)
		} else {
			n.c.post(self, s)
		}
	}
	n.resends = append(n.resends, out.Resends...)
	n.admitted = append(n.admitted, out.Admitted...)
	n.events = append(n.events, out.Events...)
	for _, s := range out.Serves {
		n.serve(s)
	}
	if out.Halt != nil {
		n.halted = out.Halt
	}
	if out.Install != nil {
		n.fetching = out.Install
	}
	if out.K != 0 && !n.c.manual {
		n.makeDurable(out.K)
		more = true
	}
	for _, x := range out.Execs {
		n.execute(x)
		more = true
	}
	return more
}

// burns counts a batch of records, and reports whether the replica crashes
// before it is durable: nothing that rests on it has left.
func (n *node) burns() bool {
	if n.fuse > 0 {
		n.fuse--
		n.stopped = n.fuse == 0
	}
	return n.stopped
}

func (n *node) makeDurable(k PersistID) {
	n.durable = k
	keep := n.held[:0]
	for _, s := range n.held {
		if s.Gen > 0 && s.Gen < n.liveGen {
			continue
		}
		if s.After > k {
			keep = append(keep, s)
		} else {
			n.c.post(int(n.Replica.c.Self), s)
		}
	}
	n.held = keep
	n.step(Input{Kind: InDurable, K: k})
}

// serve answers out of the executed batches, as a host's history does.
func (n *node) serve(s Serve) {
	self := int(n.Replica.c.Self)
	for i := range n.executed {
		x := &n.executed[i]
		if x.N >= s.First && x.N <= s.Last {
			n.c.post(self, Send{To: int(s.To), Msg: &message.Committed{Entries: []message.NDigest{{N: x.N, Digest: x.Digest}}}})
		}
		for _, d := range s.Digests {
			if x.Digest == d && x.Batch != nil {
				n.c.post(self, Send{To: int(s.To), Msg: &message.Body{Batch: x.Batch}})
			}
		}
	}
}

// install takes the state over from a replica that has it.
func (n *node) install() {
	if n.fetching == nil {
		return
	}
	at := n.fetching.N()
	for _, from := range n.c.nodes {
		if from.stopped || uint64(len(from.executed)) < at {
			continue
		}
		n.fetching = nil
		e := &Executed{}
		if uint64(len(n.executed)) < at {
			e = n.replay(from.executed[:at])
		}
		n.step(Input{Kind: InStateInstalled, State: &message.State{N: at, LastTimeUS: from.executed[at-1].TimeUS}, Executed: e})
		n.flush()
		return
	}
}

// replay makes the state that the batches lead to.
func (n *node) replay(xs []Exec) *Executed {
	n.executed, n.done, n.low = nil, map[string]int{}, map[string]*fakeWindow{}
	e := &Executed{}
	for _, x := range xs {
		n.apply(x)
	}
	for _, name := range slices.Sorted(maps.Keys(n.low)) {
		e.Windows = append(e.Windows, Window{Client: name, Low: n.low[name].low, Bits: n.low[name].bits})
	}
	return e
}

// execute runs a batch and reports it.
func (n *node) execute(x Exec) {
	if x.N <= uint64(len(n.executed)) {
		return // part of a state that was installed
	}
	e := &Executed{N: x.N}
	for _, name := range n.apply(x) {
		e.Windows = append(e.Windows, Window{Client: name, Low: n.low[name].low, Bits: n.low[name].bits})
	}
	n.step(Input{Kind: InExecuted, Executed: e})
	if x.Checkpoint {
		h := n.Replica.c.Cluster.Hash(crypto.TagLeaf, []byte(fmt.Sprint(x.N, x.Digest.Hex(), x.TimeUS)))
		n.step(Input{Kind: InCheckpointReady, State: &message.State{N: x.N, AppRoot: h}})
	}
}

// apply is exactly-once execution by the rules of the client table.
func (n *node) apply(x Exec) (names []string) {
	n.executed = append(n.executed, x)
	touched := map[string]bool{}
	w := uint64(n.Replica.c.ClientWindow)
	if x.Batch != nil {
		var req crypto.Request
		for _, g := range x.Batch.Groups {
			name := string(g.Client)
			win := n.low[name]
			if win == nil {
				win = &fakeWindow{bits: make([]uint64, w/64)}
				n.low[name] = win
			}
			if !touched[name] {
				touched[name] = true
				names = append(names, name)
			}
			for cur := g.Cursor(); cur.Next(&req); {
				win.execute(req.Number, w, func() { n.done[fmt.Sprintf("%s#%d", name, req.Number)]++ })
			}
		}
	}
	return names
}

func (w *fakeWindow) execute(x, size uint64, run func()) {
	if x < w.low {
		return
	}
	if x >= w.low+2*size {
		clear(w.bits)
		w.low = x - size + 1
	}
	for x >= w.low+size { // slide one by one, forgetting what leaves
		b := w.low % size
		w.bits[b/64] &^= 1 << (b % 64)
		w.low++
	}
	if b := x % size; w.bits[b/64]&(1<<(b%64)) == 0 {
		w.bits[b/64] |= 1 << (b % 64)
		run()
	}
}

func (c *cluster) post(from int, s Send) {
	if c.watch != nil {
		c.watch.sent(from, s.Msg)
	}
	for to := range c.nodes {
		if to != from && (s.To == Everyone || s.To == to) {
			c.queue = append(c.queue, envelope{from, to, s.Msg})
		}
	}
}

// deliver hands message i of the queue over and ends the receiver's turn.
func (c *cluster) deliver(i int) {
	e := c.queue[i]
	c.queue = append(c.queue[:i], c.queue[i+1:]...)
	n := c.nodes[e.to]
	if n.stopped {
		return
	}
	c.trace("%d <- %d: %s", e.to, e.from, Describe(e.msg))
	n.step(Input{Kind: InMessage, From: message.ReplicaID(e.from), Msg: e.msg})
	n.flush()
}

func (c *cluster) ticks(k int) {
	for range k {
		c.tick++
		c.wallUS += 10_000
		for _, n := range c.nodes {
			if !n.stopped {
				n.step(Input{Kind: InTick, Tick: c.tick, WallUS: c.wallUS})
				n.flush()
				n.install()
			}
		}
	}
}

func makeGroup(client string, numbers ...uint64) crypto.GroupView {
	g := crypto.Group{Client: client, Session: 7}
	for _, x := range numbers {
		g.Requests = append(g.Requests, crypto.Request{Number: x, Kind: crypto.KindOperation, Op: []byte(fmt.Sprint(client, "/", x)), ClientTime: crypto.NoClientTime})
	}
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		panic(err)
	}
	return v
}

func (c *cluster) request(to int, src Source, client string, numbers ...uint64) {
	if c.nodes[to].stopped {
		return
	}
	c.nodes[to].step(Input{Kind: InRequest, Group: makeGroup(client, numbers...), Source: src, Ticket: 1})
	c.nodes[to].flush()
}

// checkAgreement demands that all replicas executed prefixes of one history,
// and nothing twice.
func (c *cluster) checkAgreement() {
	c.t.Helper()
	longest := c.nodes[0].executed
	for _, n := range c.nodes {
		if len(n.executed) > len(longest) {
			longest = n.executed
		}
	}
	for i, n := range c.nodes {
		if n.halted != nil {
			c.t.Fatalf("replica %d halted: %s", i, n.halted.Reason)
		}
		for k := range n.executed {
			if n.executed[k].Digest != longest[k].Digest || n.executed[k].N != uint64(k+1) {
				c.t.Fatalf("replica %d executed %s at %d, another one %s", i, n.executed[k].Digest, n.executed[k].N, longest[k].Digest)
			}
		}
		for r, times := range n.done {
			if times != 1 {
				c.t.Fatalf("replica %d executed %s %d times", i, r, times)
			}
		}
	}
}

// TestRandomSchedules orders requests while messages are lost, repeated and
// reordered, and one replica is cut off for a while.
func TestRandomSchedules(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		n := []int{1, 4, 5, 7, 10}[seed%5]
		t.Run(fmt.Sprintf("seed=%d,n=%d", seed, n), func(t *testing.T) { runRandom(t, uint64(seed), n) })
	}
}

func runRandom(t *testing.T, seed uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := newCluster(t, n, func(c *Config) { c.Depth = 1 + int(seed%3) })
	const requests = 120
	loss := []float64{0, 0.05, 0.2}[rng.IntN(3)]
	cut := rng.IntN(n)
	sent := 0
	for step := 0; ; step++ {
		if step > 200_000 {
			for i, nd := range c.nodes {
				t.Logf("replica %d: %s h=%d exec=%d committed=%d pending=%d", i, nd.status, nd.h, nd.lastExec, nd.lastCommitted, nd.pend.requests)
			}
			t.Fatalf("no end after %d steps, loss %.2f", step, loss)
		}
		if sent < requests && rng.IntN(4) == 0 {
			src := Source{Alone: rng.IntN(2) == 0, Retry: rng.IntN(8) == 0}
			to := 0
			if src.Alone {
				to = rng.IntN(n)
			}
			c.request(to, src, fmt.Sprint("c", sent%3), uint64(sent/3))
			sent++
		}
		if len(c.queue) == 0 || rng.IntN(20*n) == 0 {
			c.ticks(1)
		}
		c.deliverOne(rng, func(e envelope) bool {
			return n > 1 && step < 3000 && cut != 0 && (e.from == cut || e.to == cut) || rng.Float64() < loss
		})
		c.checkSome(step)
		if sent == requests && c.allDone(requests) {
			break
		}
	}
	c.checkAgreement()
}

// deliverOne takes one of the oldest messages: it is lost if lost says so, else
// delivered, and at times once more later.
func (c *cluster) deliverOne(rng *rand.Rand, lost func(envelope) bool) {
	if len(c.queue) == 0 {
		return
	}
	i := rng.IntN(min(len(c.queue), 20))
	e := c.queue[i]
	if lost(e) {
		c.queue = append(c.queue[:i], c.queue[i+1:]...)
		return
	}
	if rng.IntN(20) == 0 {
		c.queue = append(c.queue, e)
	}
	c.deliver(i)
}

func (c *cluster) checkSome(step int) {
	if step%500 == 0 {
		c.checkAgreement()
	}
}

func (c *cluster) allDone(k int) bool {
	for _, n := range c.nodes {
		if len(n.done) != k || n.lastExec != n.lastCommitted {
			return false
		}
	}
	return true
}
