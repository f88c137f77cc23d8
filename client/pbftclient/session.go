package pbftclient

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pbft-go/pbft/crypto"
)

// Session orders operations under one client id. It lives as long as its
// Client.
type Session struct {
	c       *Client
	id      string
	session uint64 // drawn when the program starts, in every request and reply
	handle  uint32 // its number on every stream

	// The client's lock guards all below.
	next    uint64        // number of the next request
	out     window        // what is outstanding
	queue   []uint64      // numbers to send to the primary
	listed  bool          // in Client.waiting
	room    chan struct{} // closed when the window has moved; nil: nobody waits
	source  int           // the replica that sends results in full
	opening []bool        // by replica: an Open waits to be sent
	tally   tally
	asked   int // outstanding requests that have votes
	queries []*query
}

func newSession(c *Client, id string, handle uint32) *Session {
	return &Session{
		c: c, id: id, session: random(), handle: handle,
		next:    uint64(time.Now().UnixMicro()),
		source:  int((c.spread + uint64(handle)) % uint64(len(c.conns))),
		opening: make([]bool, len(c.conns)),
	}
}

// ID is the session's client id.
func (s *Session) ID() string { return s.id }

// start places calls, in order. It returns those that ended at once.
func (s *Session) start(ctx context.Context, number *uint64, calls []*Call) (ended []*Call) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = c.now()
	for i, call := range calls {
		if err := s.place(ctx, number, call); err != nil {
			call.Err = err
			ended = append(ended, call)
			if ctx.Err() != nil || c.closed {
				for _, rest := range calls[i+1:] {
					rest.Err = err
				}
				ended = append(ended, calls[i+1:]...)
				break
			}
		}
	}
	c.stir()
	c.wakeTarget()
	return ended
}

// place makes a call outstanding once there is room for it.
func (s *Session) place(ctx context.Context, number *uint64, call *Call) error {
	c := s.c
	call.Result, call.Err = Result{}, nil
	if number != nil && *number > crypto.MaxNumber {
		return invalid("number %d, the largest allowed is %d", *number, uint64(crypto.MaxNumber))
	}
	x, err := s.waitForRoom(ctx, number)
	if err != nil {
		return err
	}
	if len(call.Op) > c.terms.operation {
		return invalid("operation of %d bytes, the most allowed is %d", len(call.Op), c.terms.operation)
	}
	if x > crypto.MaxNumber {
		return invalid("client %q has used up its numbers: use another client id", s.id)
	}
	call.Number = x
	r := s.out.add(x)
	r.call, r.ctx, r.begun, r.due, r.wait = call, ctx, c.clock, c.clock+int64(c.o.Retry), c.o.Retry
	s.next = max(s.next, x+1)
	s.enqueue(r)
	c.outstanding++
	return nil
}

// waitForRoom waits until the window takes the number, or the next one, and
// returns it.
func (s *Session) waitForRoom(ctx context.Context, number *uint64) (uint64, error) {
	c := s.c
	for {
		x := s.next
		if number != nil {
			x = *number
		}
		switch {
		case c.closed:
			return 0, ErrClosed
		case ctx.Err() != nil:
			return 0, fmt.Errorf("%w: %w (%s)", ErrNotSent, ctx.Err(), c.state())
		case number != nil && s.out.at(x) != nil:
			return 0, fmt.Errorf("%w: number %d is outstanding in this program", ErrNumberReused, x)
		case c.settled && s.out.fits(x, c.terms.window):
			return x, nil
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		c.stir() // for what was placed so far
		c.wakeTarget()
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
		c.mu.Lock()
		c.clock = c.now()
	}
}

// moved wakes those who wait for room.
func (s *Session) moved() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// enqueue lets a request go to the primary with what else waits.
func (s *Session) enqueue(r *slot) {
	if r.queued {
		return
	}
	r.queued = true
	if len(s.queue) > 2*s.out.count+minSlots {
		s.queue = slices.DeleteFunc(s.queue, func(x uint64) bool { return s.out.at(x) == nil }) // what ended while no replica was there
	}
	s.queue = append(s.queue, r.number)
	if !s.listed {
		s.listed = true
		s.c.waiting = append(s.c.waiting, s)
	}
}

// end takes a request out of the window and gives its call, which is to be
// told once the lock is free.
func (s *Session) end(r *slot, result Result, err error) *Call {
	call := r.call
	call.Result, call.Err = result, err
	if r.votes != nil {
		s.asked--
	}
	s.out.remove(r)
	s.c.outstanding--
	s.moved()
	return call
}

// giveUp ends a request whose context is over.
func (s *Session) giveUp(r *slot, cause error) *Call {
	if !r.sent {
		return s.end(r, Result{}, fmt.Errorf("%w: %w (%s)", ErrNotSent, cause, s.c.state()))
	}
	return s.end(r, Result{}, &UnknownError{Client: s.id, Number: r.number, Cause: cause, state: s.c.state()})
}

// abandon ends a call if it is outstanding.
func (s *Session) abandon(call *Call, cause error) []*Call {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if r := s.out.at(call.Number); r != nil && r.call == call {
		return []*Call{s.giveUp(r, cause)}
	}
	return nil
}

// failAll ends everything that is outstanding.
func (s *Session) failAll(ended []*Call, err error) []*Call {
	s.out.each(func(r *slot) { ended = append(ended, s.end(r, Result{}, err)) })
	for _, q := range s.queries {
		q.fail(err)
	}
	s.queue, s.queries = nil, nil
	return ended
}
