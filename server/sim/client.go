package sim

import (
	"fmt"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
)

// client is a correct client: it keeps several requests outstanding, believes
// what f+1 replicas say alike, sends to all replicas what takes long, and
// complains when that takes long, too.
type client struct {
	w     *world
	index int
	node  int // in the network
	name  string
	plan  ClientPlan

	session uint64
	next    uint64     // number of the next request
	open    []*request // outstanding, by number
	left    int        // requests still to issue
	issued  int
	done    int
	gateway int // replica that calls go to

	lastValue string // that it read last

	views  []uint64 // by replica: the view that it claims
	view   uint64   // that f+1 replicas have reached
	blocks []ballot
}

// request is one that is outstanding.
type request struct {
	number uint64
	group  crypto.GroupView // that brought it
	floor  uint64           // position in the history that lies below its own
	op     []byte
	due    int64 // when it goes to all replicas
	wait   int64
	again  int64 // when it goes to the primary once more, after a refusal; 0: never
	tries  int
	votes  []vote
}

func newClient(w *world, i int) *client {
	c := &client{
		w: w, index: i, node: w.plan.N + i, name: fmt.Sprint("c", i), plan: w.plan.Clients[i],
		session: 1000 + uint64(i), next: uint64(i) * 1000, views: make([]uint64, w.plan.N),
	}
	c.left = c.plan.Requests
	return c
}

func (c *client) start() {
	c.gateway = c.w.rnd.IntN(c.w.plan.N)
	c.w.after(c.w.upTo(c.plan.Pause), c.issueLoop)
	c.w.after(c.w.plan.Retry/4, c.look)
}

// idle reports whether everything that there was to do is done.
func (c *client) idle() bool { return c.left == 0 && len(c.open) == 0 || c.plan.Mode == ModeFlood }

// issueLoop issues a group now and then.
func (c *client) issueLoop() {
	if c.plan.Mode == ModeFlood {
		if c.w.now >= c.w.plan.End {
			return
		}
		c.flood()
	} else {
		c.issue()
	}
	c.w.after(1+c.w.rnd.Int64N(2*c.plan.Pause), c.issueLoop)
}

// issue issues a group, as far as the windows allow.
func (c *client) issue() {
	k := min(1+c.w.rnd.IntN(c.plan.Group), c.left, c.plan.Window-len(c.open))
	if len(c.open) > 0 {
		k = min(k, int(c.open[0].number)+c.w.plan.ClientWindow-int(c.next))
	}
	if k <= 0 {
		return
	}
	g := crypto.Group{Client: c.name, Session: c.session}
	for range k {
		r := &request{number: c.next, op: c.operation(), floor: c.w.check.accepted, wait: c.w.plan.Retry, due: c.w.now + c.w.plan.Retry}
		c.next++
		g.Requests = append(g.Requests, crypto.Request{Number: r.number, Kind: crypto.KindOperation, Op: r.op, ClientTime: crypto.NoClientTime, ReplyURL: c.url()})
		c.open = append(c.open, r)
	}
	c.left -= k
	c.issued += k
	if c.plan.Mode != ModeStream {
		g.Session = clusterID.SessionOfData(g.Requests[0].Op)
		g.Origin = uint16(c.gateway) + 1
	}
	v := c.w.keys.signGroup(&g)
	for _, r := range c.open[len(c.open)-k:] {
		r.group = v
		c.w.check.issued(c, r, v.Session)
	}
	if c.plan.Mode == ModeStream {
		c.sendGroup(c.primary(), v, consensus.Source{})
	} else {
		c.call(v)
	}
}

func (c *client) url() []byte {
	if c.plan.Mode == ModePosted {
		return []byte(c.name)
	}
	return nil
}

func (c *client) primary() int { return consensus.Primary(c.view, c.w.plan.N) }

func (c *client) sendGroup(to int, g crypto.GroupView, src consensus.Source) {
	c.w.net.carry(c.node, to, func() { c.w.hosts[to].submit(g, src) })
}

// call gives a request to one replica, which makes itself its origin.
func (c *client) call(g crypto.GroupView) {
	to := c.gateway
	raw := g.WithOrigin(uint16(to) + 1)
	v := g.Rebase(raw)
	v.Origin = uint16(to) + 1
	c.w.net.carry(c.node, to, func() { c.w.hosts[to].call(v, c.plan.Mode == ModePosted) })
}

// look looks after what takes long.
func (c *client) look() {
	c.w.after(c.w.plan.Retry/4, c.look)
	if len(c.open) == 0 || c.plan.Mode == ModeFlood {
		return
	}
	var late []*request
	for _, r := range c.open {
		if r.again != 0 && c.w.now >= r.again {
			r.again = 0
			c.sendAgain(r, c.primary(), consensus.Source{})
		}
		if c.w.now >= r.due {
			late = append(late, r)
		}
	}
	complain := false
	for _, r := range late {
		r.due = c.w.now + r.wait
		r.wait = min(2*r.wait, 8*c.w.plan.Retry)
		r.tries++
		complain = complain || r.tries > 2
		c.w.cover.add("retries")
		if c.plan.Mode != ModeStream {
			c.gateway = (c.gateway + 1) % c.w.plan.N
			c.call(r.group)
			continue
		}
		for to := range c.w.hosts {
			c.sendAgain(r, to, consensus.Source{Retry: true})
		}
	}
	if complain {
		c.complain()
	}
}

// sendAgain sends a request again, alone or with its group.
func (c *client) sendAgain(r *request, to int, src consensus.Source) {
	g := r.group
	if g.Count > 1 && c.w.rnd.IntN(2) == 0 {
		g = c.w.keys.signGroup(&crypto.Group{Client: c.name, Session: c.session, Requests: []crypto.Request{
			{Number: r.number, Kind: crypto.KindOperation, Op: r.op, ClientTime: crypto.NoClientTime},
		}})
	}
	c.sendGroup(to, g, src)
}

// complain asks all replicas for a view change.
func (c *client) complain() {
	c.w.cover.add("complaints")
	for _, h := range c.w.hosts {
		c.w.net.carry(c.node, h.id, func() { h.put(item{input: consensus.Input{Kind: consensus.InComplaint}}) })
	}
}

// flood offers Requests of them, whatever became of those before.
func (c *client) flood() {
	for k := c.plan.Requests; k > 0; k -= c.plan.Group {
		g := crypto.Group{Client: c.name, Session: c.session}
		for range min(k, c.plan.Group) {
			r := &request{number: c.next, op: c.operation()}
			c.next++
			g.Requests = append(g.Requests, crypto.Request{Number: r.number, Kind: crypto.KindOperation, Op: r.op, ClientTime: crypto.NoClientTime})
			c.w.check.issued(c, r, c.session)
		}
		c.sendGroup(c.primary(), c.w.keys.signGroup(&g), consensus.Source{Retry: c.plan.Urgent})
	}
}

// find is the outstanding request of a number, or nil.
func (c *client) find(number uint64) *request {
	i, ok := slices.BinarySearchFunc(c.open, number, func(r *request, x uint64) int { return int(r.number) - int(x) })
	if !ok {
		return nil
	}
	return c.open[i]
}
