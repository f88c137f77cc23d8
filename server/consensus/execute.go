package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// tryExecute hands committed batches to execution, strictly by number. What
// was handed out is never undone.
func (r *Replica) tryExecute() {
	for {
		s := r.peek(r.execSent + 1)
		if s == nil || !s.committed {
			return
		}
		b := s.body(s.committedDigest)
		if b == nil && s.committedDigest != r.nullDigest(s.n) {
			return
		}
		if b := s.unrecorded(s.committedDigest); b != nil {
			r.record(Record{Kind: RecBody, N: s.n, Digest: b.Digest, Batch: b})
		}
		r.handOut(s.n, s.committedView, s.committedDigest, b)
	}
}

// handOut gives the batch at n, nil for the null one, to execution.
func (r *Replica) handOut(n, view uint64, d crypto.Digest, b *message.Batch) {
	r.execSent = n
	r.out.Execs = append(r.out.Execs, Exec{
		Epoch: r.c.Epoch, N: n, View: view, TimeUS: r.agreedTime(b),
		Digest: d, Batch: b,
		Checkpoint: n%r.c.Interval == 0, Stable: r.h,
		Answer: r.answers(n),
	})
}

// answers reports whether this replica replies to the clients of the batch at
// n. What it executes again after a restart it may have answered before; who did
// not get that asks again.
func (r *Replica) answers(n uint64) bool {
	return r.status != message.Learner && r.status != message.Starting && !r.ckpt.diverged && n > r.restart.replay
}

// agreedTime is the time that the operations of the next batch see: the
// proposer's, made strictly monotone. Batches without requests leave it.
func (r *Replica) agreedTime(b *message.Batch) int64 {
	if b != nil && b.Header.Count > 0 {
		r.lastTimeUS = max(r.lastTimeUS+1, b.Header.WallUS)
	}
	return r.lastTimeUS
}

// onExecuted takes note of what execution did: requests leave pending, the
// clients' windows move, and the progress timer starts anew.
func (r *Replica) onExecuted(e *Executed) {
	assertf(e.N == r.lastExec+1 && e.N <= r.execSent, "executed %d behind %d, handed out up to %d", e.N, r.lastExec, r.execSent)
	for i := range e.Windows {
		r.pend.setWindow(&e.Windows[i])
	}
	if s := r.peek(e.N); s != nil {
		if b := s.body(s.committedDigest); b != nil {
			r.removeExecuted(b)
		}
		r.took(s)
		if e.N <= r.h {
			r.drop(s) // of the tail
		}
	}
	r.lastExec = e.N
	r.probe.open = false
	r.timers.progressed(r.tick)
	r.calm()
}
