package sim

import "github.com/pbft-go/pbft/server/message"

// network carries what replicas and clients send. Nodes are the replicas, and
// above them the clients.
type network struct {
	w     *world
	nodes int
	cuts  []int   // by sender and receiver: how many faults hold the link
	last  []int64 // by sender and receiver: the last arrival
	burst []int64 // by node: how many of 100 of its messages are lost
	lag   []int64 // by node: what it sends takes so much longer
	plan  NetPlan // as it is now

	// drop loses messages between replicas, for runs with a purpose; nil: none.
	drop func(from, to int, m message.Message) bool
}

func newNetwork(w *world) *network {
	n := w.plan.N + len(w.plan.Clients)
	return &network{
		w: w, nodes: n, plan: w.plan.Net,
		cuts: make([]int, n*n), last: make([]int64, n*n), burst: make([]int64, n), lag: make([]int64, n),
	}
}

func (t *network) link(from, to int) int { return from*t.nodes + to }

func (t *network) cut(from, to int) bool { return t.cuts[t.link(from, to)] > 0 }

// send carries a message between replicas.
func (t *network) send(from int, to *host, m message.Message) {
	if t.drop != nil && t.drop(from, to.id, m) {
		return
	}
	for _, at := range t.arrivals(from, to.id) {
		t.w.queue.push(event{at: at, to: to, from: from, msg: m})
	}
}

// carry calls f when what a node sends to another one arrives, if it does.
func (t *network) carry(from, to int, f func()) {
	for _, at := range t.arrivals(from, to) {
		t.w.queue.push(event{at: at, run: func() {
			if !t.cut(from, to) {
				f()
			}
		}})
	}
}

// arrivals are the times at which a message arrives: none if it is lost, two if
// it is duplicated.
func (t *network) arrivals(from, to int) []int64 {
	w, p := t.w, &t.plan
	if t.cut(from, to) || w.chance(p.Loss) || w.chance(float64(t.burst[from]+t.burst[to])/100) {
		w.cover.add("lost messages")
		return nil
	}
	var at [2]int64
	k := 1
	if w.chance(p.Duplicate) {
		k = 2
		w.cover.add("duplicated messages")
	}
	for i := range k {
		at[i] = t.arrival(from, to)
	}
	return at[:k]
}

func (t *network) arrival(from, to int) int64 {
	w, p := t.w, &t.plan
	at := w.now + p.Delay + w.upTo(p.Jitter) + t.lag[from]
	if w.chance(p.Reorder) {
		return at + w.upTo(8*(p.Delay+p.Jitter))
	}
	if last := &t.last[t.link(from, to)]; p.FIFO {
		at = max(at, *last)
		*last = at
	}
	return at
}

// hold cuts links, or lets them go again.
func (t *network) hold(change int, links func(from, to int) bool) {
	for from := range t.nodes {
		for to := range t.nodes {
			if from != to && links(from, to) {
				t.cuts[t.link(from, to)] += change
			}
		}
	}
}

// calm ends what goes wrong by chance.
func (t *network) calm() { t.plan.Loss, t.plan.Duplicate, t.plan.Reorder = 0, 0, 0 }
