package sim

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// What several lies about views need: forged view changes, and view changes in
// which to tell them.

// lied counts a lie among what the run brought about.
func (l *Liar) lied(what string) { l.w.cover.add("lie: " + what) }

// timeout is the first timeout of the plan in microseconds.
func (l *Liar) timeout() int64 { return int64(l.Plan.Timeout) * tick }

// invented is a digest that nothing has. All liars of a run invent the same one
// at a number.
func (l *Liar) invented(n uint64) crypto.Digest {
	return clusterID.Hash(crypto.TagOpen, crypto.AppendU64(crypto.AppendU64(nil, l.Plan.Seed), n))
}

// recruit makes all liars of the run lie in one more way, those that do so
// already left out.
func recruit[B Behaviour](l *Liar, another func() B) {
	for _, o := range l.Collusion.Liars {
		if !slices.ContainsFunc(o.behaviours, func(b Behaviour) bool { _, ok := b.(B); return ok }) {
			o.behaviours = append(o.behaviours, another())
		}
	}
}

// handOvers is for lies that need view changes: all replicas are asked to hand
// over a few times before the faults end, so that the liars get their turn to
// lead. It is done once in a run.
func (l *Liar) handOvers() {
	if l.Collusion.Notes["hand-overs"] != nil {
		return
	}
	l.Collusion.Notes["hand-overs"] = true
	f := &Fault{Kind: Drain}
	for i := range l.N {
		f.Nodes = append(f.Nodes, i)
	}
	k := int64(2 + l.Rand.IntN(l.N))
	for i := range k {
		l.w.at((i+1)*l.Plan.End/(k+1), func() {
			l.w.trace.line(l.w, "for the liars: %s", f)
			l.w.begin(f)
		})
	}
}

// restless is for lies that need view changes: it gives up the own views, as a
// replica that is asked to hand over, each after a while, and while a proposal is
// on its way to some of the others. So view changes find batches that some
// replicas have prepared, others only accepted, and others never seen.
type restless struct {
	at      int64
	leaving bool
	gets    uint64 // who gets the last proposals, one bit each
}

// Tick gives up own views.
func (r *restless) Tick(l *Liar) {
	l.handOvers()
	switch {
	case !l.Leads():
		*r = restless{}
	case r.at == 0:
		r.at, r.gets = l.Now()+between(l.Rand, l.timeout()/4, 2*l.timeout()), l.Rand.Uint64()
	case l.Now() >= r.at+l.timeout(): // there is nothing to propose
		r.leave(l)
	}
}

// keeps reports whether a message is kept back: a proposal, from some. It is the
// moment to leave.
func (r *restless) keeps(l *Liar, to int, m message.Message) bool {
	x, ok := m.(*message.PrePrepare)
	if !ok || r.at == 0 || l.Now() < r.at || x.View != l.View() {
		return false
	}
	if !r.leaving {
		r.leaving = true
		net := &l.Plan.Net
		l.w.after(between(l.Rand, 0, 3*(net.Delay+net.Jitter)+l.Plan.Disk), func() { r.leave(l) })
	}
	return r.gets&(1<<to) == 0
}

func (r *restless) leave(l *Liar) {
	if !l.h.down && l.Leads() {
		l.h.put(item{input: consensus.Input{Kind: consensus.InDrain}})
		r.at = l.Now() + 6*l.timeout()
	}
}

// stubborn keeps the view changes back with which its core gives up views that
// it wasted: they would spare the others to wait.
type stubborn struct{ wasted map[uint64]bool }

func (s *stubborn) waste(view uint64) {
	if s.wasted == nil {
		s.wasted = map[uint64]bool{}
	}
	s.wasted[view] = true
}

// stays reports whether a message is such a view change.
func (s *stubborn) stays(l *Liar, m message.Message) bool {
	vc, ok := m.(*message.ViewChange)
	return ok && l.own(m) && s.wasted[vc.NewView-1]
}

// own reports whether the liar signed a message of a view change.
func (l *Liar) own(m message.Message) bool {
	switch m := m.(type) {
	case *message.ViewChange:
		return int(m.Replica) == l.Index
	case *message.NewView:
		return int(m.Replica) == l.Index
	}
	return false
}

// versions are the view changes of liars by digest: what their cores made, and
// what they made of it.
func versions(c *Collusion) map[crypto.Digest]*message.ViewChange {
	v, ok := c.Notes["versions"].(map[crypto.Digest]*message.ViewChange)
	if !ok {
		v = map[crypto.Digest]*message.ViewChange{}
		c.Notes["versions"] = v
	}
	return v
}

