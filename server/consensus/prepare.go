package consensus

import "github.com/pbft-go/pbft/server/message"

// promiseKind says which promise waits for its record.
type promiseKind uint8

const (
	promisePrepare promiseKind = iota + 1
	promiseCommit
	promiseCheckpoint
	promiseStable
	promiseViewChange // n is the view
	promiseInstall    // n is the view
)

// promise is an own vote that counts only once its record is durable: with the
// help of liars an answer could otherwise rest on memory alone.
type promise struct {
	k    PersistID
	kind promiseKind
	n    uint64
	gen  uint64
}

func (r *Replica) promise(k PersistID, kind promiseKind, n uint64) {
	r.waiting = append(r.waiting, promise{k, kind, n, r.gen()})
}

// onDurable counts the own votes whose records are durable now.
func (r *Replica) onDurable(k PersistID) {
	assertf(k <= r.persist, "batch %d durable, newest is %d", k, r.persist)
	r.durable = max(r.durable, k)
	i := 0
	for ; i < len(r.waiting) && r.waiting[i].k <= r.durable; i++ {
		r.keepPromise(r.waiting[i])
	}
	r.waiting = append(r.waiting[:0], r.waiting[i:]...)
}

func (r *Replica) keepPromise(p promise) {
	switch p.kind {
	case promiseCheckpoint:
		r.ownCheckpointDurable(p.n)
		return
	case promiseStable:
		r.stableDurable(p.n)
		return
	case promiseViewChange:
		r.viewChangeDurable(p.n)
		return
	case promiseInstall:
		r.install(p.n)
		return
	}
	s := r.peek(p.n)
	if s == nil || p.gen != r.gen() || !r.normal() {
		return // the number is stable already, or the view was given up
	}
	v := ballot{r.gen(), s.digest}
	if p.kind == promisePrepare {
		s.prepareOK = true
		s.prepares[r.c.Self] = v
		r.tryPrepared(s)
		return
	}
	s.commitOK = true
	s.commits[r.c.Self] = v
	r.tryCommitted(s, v)
}

// admitPrepare checks the window; a prepare of a higher view is stored, not
// acted upon.
func (r *Replica) onPrepare(from message.ReplicaID, m *message.Prepare) {
	r.saw(from, message.PQ{N: m.N, Digest: m.Digest, View: m.View})
	s, ok := r.admitVote(from, m.N)
	if !ok {
		return
	}
	v := ballot{m.View + 1, m.Digest}
	if !r.keepVote(s.prepares, from, v, m.N) {
		return
	}
	r.tryPrepared(s)
	r.amplify(s)
}

// admitVote finds the slot of a vote at n.
func (r *Replica) admitVote(from message.ReplicaID, n uint64) (*slot, bool) {
	if !r.inLog(n) {
		if n > r.h {
			r.reject(from, OutsideWindow, n)
		}
		return nil, false // a vote for what is stable here is no news and no fault
	}
	r.highest = max(r.highest, n)
	return r.slot(n), true
}

// keepVote stores a vote and reports whether it is news.
func (r *Replica) keepVote(votes []ballot, from message.ReplicaID, v ballot, n uint64) bool {
	if v.gen == 0 { // of the last view that a number can name, which nobody reaches
		r.reject(from, WrongView, n)
		return false
	}
	switch why := store(votes, from, v); why {
	case OK:
		return true
	case Equivocation:
		r.event(Event{Kind: EvEquivocation, Replica: from, N: n})
		r.reject(from, why, n)
	}
	return false
}

// prepared(v, n, d): d is accepted at n in this view, and a quorum prepared
// it, this replica included, durably.
func (r *Replica) isPrepared(s *slot) bool {
	return s.accepted && s.prepareOK && count(s.prepares, ballot{r.gen(), s.digest}) >= r.q
}

// tryPrepared enters P and commits. The commit leaves once the entry is
// durable; only in status normal, in this very view.
func (r *Replica) tryPrepared(s *slot) {
	if s.prepared || !r.normal() || !r.inWindow(s.n) || !r.isPrepared(s) {
		return
	}
	s.prepared = true
	s.p = message.PQ{N: s.n, Digest: s.digest, View: r.view}
	k := r.record(Record{Kind: RecPrepared, N: s.n, View: r.view, Digest: s.digest})
	r.promise(k, promiseCommit, s.n)
	r.vote(k, &message.Commit{View: r.view, N: s.n, Digest: s.digest})
}
