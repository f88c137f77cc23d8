package pbftclient

import (
	"context"

	"google.golang.org/grpc"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

const (
	// maxFrame is about the most bytes in one message to a replica, unless a
	// single request is larger. Replicas take several times that.
	maxFrame = 1 << 20
	// requestBytes is what a request takes in a group's canonical bytes, and
	// groupBytes a group, beside operations and client id.
	requestBytes = 8 + 1 + 4 + 8 + 4
	groupBytes   = 4 + 8 + 4 + 4 + crypto.SignatureSize + 2
)

// send writes what waits for this replica until the stream breaks.
func (k *conn) send(ctx context.Context, g grpc.ClientStream) error {
	for {
		b, more := k.gather()
		if len(b) > 0 {
			if err := g.SendMsg(&wire.Segments{Parts: [][]byte{b}}); err != nil {
				k.c.wakeOther(k)
				return err // the reader knows why
			}
		}
		if more {
			continue
		}
		select {
		case <-k.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wakeOther has another replica's sender look for work, where this one's
// stream breaks.
func (c *Client) wakeOther(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, _ := c.target(); t != k {
		c.wakeTarget()
	}
}

// gather makes one message of what waits, and reports whether more does.
// Operations belong to callers, who may change them once their calls have
// ended: so they are copied under the lock.
func (k *conn) gather() (b []byte, more bool) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settled || !k.up {
		return nil, false
	}
	f := &k.frame
	f.reset(&c.terms)
	f.to = k.index
	k.gatherOpens(f)
	n := min(len(k.asks), wire.MaxItems)
	f.out.Outcomes = k.asks[:n]
	k.asks = k.asks[n:]
	k.gatherResends(f)
	if t, isPrimary := c.target(); t == k && len(k.opens) == 0 {
		f.begin(!isPrimary, false)
		c.gatherQueues(f)
		more = len(c.waiting) > 0
	}
	return f.encode(), more || len(k.opens)+len(k.asks)+len(k.resend) > 0
}

func (k *conn) gatherOpens(f *frame) {
	n := min(len(k.opens), wire.MaxItems)
	for _, s := range k.opens[:n] {
		s.opening[k.index] = false
		f.out.Opens = append(f.out.Opens, wire.Open{
			Handle: s.handle, Client: s.id, Session: s.session, Digests: s.source != k.index,
		})
		f.size += 32 + len(s.id)
	}
	if k.opens = k.opens[n:]; len(k.opens) == 0 {
		k.opens = nil
	}
}

func (k *conn) gatherResends(f *frame) {
	f.begin(false, true)
	n := 0
	for _, q := range k.resend {
		if r := q.s.out.at(q.number); r != nil {
			if !f.add(q.s, r) {
				break
			}
			r.sent = true
		}
		n++
	}
	if k.resend = k.resend[n:]; len(k.resend) == 0 {
		k.resend = nil
	}
}

// gatherQueues takes new requests, session by session. A session whose queue
// does not fit goes to the end.
func (c *Client) gatherQueues(f *frame) {
	for range len(c.waiting) {
		s := c.waiting[0]
		fits := s.gatherQueue(f)
		if !fits && len(c.waiting) == 1 {
			return
		}
		copy(c.waiting, c.waiting[1:])
		if !fits {
			c.waiting[len(c.waiting)-1] = s
			return
		}
		s.listed = false
		c.waiting = c.waiting[:len(c.waiting)-1]
	}
}

// gatherQueue reports whether all of the session's queue fits.
func (s *Session) gatherQueue(f *frame) bool {
	for i, number := range s.queue {
		r := s.out.at(number)
		if r == nil || !r.queued {
			continue // ended meanwhile
		}
		if !f.add(s, r) {
			s.queue = s.queue[:copy(s.queue, s.queue[i:])]
			return false
		}
		r.queued, r.sent, r.to = false, true, f.to
	}
	s.queue = s.queue[:0]
	return true
}