// forge makes another view change of an own one, and signs it.
func (l *Liar) forge(m *message.ViewChange, change func(*Liar, *message.ViewChange)) *message.ViewChange {
	x := *m
	x.P, x.Q = slices.Clone(m.P), slices.Clone(m.Q)
	x.Certificate.Votes = slices.Clone(m.Certificate.Votes)
	change(l, &x)
	l.Collusion.Sign(&x)
	versions(l.Collusion)[m.Digest(clusterID)] = m
	versions(l.Collusion)[x.Digest(clusterID)] = &x
	return &x
}

// mask is between the own core, which knows the view changes that it made, and
// the others, who know the forged ones: new views that name these would be
// riddles to the core, and it would take part in no view any more.
type mask struct {
	genuine map[uint64]*message.ViewChange        // by view: made by the core
	theirs  map[*message.NewView]*message.NewView // what the core got: what it stands for
}

// made notes an own view change of the core.
func (k *mask) made(l *Liar, m *message.ViewChange) {
	if k.genuine == nil {
		k.genuine, k.theirs = map[uint64]*message.ViewChange{}, map[*message.NewView]*message.NewView{}
	}
	if k.genuine[m.NewView] == nil {
		k.genuine[m.NewView] = m
		versions(l.Collusion)[m.Digest(clusterID)] = m
	}
}

// in is the new view that the core gets instead of another one's: it names the
// genuine view change.
func (k *mask) in(l *Liar, m *message.NewView) *message.NewView {
	genuine := k.genuine[m.View]
	i := slices.IndexFunc(m.ViewChanges, func(r message.ViewChangeRef) bool { return int(r.Replica) == l.Index })
	if i < 0 || genuine == nil || l.own(m) {
		return m
	}
	digest := genuine.Digest(clusterID)
	set, ok := l.named(m)
	if !ok || m.ViewChanges[i].Digest == digest {
		return m
	}
	set[i] = genuine
	decided, ok := l.Collusion.Decide(set)
	if !ok {
		return m
	}
	x := *m // the core does not look at signatures
	x.ViewChanges = slices.Clone(m.ViewChanges)
	x.ViewChanges[i].Digest, x.DecisionDigest = digest, decided
	k.theirs[&x] = m
	return &x
}

// out is what others get of a new view that the core passes on.
func (k *mask) out(m *message.NewView) *message.NewView {
	if x := k.theirs[m]; x != nil {
		return x
	}
	return m
}

// named is what a new view names; it reports false if the liars do not know all
// of it.
func (l *Liar) named(m *message.NewView) (set []*message.ViewChange, ok bool) {
	for _, ref := range m.ViewChanges {
		vc := versions(l.Collusion)[ref.Digest]
		for i := 0; vc == nil && i < len(l.Collusion.ViewChanges); i++ {
			if o := l.Collusion.ViewChanges[i]; o.Replica == ref.Replica && o.NewView == m.View && o.Digest(clusterID) == ref.Digest {
				vc = o
			}
		}
		if vc == nil {
			return nil, false
		}
		set = append(set, vc)
	}
	return set, true
}

// serveVersion sends a peer the version of an own view change that it asks for.
// It reports false if there is none.
func (l *Liar) serveVersion(from int, m *message.FetchViewChange) bool {
	vc := versions(l.Collusion)[m.Ref.Digest]
	if vc != nil {
		l.Send(from, vc)
	}
	return vc != nil
}

// digestsAt are those that the liars saw at a number: proposed or voted for.
func (l *Liar) digestsAt(n uint64) (list []crypto.Digest) {
	add := func(d crypto.Digest) {
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	for _, b := range l.Collusion.Batches {
		if b.Header.N == n {
			add(b.Digest)
		}
	}
	for i := range l.Collusion.Votes {
		if v := &l.Collusion.Votes[i]; v.N == n {
			add(v.Digest)
		}
	}
	return list
}

// sorted puts a set in its order. Of entries with one digest at a number the
// one of the highest view stays.
func sorted(set []message.PQ) []message.PQ {
	slices.SortFunc(set, func(a, b message.PQ) int {
		return cmp.Or(cmp.Compare(a.N, b.N), bytes.Compare(a.Digest[:], b.Digest[:]), cmp.Compare(b.View, a.View))
	})
	return slices.CompactFunc(set, func(a, b message.PQ) bool { return a.N == b.N && a.Digest == b.Digest })
}
