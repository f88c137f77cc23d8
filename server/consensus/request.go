package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// maxAnswersPerSecond bounds, per client, the retransmissions through JSON
// that are passed on to all replicas.
const maxAnswersPerSecond = 64

// onRequest takes a group from a client of this replica (4.1).
func (r *Replica) onRequest(in *Input) {
	why := r.admitRequest(in)
	if in.Ticket != 0 {
		r.out.Admitted = append(r.out.Admitted, Admitted{Ticket: in.Ticket, Reason: why})
	}
}

func (r *Replica) admitRequest(in *Input) Reason {
	if !r.normal() && r.status != message.Changing {
		return NotReady
	}
	if !r.fitsBatch(&in.Group) {
		return BadRequest
	}
	c := r.pend.client(in.Group.Client)
	defer r.pend.forget(c)
	open, known := r.sortRequests(c, &in.Group, func(req *crypto.Request) {
		r.resend(in, c, req)
	})
	if len(open) > 0 {
		if why := r.quota(c, open, len(in.Group.Raw)); why != OK {
			return why
		}
		g := r.pend.add(c, in.Group, open, -1)
		r.watch(g)
		if in.Source.Retry {
			r.urge(g)
		} else if in.Source.Alone || r.views.last != nil && r.tick-r.views.installed < r.timeout() {
			r.passOn(g) // the second: its client may take this replica for the primary still
		}
	}
	for _, g := range known { // again from the client: it is impatient
		r.urge(g)
	}
	return OK
}

// fitsBatch reports whether a group can be ordered at all. A primary that took
// a larger one from a lying peer would propose what every backup must refuse.
func (r *Replica) fitsBatch(g *crypto.GroupView) bool {
	return message.BodySize(g) <= r.c.Limits.MaxBatchBytes && g.Count <= r.c.Limits.MaxBatch
}

// sortRequests tells the requests of a group apart: closed ones are given to
// answered, the others are new (open) or wait in known groups already. open is
// valid until the next call.
func (r *Replica) sortRequests(c *client, v *crypto.GroupView, answered func(*crypto.Request)) (open []uint64, known []*group) {
	var req crypto.Request
	p := &r.pend
	p.open = p.open[:0]
	for cur := v.Cursor(); cur.Next(&req); {
		if c.closed(req.Number, r.c.ClientWindow) {
			answered(&req)
		} else if g := c.pending.get(req.Number); g == nil {
			p.open = append(p.open, req.Number)
		} else if len(known) == 0 || known[len(known)-1] != g {
			known = append(known, g)
		}
	}
	return p.open, known
}

// resend answers a closed request from the client table. One that came by JSON
// is passed on to all, who answer it too: its client listens to all.
func (r *Replica) resend(in *Input, c *client, req *crypto.Request) {
	r.out.Resends = append(r.out.Resends, Resend{
		Group: in.Group, Request: *req, Ticket: in.Ticket, Peer: -1, URL: len(req.ReplyURL) > 0,
	})
	if !in.Source.JSON {
		return
	}
	if r.tick-c.answersAt >= r.timers.second {
		c.answers, c.answersAt = 0, r.tick
	}
	if c.answers++; c.answers <= maxAnswersPerSecond {
		r.send(Everyone, &message.Relay{Group: in.Group, Answer: true})
	}
}

// quota checks what one client, and all clients of this replica, may have
// waiting (8.4). A backup admits one share only, so that what backups watch
// always finds room at the primary.
func (r *Replica) quota(c *client, open []uint64, size int) Reason {
	p := &r.pend
	for _, x := range open {
		if c.spans(x, r.c.ClientWindow) {
			return WindowExceeded
		}
	}
	share := 1
	if !r.isPrimary() {
		share = r.c.N
	}
	switch {
	case c.bytes > 0 && c.bytes+size > r.c.ClientPendingBytes:
		return ClientQuota
	case p.own > 0 && p.own+len(open) > r.c.MaxPending/share,
		p.own > 0 && p.ownBytes+size > r.c.MaxPendingBytes/share:
		return Overloaded
	}
	return OK
}

// watch starts to wait for a group's execution: its delay moves the timers.
func (r *Replica) watch(g *group) {
	if g.watch == nil {
		if r.pend.watched.Len() == 0 {
			r.timers.progressed(r.tick)
		}
		g.watch, g.since = r.pend.watched.PushBack(g), r.tick
	}
}

// passOn relays a group to the primary, once per primary. The watch must not
// run on what the primary never got, so whoever watches passes on first.
func (r *Replica) passOn(g *group) {
	if !g.passedOn && !r.isPrimary() {
		g.passedOn = true
		r.send(r.primary(), &message.Relay{Group: g.view})
	}
}

// urge puts a group ahead and passes it to every replica, which watches it
// too: a primary that ignores what one replica relays would never fall.
func (r *Replica) urge(g *group) {
	r.watch(g)
	if g.urged {
		r.relayAgain(g)
		return
	}
	queued := g.place != nil
	r.pend.dequeue(g)
	g.urged = true
	if queued {
		r.pend.enqueue(g)
	}
	r.passOn(g)
	r.send(Everyone, &message.Relay{Group: g.view, Watch: true})
}

// relayAgain sends a waiting group to the primary once more: the first one may
// have been lost. A replica that gave its view up alone cannot know who is the
// primary; the others do, and watch over it.
func (r *Replica) relayAgain(g *group) {
	switch {
	case r.status == message.Changing:
		r.send(Everyone, &message.Relay{Group: g.view, Watch: true})
	case !r.isPrimary():
		r.send(r.primary(), &message.Relay{Group: g.view, Watch: g.urged})
	}
}

// onRelay takes a group that another replica passes on.
func (r *Replica) onRelay(from message.ReplicaID, m *message.Relay) {
	if !r.normal() && r.status != message.Changing {
		r.reject(from, NotReady, 0)
		return
	}
	if !r.fitsBatch(&m.Group) {
		r.reject(from, BadRequest, 0)
		return
	}
	c := r.pend.client(m.Group.Client)
	defer r.pend.forget(c)
	open, known := r.sortRequests(c, &m.Group, func(req *crypto.Request) {
		r.out.Resends = append(r.out.Resends, Resend{
			Group: m.Group, Request: *req, Peer: int(from), URL: m.Answer && len(req.ReplyURL) > 0,
		})
	})
	if m.Answer {
		return // asks for stored answers only
	}
	if m.Watch {
		for _, g := range known {
			r.passOn(g)
		}
	}
	if len(open) == 0 {
		return
	}
	p := &r.peers[from]
	size := len(m.Group.Raw)
	switch n := r.c.N; {
	case p.requests > 0 && p.requests+len(open) > r.c.MaxPending/n,
		p.requests > 0 && p.bytes+size > r.c.MaxPendingBytes/n:
		r.reject(from, PeerQuota, 0)
		return
	case m.Watch && p.watched > 0 && p.watched+m.Group.Count > r.c.MaxPending/(2*n*n):
		r.reject(from, PeerQuota, 0)
		return
	}
	g := r.pend.add(c, m.Group, open, int(from))
	p.requests += len(open)
	p.bytes += size
	if m.Watch {
		g.share = m.Group.Count
		p.watched += g.share
		r.passOn(g)
		r.watch(g)
	}
}
