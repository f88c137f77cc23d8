package pbftclient

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pbft-go/pbft/crypto"
)

// Session submits operations under one client id.
type Session struct {
	c       *Client
	id      string
	session uint64 // drawn when the program starts, in every request and reply
	handle  uint32

	// All below belongs to the client's lock.
	next    uint64  // number of the next request
	oldest  uint64  // outstanding numbers lie in [oldest, top), less than
	top     uint64  // a window wide
	calls   []*call // outstanding number x at x mod len
	queue   []*call // not sent yet
	room    *sync.Cond
	blocks  map[uint64]*block
	newest  uint64 // highest batch seen
	queries []*query
}

// Result is the outcome of an operation.
type Result struct {
	Number uint64 // of the request
	N      uint64 // sequence number of the batch that executed it
	View   uint64 // the view that the client believes in
	Value  []byte // the application's result
	// Gone is set if f+1 replicas vouch for the result but none keeps it any
	// more; Value is empty then.
	Gone bool
}

// call is one outstanding request.
type call struct {
	ctx     context.Context
	number  uint64
	op      []byte
	done    func(Result, error)
	retryAt time.Time
	wait    time.Duration // until the retry after the next one
	sent    bool
	retried bool
	votes   []vote // singles, one per replica
	refused []bool // for good, by replica; nil: by none
}

// vote is one replica's word about one request.
type vote struct {
	replica int
	outcome crypto.Outcome
	result  crypto.Result
}

func newSession(c *Client, id string, handle uint32) *Session {
	s := &Session{
		c: c, id: id, session: random(), handle: handle,
		next: uint64(time.Now().UnixMicro()), calls: make([]*call, 64), blocks: make(map[uint64]*block),
		room: sync.NewCond(&c.mu),
	}
	return s
}

// ID is the session's client id.
func (s *Session) ID() string { return s.id }

// Submit orders an operation and waits for its result. Errors: ErrClosed,
// ErrOutcomeUnknown, ErrExpired, ErrNumberReused, *RefusedError.
func (s *Session) Submit(ctx context.Context, op []byte) (Result, error) {
	return s.wait(func(done func(Result, error)) { s.Go(ctx, op, done) })
}

// SubmitNumber is Submit under a number of the caller's choice, below 2^53. A
// number is used once; the same number and operation submitted again gets the
// stored result while the session lives.
func (s *Session) SubmitNumber(ctx context.Context, number uint64, op []byte) (Result, error) {
	if number > crypto.MaxNumber {
		return Result{}, &RefusedError{Reason: "INVALID", Message: fmt.Sprintf("number %d, the largest allowed is %d", number, uint64(crypto.MaxNumber))}
	}
	return s.wait(func(done func(Result, error)) { s.submit(ctx, &number, op, done) })
}

func (s *Session) wait(start func(func(Result, error))) (Result, error) {
	type outcome struct {
		r   Result
		err error
	}
	got := make(chan outcome, 1)
	start(func(r Result, err error) { got <- outcome{r, err} })
	o := <-got
	return o.r, o.err
}

// Go orders an operation without waiting for its result: done is called once,
// and must not block. Go itself blocks only while the client's window is full.
// op must not change until then.
func (s *Session) Go(ctx context.Context, op []byte, done func(Result, error)) {
	s.submit(ctx, nil, op, done)
}

func (s *Session) submit(ctx context.Context, number *uint64, op []byte, done func(Result, error)) {
	c := s.c
	c.mu.Lock()
	err := s.admit(ctx, &number, op)
	if err != nil {
		c.mu.Unlock()
		done(Result{}, err)
		return
	}
	k := &call{ctx: ctx, number: *number, op: op, done: done, wait: c.o.Retry, retryAt: time.Now().Add(c.o.Retry)}
	s.next = max(s.next, k.number+1)
	s.place(k)
	s.queue = append(s.queue, k)
	if t, _ := c.target(); t != nil {
		t.wakeUp()
	}
	c.mu.Unlock()
}

// admit waits for room in the window and settles the number.
func (s *Session) admit(ctx context.Context, number **uint64, op []byte) error {
	c := s.c
	if len(op) > c.limits.operation {
		return &RefusedError{Reason: "INVALID", Message: fmt.Sprintf("operation of %d bytes, the most allowed is %d", len(op), c.limits.operation)}
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.room.Broadcast()
	})
	defer stop()
	for {
		x := s.next
		if *number != nil {
			x = **number
		}
		switch {
		case c.closed:
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err() // nothing was sent
		case *number != nil && s.call(x) != nil:
			return fmt.Errorf("%w: number %d is outstanding in this program", ErrNumberReused, x)
		case s.fits(x):
			*number = &x
			return nil
		}
		s.room.Wait()
	}
}

// fits reports whether number x and all that is outstanding span less than the
// window.
func (s *Session) fits(x uint64) bool {
	s.trim()
	return s.oldest == s.top || max(s.top, x+1)-min(s.oldest, x) <= s.c.limits.window
}

// trim moves oldest up to the first number that is outstanding.
func (s *Session) trim() {
	for s.oldest < s.top && s.call(s.oldest) == nil {
		s.oldest++
	}
}

// call is the outstanding call of number x, or nil.
func (s *Session) call(x uint64) *call {
	if k := s.calls[x%uint64(len(s.calls))]; k != nil && k.number == x {
		return k
	}
	return nil
}

// place makes a call outstanding.
func (s *Session) place(k *call) {
	if s.trim(); s.oldest == s.top {
		s.oldest, s.top = k.number, k.number
	}
	s.oldest, s.top = min(s.oldest, k.number), max(s.top, k.number+1)
	for uint64(len(s.calls)) < s.c.limits.window {
		old := s.calls
		s.calls = make([]*call, 2*len(old))
		for _, k := range old {
			if k != nil {
				s.calls[k.number%uint64(len(s.calls))] = k
			}
		}
	}
	s.calls[k.number%uint64(len(s.calls))] = k
}

// finish ends a call; the returned function tells the caller, outside the lock.
func (s *Session) finish(k *call, r Result, err error) func() {
	s.calls[k.number%uint64(len(s.calls))] = nil
	s.trim()
	s.room.Broadcast()
	return func() { k.done(r, err) }
}

func (s *Session) failAll(finish []func(), err error) []func() {
	for x := s.oldest; x < s.top; x++ {
		if k := s.call(x); k != nil {
			finish = append(finish, s.finish(k, Result{}, err))
		}
	}
	for _, q := range s.queries {
		finish = append(finish, func() { q.done(Outcome{}, err) })
	}
	s.queries, s.queue = nil, nil
	s.room.Broadcast()
	return finish
}
