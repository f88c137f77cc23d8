package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B20 view change forgets", func() Behaviour {
		return &rewriter{what: "B20 view change that forgets", change: forget}
	})
	register("B21 view change invents P", func() Behaviour {
		return &rewriter{what: "B21 view change with an invented P", change: inventP}
	})
	register("B22 view change invents Q", func() Behaviour {
		return &rewriter{what: "B22 view change with an invented Q", change: overfill}
	})
	register("B23 view change with P without Q", func() Behaviour {
		return &rewriter{what: "B23 view change with P without Q", change: uncover, invalid: true}
	})
	register("B24 two view changes for one view", func() Behaviour {
		return &rewriter{what: "B24 second view change for a view", change: forgetOrInvent, half: true}
	})
}

// rewriter sends other view changes than its core makes, to all or to half of
// the others.
type rewriter struct {
	Honest
	restless
	what    string
	change  func(*Liar, *message.ViewChange) // changes a copy
	invalid bool                             // channels refuse what change makes
	half    bool

	mask
	forged map[*message.ViewChange]*message.ViewChange
	views  map[*message.NewView]*message.NewView
	gets   uint64 // of half: who gets what change makes, one bit each
}

// Tick gives up own views.
func (r *rewriter) Tick(l *Liar) { r.restless.Tick(l) }

// Send sends the changed view change, and new views that name it.
func (r *rewriter) Send(l *Liar, to int, m message.Message) []Outgoing {
	if r.keeps(l, to, m) {
		return nil
	}
	switch x := m.(type) {
	case *message.ViewChange:
		if !l.own(m) {
			break
		}
		r.made(l, x)
		if x = r.changed(l, x); !r.half || r.gets&(1<<to) != 0 {
			l.lied(r.what)
			m = x
		}
	case *message.NewView:
		if m = r.out(x); l.own(m) {
			m = r.renamed(l, x)
		}
	}
	return []Outgoing{{to, m}}
}

func (r *rewriter) changed(l *Liar, m *message.ViewChange) *message.ViewChange {
	x := r.forged[m]
	if x == nil {
		x = l.forge(m, r.change)
		if r.forged == nil {
			r.forged = map[*message.ViewChange]*message.ViewChange{}
		}
		r.forged[m] = x
		r.gets = l.Rand.Uint64()
	}
	return x
}

// renamed is a new view that names the changed view change, if it can: the core
// knows the other one only.
func (r *rewriter) renamed(l *Liar, m *message.NewView) *message.NewView {
	if x, ok := r.views[m]; ok {
		return x
	}
	x := m
	if set, ok := l.named(m); ok && !r.invalid {
		for i, vc := range set {
			if x := r.forged[vc]; x != nil {
				set[i] = x
			}
		}
		if d, ok := l.Collusion.Decide(set); ok {
			x = l.Collusion.NewView(m.View, set, d)
		}
	}
	if r.views == nil {
		r.views = map[*message.NewView]*message.NewView{}
	}
	r.views[m] = x
	return x
}

// Receive answers questions about own view changes by digest.
func (r *rewriter) Receive(l *Liar, from int, m message.Message) []message.Message {
	switch x := m.(type) {
	case *message.NewView:
		m = r.in(l, x)
	case *message.FetchViewChange:
		// Of two versions the others must have one from each other at times.
		if int(x.Ref.Replica) == l.Index && (r.half && l.Rand.IntN(2) == 0 || l.serveVersion(from, x)) {
			return nil
		}
	}
	return []message.Message{m}
}

// forget leaves P out (B20); or everything that was voted; or the checkpoint,
// too.
func forget(l *Liar, m *message.ViewChange) {
	m.P = nil
	switch l.Rand.IntN(4) {
	case 0:
		m.Q = nil
	case 1:
		m.Q = nil
		m.H, m.Certificate = 0, message.Certificate{}
	}
}

// inventP claims to have prepared, in the view before (B21), what it never saw;
// or null batches; or what was proposed to others.
func inventP(l *Liar, m *message.ViewChange) {
	everywhere, kind := l.Rand.IntN(2) == 0, l.Rand.IntN(4)
	var p []message.PQ
	for n := m.H + 1; n <= m.H+l.Plan.Window; n++ {
		known := l.digestsAt(n)
		if !everywhere && len(known) == 0 {
			continue
		}
		d := l.invented(n)
		switch {
		case kind == 0:
			d = clusterID.NullDigest(0, n)
		case kind < 3 && len(known) > 0:
			d = known[l.Rand.IntN(len(known))]
		}
		p = append(p, message.PQ{N: n, Digest: d, View: m.NewView - 1})
	}
	if len(p) > 0 {
		m.P = p
	}
	// Correct replicas hold at most so many at a number, and so may this one.
	m.Q = slices.DeleteFunc(m.Q, func(e message.PQ) bool { return l.Rand.IntN(2) == 0 })
	m.Q = sorted(append(m.Q, m.P...))
}

// overfill invents Q (B22), with one entry more at each number than there may be
// now and then.
func overfill(l *Liar, m *message.ViewChange) {
	most := consensus.M*l.N + 1
	if l.Rand.IntN(8) == 0 {
		most++
	}
	fillQ(l, m, most)
}

// inventQ claims to have pre-prepared everything everywhere.
func inventQ(l *Liar, m *message.ViewChange) { fillQ(l, m, consensus.M*l.N+1) }

func fillQ(l *Liar, m *message.ViewChange, most int) {
	var q []message.PQ
	for n := m.H + 1; n <= m.H+l.Plan.Window; n++ {
		at := slices.DeleteFunc(slices.Clone(m.Q), func(e message.PQ) bool { return e.N != n })
		add := func(d crypto.Digest) {
			if !slices.ContainsFunc(at, func(e message.PQ) bool { return e.Digest == d }) {
				at = append(at, message.PQ{N: n, Digest: d})
			}
		}
		for _, d := range l.digestsAt(n) {
			add(d)
		}
		add(clusterID.NullDigest(0, n))
		for i := uint64(0); len(at) < most; i++ {
			add(l.invented(n + i<<32))
		}
		for _, e := range at[:most] {
			q = append(q, message.PQ{N: n, Digest: e.Digest, View: m.NewView - 1})
		}
	}
	m.Q = sorted(q)
}

// uncover claims to have prepared what it did not pre-prepare (B23), or in a
// lower view only.
func uncover(l *Liar, m *message.ViewChange) {
	if len(m.P) == 0 {
		n := m.H + 1 + l.Rand.Uint64N(l.Plan.Window)
		m.P = []message.PQ{{N: n, Digest: l.invented(n), View: m.NewView - 1}}
		m.Q = sorted(append(m.Q, m.P...))
	}
	p := &m.P[l.Rand.IntN(len(m.P))]
	i := slices.IndexFunc(m.Q, func(e message.PQ) bool { return e.N == p.N && e.Digest == p.Digest })
	if i < 0 {
		return // another lie was faster
	}
	if p.View = m.NewView - 1; p.View > 0 && l.Rand.IntN(2) == 0 {
		m.Q[i].View = p.View - 1
		return
	}
	m.Q = slices.Delete(m.Q, i, i+1)
}

// forgetOrInvent makes any other view change.
func forgetOrInvent(l *Liar, m *message.ViewChange) {
	if l.Rand.IntN(2) == 0 {
		inventP(l, m)
		return
	}
	forget(l, m)
}
