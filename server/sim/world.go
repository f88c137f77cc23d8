package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// clusterID is that of every simulated cluster.
var clusterID = crypto.ClusterID{'s', 'i', 'm'}

// epochUS is the wall clock at the start of a run.
const epochUS = 1_700_000_000_000_000

// world is one run: replicas, clients and the network between them, and a
// queue of what happens next. One goroutine runs it; all chance comes from the
// seed.
type world struct {
	plan  *Plan
	rnd   *rand.Rand
	now   int64
	queue queue
	done  bool

	keys     *keys
	verifier *verifier
	net      *network
	hosts    []*host
	clients  []*client
	names    map[string]*client // by client id
	liars    *Collusion
	check    *checker
	live     *liveness
	trace    *tracer
	cover    Coverage

	deliveries int
	hash       uint64
}

func newWorld(p *Plan, o *Options) *world {
	w := &world{
		plan: p, rnd: rand.New(rand.NewPCG(p.Seed, worldStream)),
		keys: &keys{cluster: clusterID, seed: p.Seed}, names: map[string]*client{}, cover: Coverage{},
		trace: newTracer(o.Trace),
	}
	w.verifier = newVerifier(p, w.keys, w.knows)
	w.check = newChecker(w, o.Ignore)
	w.net = newNetwork(w)
	w.liars = newCollusion(w)
	for i := range p.N {
		w.hosts = append(w.hosts, newHost(w, i))
	}
	for _, l := range p.Liars {
		w.hosts[l.Replica].liar = newLiar(w, w.hosts[l.Replica], l.Behaviours)
	}
	for _, h := range w.hosts {
		if p.Durable && (h.liar == nil || h.liar.keepsDisk()) {
			h.disk = newDisk(h)
		}
	}
	for i := range p.Clients {
		w.addClient(i)
	}
	w.live = newLiveness(w)
	return w
}

func (w *world) addClient(i int) {
	c := newClient(w, i)
	w.clients = append(w.clients, c)
	w.names[c.name] = c
}

// knows reports whether the cluster lets a client order operations.
func (w *world) knows(client []byte) bool {
	return w.names[string(client)] != nil || string(client) == puppet
}

// at calls f at a time, after calls it so much later.
func (w *world) at(t int64, f func())    { w.queue.push(event{at: max(t, w.now), run: f}) }
func (w *world) after(d int64, f func()) { w.queue.push(event{at: w.now + d, run: f}) }

// upTo draws a duration of at most d, mostly a short one.
func (w *world) upTo(d int64) int64 {
	if d <= 0 {
		return 0
	}
	x := w.rnd.Float64()
	return int64(x * x * float64(d))
}

// chance is true in a share p of cases.
func (w *world) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

// run runs until the end that liveness names, or a violation.
func (w *world) run() {
	defer w.close()
	for _, h := range w.hosts {
		h.start(w.plan.Fresh)
	}
	for _, c := range w.clients {
		c.start()
	}
	w.startFaults()
	w.live.start()
	for !w.done && len(w.queue.heap) > 0 {
		e := w.queue.pop()
		w.now = e.at
		if e.run != nil {
			e.run()
			continue
		}
		w.deliver(&e)
	}
	if !w.done {
		w.check.fail("L1", "nothing happens any more")
	}
	w.check.untouched()
}

// close ends what replicas have running beside this goroutine.
func (w *world) close() {
	for _, h := range w.hosts {
		if h.disk != nil {
			h.disk.close()
		}
	}
}

// mostDeliveries is more than any run needs that does not go round in circles.
const mostDeliveries = 4_000_000

func (w *world) deliver(e *event) {
	if e.to.down || w.net.cut(e.from, e.to.id) {
		return
	}
	if w.deliveries++; w.deliveries == mostDeliveries {
		w.check.fail("L1", "%d messages and no end%s", mostDeliveries, w.describe())
		w.done = true
	}
	w.mix(uint64(e.at), uint64(e.to.id)<<8|uint64(e.from))
	w.mixMessage(e.msg)
	e.to.receive(e.from, e.msg)
}

// mix puts numbers into the hash of the run: two runs of a seed have the same.
func (w *world) mix(a, b uint64) {
	const prime = 0x9E3779B97F4A7C15
	w.hash = (w.hash ^ a) * prime
	w.hash = (w.hash<<31 | w.hash>>33) ^ b
	w.hash *= prime
}

func (w *world) mixMessage(m message.Message) {
	switch m := m.(type) {
	case *message.Prepare:
		w.mix(m.View<<32|m.N, prefix(m.Digest)^1)
	case *message.Commit:
		w.mix(m.View<<32|m.N, prefix(m.Digest)^2)
	case *message.PrePrepare:
		if m.Batch != nil {
			w.mix(m.View, prefix(m.Batch.Digest)^3)
		}
	case *message.Status:
		w.mix(m.View<<32|m.LastExecuted, m.LastCommitted<<32|m.Prepared^4)
	case *message.ViewChange:
		w.mix(m.NewView<<32|uint64(m.Replica), m.H<<32|uint64(len(m.P))<<16|uint64(len(m.Q)))
	case *message.NewView:
		w.mix(m.View, prefix(m.DecisionDigest))
	case *message.Checkpoint:
		w.mix(m.N, prefix(m.Digest))
	case *message.Reply:
		w.mix(m.Result.Number, m.Result.N)
	}
}

func prefix(d crypto.Digest) (x uint64) {
	for _, b := range d[:8] {
		x = x<<8 | uint64(b)
	}
	return x
}

// describe tells where all replicas stand, for reports.
func (w *world) describe() (s string) {
	for _, h := range w.hosts {
		i := h.core.Info()
		s += fmt.Sprintf("\n  replica %d: %s view=%d h=%d executed=%d committed=%d pending=%d", h.id, h.state(), i.View, i.LowWatermark, i.LastExecuted, i.LastCommitted, i.Pending)
	}
	for _, c := range w.clients {
		s += fmt.Sprintf("\n  client %d: %d outstanding, %d to do, view %d", c.index, len(c.open), c.left, c.view)
	}
	return s
}
