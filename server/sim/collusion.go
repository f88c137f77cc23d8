package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Collusion is what all liars of a run know together: whatever any of them
// received, and their keys.
type Collusion struct {
	Liars []*Liar

	Batches     []*message.Batch      // proposals and bodies, oldest first
	Groups      []crypto.GroupView    // of correct clients, from batches and relays
	ViewChanges []*message.ViewChange // oldest first, own ones not included
	NewViews    []*message.NewView
	Certificate *message.Certificate // the newest; nil: none yet
	Votes       []Vote               // the newest maxMemory
	Notes       map[string]any       // for behaviours that work together, by their own keys

	w      *world
	seen   map[message.Message]bool
	number uint64 // last one of the puppet
}

// Vote is a Prepare or a Commit of somebody.
type Vote struct {
	From    int
	Commit  bool
	View, N uint64
	Digest  crypto.Digest
}

// maxMemory bounds what liars remember of each kind.
const maxMemory = 512

// puppet is a client that the liars control. The cluster lets it order.
const puppet = "puppet"

func newCollusion(w *world) *Collusion {
	return &Collusion{w: w, Notes: map[string]any{}, seen: map[message.Message]bool{}}
}

func remember[T any](list []T, x T) []T {
	if len(list) == maxMemory {
		list = slices.Delete(list, 0, maxMemory/4)
	}
	return append(list, x)
}

// saw remembers what a liar received.
func (c *Collusion) saw(from int, m message.Message) {
	switch m := m.(type) {
	case *message.Prepare:
		c.Votes = remember(c.Votes, Vote{from, false, m.View, m.N, m.Digest})
		return
	case *message.Commit:
		c.Votes = remember(c.Votes, Vote{from, true, m.View, m.N, m.Digest})
		return
	}
	if c.seen[m] {
		return
	}
	c.seen[m] = true
	switch m := m.(type) {
	case *message.PrePrepare:
		if m.Batch != nil {
			c.sawBatch(m.Batch)
		}
	case *message.Body:
		c.sawBatch(m.Batch)
	case *message.Relay:
		c.Groups = remember(c.Groups, m.Group)
	case *message.ViewChange:
		c.ViewChanges = remember(c.ViewChanges, m)
	case *message.NewView:
		c.NewViews = remember(c.NewViews, m)
	case *message.StableCertificate:
		if c.Certificate == nil || m.Certificate.N() > c.Certificate.N() {
			c.Certificate = &m.Certificate
		}
	}
}

func (c *Collusion) sawBatch(b *message.Batch) {
	c.Batches = remember(c.Batches, b)
	for _, g := range b.Groups {
		c.Groups = remember(c.Groups, g)
	}
}

// Lies reports whether a replica is one of the liars.
func (c *Collusion) Lies(replica int) bool { return c.w.plan.lies(replica) }

// Sign signs a Checkpoint, ViewChange or NewView as the replica that it names,
// which must be a liar: nobody has the keys of others.
func (c *Collusion) Sign(m message.Message) {
	sign := func(r message.ReplicaID, tag crypto.Tag, b []byte) [crypto.SignatureSize]byte {
		if !c.Lies(int(r)) {
			panic("sim: liars have the keys of liars only")
		}
		s := c.w.keys.replica(int(r))
		return c.w.keys.sign(&s, tag, b)
	}
	switch m := m.(type) {
	case *message.Checkpoint:
		m.Signature = sign(m.Replica, crypto.TagCheckpoint, m.AppendSigned(nil))
	case *message.ViewChange:
		m.Signature = sign(m.Replica, crypto.TagViewChange, m.AppendSigned(nil))
	case *message.NewView:
		m.Signature = sign(m.Replica, crypto.TagNewView, m.AppendSigned(nil))
	default:
		panic("sim: this kind of message is not signed")
	}
}

// Group makes a signed group of the puppet, with new numbers.
func (c *Collusion) Group(ops ...string) crypto.GroupView {
	g := crypto.Group{Client: puppet, Session: 1}
	for _, op := range ops {
		c.number++
		g.Requests = append(g.Requests, crypto.Request{Number: c.number, Kind: crypto.KindOperation, Op: []byte(op), ClientTime: crypto.NoClientTime})
	}
	return c.w.keys.signGroup(&g)
}

// SignGroup signs any group of the puppet.
func (c *Collusion) SignGroup(g crypto.Group) crypto.GroupView {
	g.Client = puppet
	return c.w.keys.signGroup(&g)
}

// Batch makes a batch at n that every correct replica takes, as proposed at a
// time in microseconds since 1970.
func (c *Collusion) Batch(n uint64, wallUS int64, groups ...crypto.GroupView) *message.Batch {
	return message.NewBatch(clusterID, message.Header{N: n, WallUS: wallUS}, groups)
}

// Decide decides a set of view changes for one view; it reports false if they
// do not decide.
func (c *Collusion) Decide(set []*message.ViewChange) (crypto.Digest, bool) {
	d := decide(c.w.plan, set)
	return d.digest(), d.ok
}

// ViewChangesFor are those that the liars know for a view, one per sender, by
// sender; the newest of each.
func (c *Collusion) ViewChangesFor(view uint64) (set []*message.ViewChange) {
	by := make([]*message.ViewChange, c.w.plan.N)
	for _, m := range c.ViewChanges {
		if m.NewView == view {
			by[m.Replica] = m
		}
	}
	for _, m := range by {
		if m != nil {
			set = append(set, m)
		}
	}
	return set
}

// ViewChange makes a signed view change of a liar that claims nothing beyond
// the newest certificate that the liars know.
func (c *Collusion) ViewChange(replica int, view uint64, p, q []message.PQ) *message.ViewChange {
	m := &message.ViewChange{Replica: message.ReplicaID(replica), Incarnation: incarnationOfAll, NewView: view, P: p, Q: q}
	if c.Certificate != nil {
		m.H, m.Certificate = c.Certificate.N(), *c.Certificate
	}
	c.Sign(m)
	return m
}

// NewView makes a signed new view of the view's primary, which must be a liar,
// on a set of view changes by rising sender, with a decision that need not
// follow from it.
func (c *Collusion) NewView(view uint64, set []*message.ViewChange, decided crypto.Digest) *message.NewView {
	m := &message.NewView{
		Replica: message.ReplicaID(view % uint64(c.w.plan.N)), Incarnation: incarnationOfAll, View: view, DecisionDigest: decided,
	}
	for _, vc := range set {
		m.ViewChanges = append(m.ViewChanges, message.ViewChangeRef{Replica: vc.Replica, Digest: vc.Digest(clusterID)})
	}
	c.Sign(m)
	return m
}
