package pbftclient

import (
	"context"
	"sync"

	"github.com/pbft-go/pbft/crypto"
)

// Call is one operation on its way. The caller fills in the first fields, and
// may use the Call for another operation once Done was called.
type Call struct {
	Op   []byte      // must not change until Done is called
	Done func(*Call) // called once, when the call ends; must not block
	Tag  any         // the caller's own

	Number uint64 // of the request, set by Start
	Result Result // set if Err is nil
	Err    error  // as Session.Submit returns
}

// Result is the outcome of an operation that was executed.
type Result struct {
	Number uint64 // of the request
	N      uint64 // sequence number of the batch that executed it
	View   uint64 // the view that the client believes in
	// Value is the application's result. It shares memory with results that
	// came along with it: whoever keeps it for long should clone it.
	Value []byte
	// Gone says that f+1 replicas vouch for the result but keep only its
	// digest: it was too large, or too old. Value is empty then.
	Gone   bool
	Digest crypto.Digest // of the result; set if Gone
	Size   uint64        // of the result in bytes; set if Gone
}

// resultOf is what callers see of r, under the lock.
func (c *Client) resultOf(r *crypto.Result) Result {
	return Result{Number: r.Number, N: r.N, View: c.view, Value: r.Value, Gone: r.Tombstone, Digest: r.Digest, Size: r.Size}
}

// Submit orders an operation and waits for its result. Errors are ErrClosed,
// ErrNotSent, *UnknownError, ErrExpired, ErrNumberReused and *RefusedError.
func (s *Session) Submit(ctx context.Context, op []byte) (Result, error) {
	return s.wait(ctx, op, nil)
}

// SubmitNumber is Submit under a number of the caller's choice, below 2^53. A
// number is used once; the same number and operation again, from the same
// session, gets the stored result.
func (s *Session) SubmitNumber(ctx context.Context, number uint64, op []byte) (Result, error) {
	return s.wait(ctx, op, &number)
}

// Go orders an operation without waiting for its result: done is called once,
// and must not block. Go itself blocks as Start does.
func (s *Session) Go(ctx context.Context, op []byte, done func(Result, error)) {
	s.Start(ctx, &Call{Op: op, Done: func(call *Call) { done(call.Result, call.Err) }})
}

// Start orders operations without waiting for their results, in order and
// under consecutive numbers. Every call ends by its Done, on a goroutine of
// the client or on this one. Start blocks while the client's window is full,
// or until f+1 replicas have introduced themselves: Done must not call it. The
// end of ctx is noticed within 25 ms.
func (s *Session) Start(ctx context.Context, calls ...*Call) {
	finished(s.start(ctx, nil, calls))
}

// waiter is a call with somebody who waits for it.
type waiter struct {
	Call
	done chan struct{}
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{done: make(chan struct{}, 1)}
	w.Done = func(*Call) { w.done <- struct{}{} }
	return w
}}

func (s *Session) wait(ctx context.Context, op []byte, number *uint64) (Result, error) {
	w := waiters.Get().(*waiter)
	w.Op, w.Result, w.Err = op, Result{}, nil
	finished(s.start(ctx, number, []*Call{&w.Call}))
	select {
	case <-w.done:
	case <-ctx.Done():
		finished(s.abandon(&w.Call, ctx.Err()))
		<-w.done // by abandon, or by an answer that came first
	}
	r, err := w.Result, w.Err
	w.Op, w.Result, w.Err = nil, Result{}, nil
	waiters.Put(w)
	return r, err
}

// finished tells callers, outside the lock.
func finished(calls []*Call) {
	for _, call := range calls {
		call.Done(call)
	}
}
