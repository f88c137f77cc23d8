package pbftclient

import (
	"math/bits"
	"strings"
	"time"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

// votes are what the replicas say of one request, each its newest word.
type votes struct {
	singles []vote
	refused uint64 // replicas that refused it for good, one bit each
}

// vote is one replica's word about one request.
type vote struct {
	replica int
	session uint64 // that executed the request
	outcome crypto.Outcome
	result  crypto.Result
}

// add replaces the replica's vote, and returns one that f+1 replicas share,
// in full if one of them has the result.
func (v *votes) add(w vote, f int) *vote {
	i := 0
	for i < len(v.singles) && v.singles[i].replica != w.replica {
		i++
	}
	if i == len(v.singles) {
		v.singles = append(v.singles, w)
	}
	v.singles[i] = w
	equal := 0
	best := &v.singles[i]
	for i := range v.singles {
		if o := &v.singles[i]; o.outcome == w.outcome && o.session == w.session {
			equal++
			if !o.result.Tombstone {
				best = o
			}
		}
	}
	if equal > f {
		return best
	}
	return nil
}

// vote counts one replica's word about an outstanding request that was asked
// for; others are answered by blocks.
func (s *Session) vote(replica int, v vote, ended []*Call) []*Call {
	r := s.out.at(v.result.Number)
	if r == nil || r.votes == nil || v.session != s.session || v.result.Status == crypto.StatusNotExecuted {
		return ended
	}
	v.replica, v.outcome = replica, s.c.cluster.OutcomeOf(&v.result)
	if won := r.votes.add(v, s.c.f); won != nil {
		if call := s.accept(r, &won.result); call != nil {
			ended = append(ended, call)
		}
	}
	return ended
}

// ask makes room for the votes of a request.
func (s *Session) ask(r *slot) *votes {
	if r.votes == nil {
		r.votes = &votes{}
		s.asked++
	}
	return r.votes
}

// onSingle counts a reply to a retransmission or a query. The stream says who
// speaks, and the session ties the answer to this program's request: the
// reply's own fields could be anybody's.
func (s *Session) onSingle(k *conn, x *wire.Single, ended []*Call) []*Call {
	if x.Client != s.id {
		return ended
	}
	s.answerQueries(k.index, x)
	return s.vote(k.index, vote{session: x.Session, result: x.Result}, ended)
}

const (
	// minBackoff is the least pause after a refusal.
	minBackoff = 5 * time.Millisecond
	// maxDoublings is how often the pause doubles, while refusals go on.
	maxDoublings = 6
)

// onRefusal takes note that a replica did not admit a group. What may pass is
// sent again; what f+1 replicas refuse for good is over.
func (s *Session) onRefusal(k *conn, x *wire.Refusal, ended []*Call) []*Call {
	if s.out.count == 0 {
		return ended
	}
	for number := max(x.First, s.out.low); number <= x.Last && number < s.out.high; number++ {
		r := s.out.at(number)
		switch {
		case r == nil:
		case !final(x.Reason):
			s.backOff(r, x.RetryAfter)
		case s.refuse(r, k.index):
			ended = append(ended, s.end(r, Result{}, &RefusedError{
				Reason:  strings.TrimPrefix(x.Reason.String(), "REFUSAL_REASON_"),
				Message: x.Message, RetryAfter: x.RetryAfter,
			}))
		}
	}
	return ended
}

func final(r pbftv1.RefusalReason) bool {
	return r == pbftv1.RefusalReason_REFUSAL_REASON_INVALID || r == pbftv1.RefusalReason_REFUSAL_REASON_UNAUTHENTICATED
}

// backOff sends a request to the primary again after a while. Until then there
// is no use in asking everybody, but a primary that always refuses must not
// get away with it.
func (s *Session) backOff(r *slot, hint time.Duration) {
	now, retry := s.c.now(), s.c.o.Retry
	pause := min(max(hint, minBackoff), retry) << min(r.refused, maxDoublings)
	r.again = now + int64(min(pause, retry))
	r.refused++
	if r.wait == retry { // not sent to all yet
		r.due = min(now+int64(retry), r.begun+int64(maxBackoff*retry))
	}
}

// refuse notes that a replica refuses a request for good, and reports whether
// f+1 do. After the first the others are asked: it may have lied.
func (s *Session) refuse(r *slot, replica int) bool {
	v := s.ask(r)
	first := v.refused == 0
	v.refused |= 1 << replica
	if bits.OnesCount64(v.refused) > s.c.f {
		return true
	}
	if first {
		r.due = s.c.now()
	}
	return false
}
