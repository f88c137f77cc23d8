package gateway

import (
	"bytes"
	"sync"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

const (
	// maxWaiters bounds the callers that wait for an outcome at once.
	maxWaiters = 65536
	// maxSameWaiters bounds those that wait for the same request.
	maxSameWaiters = 256
	// maxWaitingValues bounds the bytes of results that are held while fewer
	// than f+1 replicas have answered. Beyond it only digests are kept, and
	// the answer is a tombstone.
	maxWaitingValues = 64 << 20
)

// collector counts the replies of distinct replicas for the callers that wait.
type collector struct {
	cluster  crypto.ClusterID
	replicas int
	weak     int // f+1

	mu      sync.Mutex
	waiters map[waitKey][]*waiter
	count   int
	values  int // bytes held in votes
}

// waitKey names what is waited for. The session is not part of it, because a
// query may ask for any.
type waitKey struct {
	client string
	number uint64
}

// waiter is one caller. All fields but done belong to the collector's lock.
type waiter struct {
	key     waitKey
	session uint64 // 0: any
	query   bool   // NOT_EXECUTED is an answer too
	votes   []vote // at most one per replica
	done    chan agreement
}

// vote is the newest word of one replica.
type vote struct {
	replica message.ReplicaID
	session uint64
	outcome crypto.Outcome
	result  crypto.Result
}

// agreement is what f+1 replicas said, so at least one correct one.
type agreement struct {
	session  uint64
	result   crypto.Result
	replicas []uint32
}

func newCollector(c crypto.ClusterID, replicas, weak int) *collector {
	return &collector{cluster: c, replicas: replicas, weak: weak, waiters: map[waitKey][]*waiter{}}
}

// wait registers a caller. It reports false if too many wait. The caller
// receives from done at most once and calls leave in the end.
func (c *collector) wait(client string, session, number uint64, query bool) (*waiter, bool) {
	w := &waiter{key: waitKey{client, number}, session: session, query: query, done: make(chan agreement, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count >= maxWaiters || len(c.waiters[w.key]) >= maxSameWaiters {
		return nil, false
	}
	c.count++
	c.waiters[w.key] = append(c.waiters[w.key], w)
	return w, true
}

// leave forgets a caller; a second time is harmless.
func (c *collector) leave(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(w)
}

func (c *collector) remove(w *waiter) {
	all := c.waiters[w.key]
	for i, o := range all {
		if o != w {
			continue
		}
		for j := range w.votes {
			c.values -= len(w.votes[j].result.Value)
		}
		c.count--
		if len(all) == 1 {
			delete(c.waiters, w.key)
			return
		}
		all[i] = all[len(all)-1]
		all[len(all)-1] = nil
		c.waiters[w.key] = all[:len(all)-1]
		return
	}
}

// waiting is the number of callers.
func (c *collector) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// deliver counts one replica's reply for everybody who waits for it.
func (c *collector) deliver(m *message.Reply) {
	if s := m.Result.Status; int(m.Replica) >= c.replicas || s < crypto.StatusOK || s > crypto.StatusNotExecuted {
		return
	}
	key := waitKey{m.Client, m.Result.Number}
	c.mu.Lock()
	wanted := len(c.waiters[key]) > 0
	c.mu.Unlock()
	if !wanted {
		return // the usual case: f+1 others were faster
	}
	v := vote{replica: m.Replica, session: m.Session, outcome: c.cluster.OutcomeOf(&m.Result), result: m.Result}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Backwards, because a caller that has its answer is replaced by the last.
	all := c.waiters[key]
	for i := len(all) - 1; i >= 0; i-- {
		w := all[i]
		if w.session != 0 && w.session != v.session {
			continue
		}
		if v.outcome.Status == crypto.StatusNotExecuted && !w.query {
			continue // it may still be on its way
		}
		c.cast(w, v)
		if a, ok := c.agreed(w, &v); ok {
			w.done <- a
			c.remove(w)
		}
	}
}

// cast replaces the word of v's replica by v.
func (c *collector) cast(w *waiter, v vote) {
	for i := range w.votes {
		if w.votes[i].replica == v.replica {
			c.values -= len(w.votes[i].result.Value)
			w.votes[i] = c.keep(w, v)
			return
		}
	}
	w.votes = append(w.votes, c.keep(w, v))
}

// keep copies v's result out of the frame that it came in, unless an equal
// vote has it already or too much is held.
func (c *collector) keep(w *waiter, v vote) vote {
	if v.result.Tombstone {
		return v
	}
	known := false
	for i := range w.votes {
		o := &w.votes[i]
		known = known || o.replica != v.replica && o.equal(&v) && !o.result.Tombstone
	}
	size := len(v.result.Value)
	if known || c.values+size > maxWaitingValues {
		v.result.Value, v.result.Tombstone = nil, true
		v.result.Digest, v.result.Size = v.outcome.Digest, uint64(size)
		return v
	}
	c.values += size
	v.result.Value = bytes.Clone(v.result.Value)
	return v
}

func (v *vote) equal(o *vote) bool { return v.session == o.session && v.outcome == o.outcome }

// agreed looks whether f+1 replicas say what v says. Values of equal digest
// are equal, so any of them will do.
func (c *collector) agreed(w *waiter, v *vote) (agreement, bool) {
	a := agreement{session: v.session}
	for i := range w.votes {
		o := &w.votes[i]
		if !o.equal(v) {
			continue
		}
		if len(a.replicas) == 0 || a.result.Tombstone && !o.result.Tombstone {
			a.result = o.result
		}
		a.replicas = append(a.replicas, uint32(o.replica))
	}
	return a, len(a.replicas) >= c.weak
}
