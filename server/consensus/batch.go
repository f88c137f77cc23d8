package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// quantum is what a client may put into a batch per round of the round robin,
// in bytes beyond what it saved up. Large enough that a round seldom ends
// without a group, small enough that many clients share a batch.
const quantum = 4 << 10

// propose closes batches at the end of a turn (4.2): one whenever fewer than
// Depth own batches are in flight, so that the next gathers while one is on
// its way, and more only when they are full. There is no timer.
func (r *Replica) propose() {
	for r.mayPropose() {
		inFlight := int(r.lastProposed - r.lastCommitted)
		full := r.pend.ready.requests >= r.c.Limits.MaxBatch || r.pend.ready.bytes >= r.c.Limits.MaxBatchBytes
		if inFlight >= r.c.Depth && !full {
			return
		}
		if r.proposeAgain() {
			continue
		}
		groups := r.gather()
		if len(groups) == 0 && !r.probe.due {
			return
		}
		r.proposeBatch(groups)
	}
}

// proposeAgain proposes a batch of an earlier view again where as many different
// ones were accepted as a replica may accept: another one would be refused, here
// too.
func (r *Replica) proposeAgain() bool {
	s := r.peek(r.lastProposed + 1)
	if s == nil || s.fresh() < M {
		return false
	}
	var again *message.Batch
	var view uint64
	for _, e := range s.q {
		if b := s.body(e.digest); b != nil && !e.selected && (again == nil || e.view >= view) {
			again, view = b, e.view
		}
	}
	assertf(again != nil, "no body of %d batches accepted at %d", len(s.q), s.n)
	r.lastProposed++
	r.preprepare(again)
	return true
}

// mayPropose reports whether the next number may be used at all.
func (r *Replica) mayPropose() bool {
	if !r.normal() || !r.isPrimary() || r.pend.ready.requests == 0 && !r.probe.due {
		return false
	}
	r.lastProposed = max(r.lastProposed, r.top, r.lastCommitted)
	return r.inWindow(r.lastProposed+1) &&
		int(r.lastProposed-r.lastCommitted) < r.c.Pipeline &&
		r.freshBytes+r.c.Limits.MaxBatchBytes <= r.c.WindowBytes
}

// gather takes groups for one batch by deficit round robin over the clients:
// within a client those first that it asked for again, then oldest first. Were
// they first among all clients, one that asks for everything twice would starve
// the others.
//
// What it returns is valid until the next call.
func (r *Replica) gather() []crypto.GroupView {
	p := &r.pend
	p.gathered = p.gathered[:0]
	count, size := 0, 4
	take := func(g *group) bool {
		if count > 0 && (count+g.view.Count > r.c.Limits.MaxBatch || size+4+len(g.view.Raw) > r.c.Limits.MaxBatchBytes) {
			return false
		}
		p.dequeue(g)
		g.proposed = r.lastProposed + 1
		count += g.view.Count
		size += 4 + len(g.view.Raw)
		p.gathered = append(p.gathered, g.view)
		return true
	}
	for p.active.Len() > 0 {
		c := p.active.Front().Value.(*client)
		c.deficit += quantum
		for g := c.next(); g != nil; g = c.next() {
			size := len(g.view.Raw)
			if size > c.deficit {
				p.active.MoveToBack(c.turn)
				break
			}
			c.deficit -= size
			if !take(g) { // the batch is full; this client is first in the next
				c.deficit += size - quantum
				return p.gathered
			}
		}
	}
	return p.gathered
}

// proposeBatch pre-prepares the next number. The proposal may leave at once;
// only the mark that this replica proposed at all must be durable first, once.
func (r *Replica) proposeBatch(groups []crypto.GroupView) {
	r.lastProposed++
	r.probe.due = false
	r.timers.proposedUS = max(r.timers.proposedUS, r.wallUS)
	b := message.NewBatch(r.c.Cluster, message.Header{Epoch: r.c.Epoch, N: r.lastProposed, WallUS: r.timers.proposedUS}, groups)
	clear(groups) // their bytes are in b now
	r.preprepare(b)
}

// preprepare proposes b.
func (r *Replica) preprepare(b *message.Batch) {
	var after PersistID
	if r.started == 0 {
		r.started = r.record(Record{Kind: RecStarted})
	}
	if r.started > r.durable {
		after = r.started
	}
	if r.c.N > 1 {
		r.out.Sends = append(r.out.Sends, Send{To: Everyone, Msg: &message.PrePrepare{View: r.view, Batch: b}, After: after})
	}
	r.accept(b)
}
