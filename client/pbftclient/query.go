package pbftclient

import (
	"context"
	"time"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

// Outcome is what f+1 replicas say became of a number.
type Outcome struct {
	Executed bool
	Status   string // OK, EXPIRED, REJECTED or NOT_EXECUTED
	N        uint64
	Value    []byte
	Gone     bool // executed, but the result is not kept any more
}

// query is one question for the outcome of a number, under any session.
type query struct {
	ctx    context.Context
	number uint64
	votes  []vote
	done   func(Outcome, error)
	askAt  time.Time
}

// Outcome asks what became of a number of this client, whichever program
// submitted it. It orders nothing.
func (s *Session) Outcome(ctx context.Context, number uint64) (Outcome, error) {
	type answer struct {
		o   Outcome
		err error
	}
	got := make(chan answer, 1)
	c := s.c
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Outcome{}, ErrClosed
	}
	s.queries = append(s.queries, &query{ctx: ctx, number: number, done: func(o Outcome, err error) { got <- answer{o, err} }})
	c.mu.Unlock()
	a := <-got
	return a.o, a.err
}

// lookQueries ends questions whose contexts are over and asks the others again.
func (s *Session) lookQueries(finish []func(), now time.Time) []func() {
	kept := s.queries[:0]
	for _, q := range s.queries {
		if err := q.ctx.Err(); err != nil {
			finish = append(finish, func() { q.done(Outcome{}, &unknownError{err}) })
			continue
		}
		if !now.Before(q.askAt) {
			q.askAt = now.Add(s.c.o.Retry)
			for _, k := range s.c.conns {
				k.ask(wire.OutcomeQuery{Handle: s.handle, Number: q.number})
			}
		}
		kept = append(kept, q)
	}
	clear(s.queries[len(kept):])
	s.queries = kept
	return finish
}

// answerQuery counts a replica's answer.
func (s *Session) answerQuery(finish []func(), replica int, x *wire.Single) []func() {
	kept := s.queries[:0]
	for _, q := range s.queries {
		// REJECTED answers a request of this session; a query is for any.
		if q.number != x.Result.Number || x.Result.Status == crypto.StatusRejected {
			kept = append(kept, q)
			continue
		}
		var full *crypto.Result
		q.votes, full = addVote(q.votes, vote{replica, s.c.cluster.OutcomeOf(&x.Result), x.Result}, s.c.f)
		if full == nil {
			kept = append(kept, q)
			continue
		}
		o := Outcome{Executed: full.Status == crypto.StatusOK, Status: full.Status.String(), N: full.N, Value: full.Value, Gone: full.Tombstone}
		finish = append(finish, func() { q.done(o, nil) })
	}
	clear(s.queries[len(kept):])
	s.queries = kept
	return finish
}
