package pbftclient

import (
	"context"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

// Outcome is what replicas say became of a number.
type Outcome struct {
	Executed bool
	Status   string // OK, EXPIRED or NOT_EXECUTED: not, or not yet
	Session  uint64 // of the program that submitted it; set if Executed, like the rest
	N        uint64 // sequence number of the batch that executed it
	Value    []byte // the application's result
	Gone     bool   // the result is not kept any more
}

// query is one question for the outcome of a number, under any session.
type query struct {
	number uint64
	votes  votes
	due    int64 // when the replicas are asked again
	done   chan struct{}
	answer Outcome
	err    error
}

func (q *query) fail(err error) {
	q.err = err
	close(q.done)
}

// Outcome asks what became of a number of this client, whichever program
// submitted it. It orders nothing. f+1 replicas vouch for the answer;
// NOT_EXECUTED takes as many answers as one may wait for, and says nothing of
// a request that is still on its way. Errors are ErrClosed, *RefusedError for
// a number out of range, and *UnknownError.
func (s *Session) Outcome(ctx context.Context, number uint64) (Outcome, error) {
	if number > crypto.MaxNumber {
		return Outcome{}, invalid("number %d, the largest allowed is %d", number, uint64(crypto.MaxNumber))
	}
	c := s.c
	q := &query{number: number, done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Outcome{}, ErrClosed
	}
	s.queries = append(s.queries, q)
	c.questions++
	s.lookAtQueries(c.now())
	c.stir()
	c.mu.Unlock()
	select {
	case <-q.done:
		return q.answer, q.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.forget(q)
	return Outcome{}, &UnknownError{Client: s.id, Number: number, Cause: ctx.Err(), state: c.state()}
}

func (s *Session) forget(q *query) {
	for i := range s.queries {
		if s.queries[i] == q {
			s.queries = append(s.queries[:i], s.queries[i+1:]...)
			s.c.questions--
			return
		}
	}
}

// lookAtQueries asks all replicas what was not answered in time.
func (s *Session) lookAtQueries(now int64) {
	if !s.c.settled {
		return
	}
	for _, q := range s.queries {
		if now >= q.due {
			q.due = now + int64(s.c.o.Retry)
			for _, k := range s.c.conns {
				k.ask(wire.OutcomeQuery{Handle: s.handle, Number: q.number})
			}
		}
	}
}

// answerQueries counts a replica's answer.
func (s *Session) answerQueries(replica int, x *wire.Single) {
	if x.Result.Status == crypto.StatusRejected {
		return // answers a request of some session; a query is for any
	}
	c := s.c
	for i := 0; i < len(s.queries); i++ {
		q := s.queries[i]
		if q.number != x.Result.Number {
			continue
		}
		v := vote{replica: replica, session: x.Session, outcome: c.cluster.OutcomeOf(&x.Result), result: x.Result}
		if x.Result.Status != crypto.StatusOK {
			v.session = 0
		}
		won := q.votes.add(v, c.f)
		if won == nil || x.Result.Status == crypto.StatusNotExecuted && len(q.votes.singles) < len(c.conns)-c.f {
			continue
		}
		r := &won.result
		q.answer = Outcome{Executed: r.Status == crypto.StatusOK, Status: r.Status.String(), Session: won.session, N: r.N, Value: r.Value, Gone: r.Tombstone}
		close(q.done)
		s.forget(q)
		i--
	}
}
