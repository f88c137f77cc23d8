package execution

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// CheckpointState is the state at n if that is a checkpoint that is kept: the
// last stable one, or one above it. Else it is nil.
func (e *Engine) CheckpointState(n uint64) *message.State {
	if c := e.find(n); c != nil {
		return c.state
	}
	return nil
}

// Snapshot is the application's state at n if that is a checkpoint that is kept,
// else nil. It stays as it is when batches are executed, until its checkpoint is
// not kept any more.
func (e *Engine) Snapshot(n uint64) *Snapshot {
	if c := e.find(n); c != nil {
		return c.snapshot
	}
	return nil
}

// LastExecuted is the number of the last batch.
func (e *Engine) LastExecuted() uint64 { return e.lastN }

// Clients is the number of clients in the client table.
func (e *Engine) Clients() int { return len(e.clients.byName) }

// ExecutedRequests counts operations since the start, duplicates left out.
func (e *Engine) ExecutedRequests() uint64 { return e.executed }

// ClientInfo tells the lowest open number of a client, and one more than its
// highest executed one.
func (e *Engine) ClientInfo(name string) (low, next uint64) {
	if c := e.clients.byName[name]; c != nil {
		return c.low, c.high
	}
	return 0, 0
}

// Lookup is the outcome of one request as this replica knows it; session 0 is
// any. realSession is the session under which the number was executed. The
// result stays as it is when batches are executed.
func (e *Engine) Lookup(name string, session, number uint64) (r crypto.Result, realSession uint64) {
	c := e.clients.byName[name]
	switch {
	case c == nil || number >= c.low && !c.executed(number):
		return crypto.Result{Number: number, Status: crypto.StatusNotExecuted}, session
	case number < c.low:
		return crypto.Result{Number: number, Status: crypto.StatusExpired}, session
	}
	realSession = c.reply(number).session
	if session == 0 {
		session = realSession
	}
	r = c.outcome(number, session)
	if r.Tombstone {
		if v, ok := e.recent.find(name, number, session, r.N); ok {
			r.Tombstone, r.Value, r.Digest, r.Size = false, v, crypto.Digest{}, 0
		}
	}
	return r, realSession
}
