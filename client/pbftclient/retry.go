package pbftclient

import (
	"time"

	"github.com/pbft-go/pbft/wire"
)

const (
	// lookInterval is how often outstanding requests are looked at; more often
	// only where Options.Retry is very short.
	lookInterval = 10 * time.Millisecond
	// maxBackoff bounds the doubling of Options.Retry.
	maxBackoff = 8
)

// stir starts the watch, where nothing was outstanding before.
func (c *Client) stir() {
	select {
	case c.stirred <- struct{}{}:
	default:
	}
}

// watch looks after what takes long, while anything is outstanding.
func (c *Client) watch() {
	interval := max(time.Millisecond, min(lookInterval, c.o.Retry/4))
	t := time.NewTimer(interval)
	defer t.Stop()
	for {
		select {
		case <-c.stirred:
		case <-c.ctx.Done():
			return
		}
		for busy := true; busy; {
			t.Reset(interval)
			select {
			case <-t.C:
			case <-c.ctx.Done():
				return
			}
			var ended []*Call
			ended, busy = c.look()
			finished(ended)
		}
	}
}

// look ends calls whose contexts are over and sends again what waits too
// long. It reports whether anything is left to look after.
func (c *Client) look() (ended []*Call, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, k := range c.conns {
		// One that has not taken the last retransmissions gets no more of them.
		k.behind = !k.up || len(k.resend) > 0
	}
	for _, s := range c.sessions {
		s.lookAtQueries(now)
		if s.out.count == 0 {
			continue
		}
		s.out.each(func(r *slot) {
			if err := r.ctx.Err(); err != nil {
				ended = append(ended, s.giveUp(r, err))
				return
			}
			if r.again != 0 && now >= r.again {
				r.again = 0
				s.enqueue(r)
			}
			if now >= r.due {
				s.retry(r, now)
			}
		})
		if t := &s.tally; t.starved != 0 && now-t.since > int64(c.o.Retry/2) {
			s.moveSource()
		}
	}
	for _, k := range c.conns {
		if k.up && len(k.resend) > 0 {
			k.wakeUp()
		}
	}
	c.wakeTarget()
	return ended, c.outstanding+c.questions > 0
}

// retry sends a request to all replicas. It never gives up: only the context
// does.
func (s *Session) retry(r *slot, now int64) {
	s.ask(r)
	r.due = now + int64(r.wait)
	r.wait = min(2*r.wait, maxBackoff*s.c.o.Retry)
	for _, k := range s.c.conns {
		if !k.behind {
			k.resend = append(k.resend, request{s, r.number})
		}
	}
}

// sendElsewhere sends again what went to a replica whose stream broke: to the
// primary, or, where that was it, to all, who watch over it then.
func (s *Session) sendElsewhere(k *conn) {
	c := s.c
	wasPrimary := c.settled && c.view%uint64(len(c.conns)) == uint64(k.index)
	s.out.each(func(r *slot) {
		switch {
		case !r.sent || r.to != k.index:
		case wasPrimary:
			r.due = c.now()
		default:
			s.enqueue(r)
		}
	})
}

// moveSource has another replica send results in full, because the present one
// is late or gone: f+1 others have answered without it.
func (s *Session) moveSource() {
	c := s.c
	s.tally.starved = 0
	old := s.source
	for i := 1; i < len(c.conns); i++ {
		if next := (old + i) % len(c.conns); c.conns[next].up {
			s.source = next
			break
		}
	}
	if s.source == old {
		return
	}
	c.log.Debug("another replica sends results", "client", s.id, "before", old, "now", s.source)
	c.conns[s.source].open(s)
	if c.conns[old].up {
		c.conns[old].open(s)
	}
	s.askAll(c.conns...)
}

// askAll asks replicas for the outcome of all that was sent. Who executed it
// before its session was opened there, or as one that sends digests, says so
// now; who executes it later sends a block.
func (s *Session) askAll(conns ...*conn) {
	s.out.each(func(r *slot) {
		if !r.sent {
			return
		}
		s.ask(r)
		for _, k := range conns {
			k.ask(wire.OutcomeQuery{Handle: s.handle, Number: r.number, Session: s.session})
		}
	})
}
