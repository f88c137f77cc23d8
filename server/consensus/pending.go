package consensus

import (
	"container/list"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// pending holds the requests that wait to be executed (S18) and what the core
// knows of the clients' windows. The group is what is queued and proposed, the
// request is what is waited for: a group leaves once none of its requests is
// open any more.
type pending struct {
	c       *Config
	clients map[string]*client // by id

	requests, bytes int // of all groups here
	own, ownBytes   int // of groups that clients brought to this replica

	spareSlots [][]numbered       // of clients that wait for nothing
	gathered   []crypto.GroupView // scratch of gather
	open       []uint64           // scratch of sortRequests

	all     list.List // of *group, in order of arrival
	watched list.List // of *group: those whose execution this replica waits for, the one it waits for longest first
	active  list.List // of *client with queued groups, in round-robin order
	ready   struct {  // what is queued, that is, not in a batch in flight
		requests, bytes int
	}
}

// client is what the core knows of one client.
type client struct {
	id      string
	known   bool     // the client table has it: low and bits are valid
	low     uint64   // numbers below are closed
	bits    []uint64 // executed numbers in [low, low+W), bit x mod W
	pending numbers
	bytes   int    // of its groups brought to this replica
	minOwn  uint64 // no pending number lies below it

	urgent  list.List     // of *group: urged ones, ahead of the client's others, not of other clients
	queue   list.List     // of *group: the rest
	turn    *list.Element // in active; nil: nothing is queued
	deficit int

	answers   int    // retransmissions passed on since answersAt
	answersAt uint64 // tick
}

// group is a request group that waits.
type group struct {
	view     crypto.GroupView
	client   *client
	open     int    // requests that this entry waits for
	proposed uint64 // own batch in flight that holds it, 0: none
	urged    bool   // the client asked again
	share    int    // what it counts in its peer's share of watched requests
	passedOn bool   // to the present primary
	since    uint64 // tick at which it was first watched
	from     int    // peer that relayed it, -1: a client of this replica

	age   *list.Element // in all
	watch *list.Element // in watched; nil: nobody waits for its execution here
	place *list.Element // in its client's queue or urgent; nil: not queued
}

func (p *pending) init(c *Config) {
	p.c = c
	p.clients = make(map[string]*client)
}

// client finds or makes the entry of a client.
func (p *pending) client(id []byte) *client {
	if c := p.clients[string(id)]; c != nil {
		return c
	}
	c := &client{id: string(id)}
	p.clients[c.id] = c
	return c
}

// forget drops a client of which nothing is known and nothing pending.
func (p *pending) forget(c *client) {
	if !c.known && c.pending.count == 0 && c.turn == nil {
		delete(p.clients, c.id)
	}
}

// setWindow takes over a client's window from execution.
func (p *pending) setWindow(w *Window) {
	if w.Gone {
		if c := p.clients[w.Client]; c != nil {
			c.known, c.low, c.bits = false, 0, nil
			p.forget(c)
		}
		return
	}
	c := p.clients[w.Client]
	if c == nil {
		c = &client{id: w.Client}
		p.clients[c.id] = c
	}
	c.known, c.low = true, w.Low
	c.bits = append(c.bits[:0], w.Bits...)
}

// forgetWindows forgets all windows: those of another client table follow.
func (p *pending) forgetWindows() {
	for _, c := range p.clients { //maporder: each is treated alike
		c.known, c.low = false, 0
		p.forget(c)
	}
}

// next is the client's group to be proposed first, or nil.
func (c *client) next() *group {
	e := c.urgent.Front()
	if e == nil {
		e = c.queue.Front()
	}
	if e == nil {
		return nil
	}
	return e.Value.(*group)
}

// closed reports whether number is executed or below the window.
func (c *client) closed(number uint64, window int) bool {
	if !c.known || number < c.low {
		return c.known
	}
	if number >= c.low+uint64(window) {
		return false
	}
	x := number % uint64(window)
	return c.bits[x/64]&(1<<(x%64)) != 0
}

// spans reports whether number lies W or more above a pending number: it
// would close that one when executed.
func (c *client) spans(number uint64, window int) bool {
	if c.pending.count == 0 {
		c.minOwn = number
		return false
	}
	w := uint64(window)
	if number < c.minOwn {
		c.minOwn = number
	}
	if number-c.minOwn < w {
		return false
	}
	c.minOwn = number
	c.pending.each(func(x uint64) { c.minOwn = min(c.minOwn, x) })
	return number-c.minOwn >= w
}

// add queues a group that waits for the given open requests of view.
func (p *pending) add(c *client, view crypto.GroupView, open []uint64, from int) *group {
	g := &group{view: view, client: c, open: len(open), from: from}
	for _, x := range open {
		c.pending.put(x, g, &p.spareSlots)
		c.minOwn = min(c.minOwn, x)
	}
	p.requests += len(open)
	p.bytes += len(view.Raw)
	if from < 0 {
		p.own += len(open)
		p.ownBytes += len(view.Raw)
		c.bytes += len(view.Raw)
	}
	g.age = p.all.PushBack(g)
	p.enqueue(g)
	return g
}

// enqueue makes a group ready to be proposed.
func (p *pending) enqueue(g *group) {
	if g.place != nil || g.open == 0 {
		return
	}
	p.ready.requests += g.view.Count
	p.ready.bytes += len(g.view.Raw) + 4
	c := g.client
	if g.urged {
		g.place = c.urgent.PushBack(g)
	} else {
		g.place = c.queue.PushBack(g)
	}
	if c.turn == nil {
		c.turn = p.active.PushBack(c)
	}
}

// dequeue takes a group out of what is ready.
func (p *pending) dequeue(g *group) {
	if g.place == nil {
		return
	}
	p.ready.requests -= g.view.Count
	p.ready.bytes -= len(g.view.Raw) + 4
	c := g.client
	c.urgent.Remove(g.place) // a no-op if it is in the other list
	c.queue.Remove(g.place)
	g.place = nil
	if c.turn != nil && c.next() == nil {
		p.active.Remove(c.turn)
		c.turn, c.deficit = nil, 0
	}
}

// removePending closes one request of a client, executed or expired.
func (r *Replica) removePending(c *client, number uint64) {
	g := c.pending.get(number)
	if g == nil {
		return
	}
	p := &r.pend
	c.pending.remove(number, &p.spareSlots)
	g.open--
	p.requests--
	if g.from < 0 {
		p.own--
	} else {
		r.peers[g.from].requests--
	}
	if g.open > 0 {
		return
	}
	p.dequeue(g)
	p.all.Remove(g.age)
	size := len(g.view.Raw)
	p.bytes -= size
	if g.from < 0 {
		p.ownBytes -= size
		c.bytes -= size
	} else {
		r.peers[g.from].bytes -= size
	}
	if g.from >= 0 {
		r.peers[g.from].watched -= g.share
	}
	if g.watch != nil {
		p.watched.Remove(g.watch)
		g.watch = nil
	}
}

// removeExecuted drops what a batch closed: its requests, and whatever its
// clients have pending below their windows.
func (r *Replica) removeExecuted(b *message.Batch) {
	p := &r.pend
	var req crypto.Request
	for i := range b.Groups {
		g := &b.Groups[i]
		c := p.clients[string(g.Client)]
		if c == nil || c.pending.count == 0 {
			continue
		}
		for cur := g.Cursor(); cur.Next(&req); {
			r.removePending(c, req.Number)
		}
		r.dropExpired(c)
		p.forget(c)
	}
}

// dropExpired drops pending requests that have fallen below the window.
func (r *Replica) dropExpired(c *client) {
	if !c.known || c.pending.count == 0 || c.minOwn >= c.low {
		return
	}
	c.pending.each(func(x uint64) {
		if x < c.low {
			r.removePending(c, x)
		}
	})
	c.minOwn = c.low
}
