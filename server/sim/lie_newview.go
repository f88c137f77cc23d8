package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B27 bad new views", func() Behaviour { return &badViews{} })
	register("B28 two new views", func() Behaviour { return &twoViews{} })
	register("B29 new view without its view changes", func() Behaviour { return &unserved{} })
}

// badViews sends new views that are wrong in one way or another, and some that
// nobody asked for: to all, or to a victim. One that has a victim votes no more in
// the end, so that the victim is needed. (B27)
type badViews struct {
	Honest
	restless
	stubborn
	made   map[*message.NewView]*message.NewView
	turn   int
	at     int64
	victim int // plus one; 0: there is none
}

// twists are the ways in which a new view can be wrong. One returns nil if it
// finds nothing to do.
var twists = []struct {
	what string
	make func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView
}{
	{"a view change too few", func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView {
		set = set[:l.Q-1]
		d, _ := l.Collusion.Decide(set)
		return l.Collusion.NewView(m.View, set, d)
	}},
	{"a sender twice", func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView {
		set = slices.Clone(set)
		i := 1 + l.Rand.IntN(len(set)-1)
		set[i] = set[i-1]
		return l.Collusion.NewView(m.View, set, m.DecisionDigest)
	}},
	{"a sender that is no member", func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView {
		x := *m
		x.ViewChanges = append(slices.Clone(m.ViewChanges), message.ViewChangeRef{Replica: message.ReplicaID(l.N + l.Rand.IntN(60))})
		l.Collusion.Sign(&x)
		return &x
	}},
	{"a view change for another view", func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView {
		set = slices.Clone(set)
		i := l.signedIn(set)
		if i < 0 {
			return nil
		}
		set[i] = l.forge(set[i], func(_ *Liar, vc *message.ViewChange) { vc.NewView++ })
		d, _ := l.Collusion.Decide(set)
		return l.Collusion.NewView(m.View, set, d)
	}},
	{"a decision of nothing", func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView {
		return l.Collusion.NewView(m.View, set, l.invented(m.View))
	}},
	{"another batch", twisted(func(l *Liar, d *decision) bool {
		if len(d.chosen) > 0 {
			i := l.Rand.IntN(len(d.chosen))
			d.chosen[i].digest = l.invented(d.h + 1 + uint64(i))
		}
		return len(d.chosen) > 0
	})},
	{"a null batch that was not decided so", twisted(func(l *Liar, d *decision) bool {
		if len(d.chosen) > 0 {
			x := &d.chosen[l.Rand.IntN(len(d.chosen))]
			x.null = !x.null
		}
		return len(d.chosen) > 0
	})},
	{"a top too high", twisted(func(l *Liar, d *decision) bool {
		n := d.h + 1 + uint64(len(d.chosen))
		d.chosen = append(d.chosen, choice{digest: clusterID.NullDigest(0, n), null: true})
		return true
	})},
	{"a top too low", twisted(func(l *Liar, d *decision) bool {
		k := len(d.chosen)
		d.chosen = d.chosen[:max(k-1, 0)]
		return k > 0
	})},
	{"null batches dropped at the top", twisted(func(l *Liar, d *decision) bool {
		k := len(d.chosen)
		for k > 0 && d.chosen[k-1].digest == clusterID.NullDigest(0, d.h+uint64(k)) {
			k--
		}
		dropped := k < len(d.chosen)
		d.chosen = d.chosen[:k]
		return dropped
	})},
	{"a lower checkpoint", twisted(func(l *Liar, d *decision) bool {
		d.h -= min(d.h, l.Plan.Interval)
		d.state = crypto.Digest{}
		return d.h > 0
	})},
}

// twisted changes what a new view decides.
func twisted(change func(*Liar, *decision) bool) func(*Liar, *message.NewView, []*message.ViewChange) *message.NewView {
	return func(l *Liar, m *message.NewView, set []*message.ViewChange) *message.NewView {
		d := decide(l.Plan, set)
		d.chosen = slices.Clone(d.chosen)
		if !change(l, d) {
			return nil
		}
		return l.Collusion.NewView(m.View, set, d.digest())
	}
}

// Send twists own new views.
func (b *badViews) Send(l *Liar, to int, m message.Message) []Outgoing {
	_, votes := voteIn(m)
	if b.keeps(l, to, m) || b.stays(l, m) || votes && b.victim > 0 && l.Now() > l.Plan.End {
		return nil
	}
	if nv, ok := m.(*message.NewView); ok && l.own(m) {
		return []Outgoing{{to, b.twist(l, nv)}}
	}
	if vc, ok := m.(*message.ViewChange); ok && l.own(m) {
		versions(l.Collusion)[vc.Digest(clusterID)] = vc
	}
	return []Outgoing{{to, m}}
}

// twist makes one bad new view of each good one, in all ways by turns.
func (b *badViews) twist(l *Liar, m *message.NewView) *message.NewView {
	if b.made == nil {
		b.made = map[*message.NewView]*message.NewView{}
		b.turn = l.Rand.IntN(len(twists))
	}
	x := b.made[m]
	if set, ok := l.named(m); ok && x == nil {
		for x == nil {
			b.turn = (b.turn + 1) % len(twists)
			x = twists[b.turn].make(l, m, set)
		}
		b.waste(m.View)
		l.lied("B27 new view with " + twists[b.turn].what)
	}
	if x == nil {
		x = m
	}
	b.made[m] = x
	return x
}

// Receive serves what the twisted new views name.
func (b *badViews) Receive(l *Liar, from int, m message.Message) []message.Message {
	if f, ok := m.(*message.FetchViewChange); ok && l.serveVersion(from, f) {
		return nil
	}
	return []message.Message{m}
}

// Tick sends new views that nobody asked for: of a later own view, or of
// another one's, on the view changes of the last view.
func (b *badViews) Tick(l *Liar) {
	b.restless.Tick(l)
	last := len(l.Collusion.NewViews) - 1
	if l.Now() < b.at || last < 0 {
		return
	}
	if others := l.Others(); b.at == 0 && l.Plan.Seed%2 == 0 {
		b.victim = 1 + others[l.Plan.Seed/2%uint64(len(others))]
	}
	b.at = l.Now() + between(l.Rand, 1, 4*l.timeout())
	m := *l.Collusion.NewViews[last]
	m.View = l.nextOwnView()
	if l.Rand.IntN(4) == 0 {
		m.View += uint64(l.N) << 40
	}
	m.Replica = message.ReplicaID(l.Index)
	if l.Rand.IntN(4) == 0 {
		m.View++ // which another one leads
	}
	l.Collusion.Sign(&m)
	l.lied("B27 new view that nobody asked for")
	if b.victim == 0 {
		l.Broadcast(&m)
		return
	}
	l.Send(b.victim-1, &m)
}

// signedIn is where the own view change stands in a set, -1: nowhere.
func (l *Liar) signedIn(set []*message.ViewChange) int {
	return slices.IndexFunc(set, func(vc *message.ViewChange) bool { return l.own(vc) })
}

// nextOwnView is the next view that the liar leads.
func (l *Liar) nextOwnView() uint64 {
	v := l.View() + 1
	for l.Primary(v) != l.Index {
		v++
	}
	return v
}

// twoViews sends one new view to half of the others, and another one, on other
// view changes, to the rest. Both are valid. (B28)
type twoViews struct {
	Honest
	restless
	sent map[*message.NewView]*twoOfOne
}

// twoOfOne are the new views for one view.
type twoOfOne struct {
	a, b *message.NewView
	gets uint64 // who gets b, one bit each
	out  bool
}

// Tick gives up own views.
func (t *twoViews) Tick(l *Liar) { t.restless.Tick(l) }

// Send holds a new view back until more view changes have come.
func (t *twoViews) Send(l *Liar, to int, m message.Message) []Outgoing {
	if vc, ok := m.(*message.ViewChange); ok && l.own(m) {
		versions(l.Collusion)[vc.Digest(clusterID)] = vc
	}
	nv, ok := m.(*message.NewView)
	switch {
	case t.keeps(l, to, m):
		return nil
	case !ok || !l.own(m):
		return []Outgoing{{to, m}}
	}
	x := t.sent[nv]
	if x == nil {
		x = &twoOfOne{a: nv, gets: l.Rand.Uint64()}
		if t.sent == nil {
			t.sent = map[*message.NewView]*twoOfOne{}
		}
		t.sent[nv] = x
		l.After(int64(l.Plan.Timeout)/4, func() { t.release(l, x) })
	}
	switch {
	case !x.out:
		return nil
	case x.gets&(1<<to) != 0:
		return []Outgoing{{to, x.b}}
	}
	return []Outgoing{{to, nv}}
}

// release sends both.
func (t *twoViews) release(l *Liar, x *twoOfOne) {
	x.out, x.b = true, x.a
	for range 4 {
		nv := l.anotherView(x.a)
		if nv == nil {
			break
		}
		if x.b = nv; nv.DecisionDigest != x.a.DecisionDigest {
			l.lied("B28 second new view with another decision")
			break
		}
	}
	if x.b != x.a {
		l.lied("B28 second new view for a view")
	}
	for to := range l.N {
		if x.gets&(1<<to) != 0 {
			l.Send(to, x.b)
		} else {
			l.Send(to, x.a)
		}
	}
}

// anotherView makes another valid new view of an own one, on other versions of
// the view changes of liars, and as many of others as it can that the first one
// does not name; or nil.
func (l *Liar) anotherView(m *message.NewView) *message.NewView {
	set, ok := l.named(m)
	if !ok || l.signedIn(set) < 0 {
		return nil
	}
	change := pick(l.Rand, forget, inventP, inventQ)
	second := []*message.ViewChange{l.forge(set[l.signedIn(set)], change)}
	for _, news := range []bool{true, false} {
		for _, vc := range l.Collusion.ViewChangesFor(m.View) {
			if l.own(vc) || slices.Contains(set, vc) == news || len(second) == l.Q {
				continue
			}
			if l.Collusion.Lies(int(vc.Replica)) {
				vc = l.forge(vc, change)
			}
			second = append(second, vc)
		}
	}
	slices.SortFunc(second, func(a, b *message.ViewChange) int { return int(a.Replica) - int(b.Replica) })
	d, ok := l.Collusion.Decide(second)
	if !ok || len(second) < l.Q {
		return nil
	}
	return l.Collusion.NewView(m.View, second, d)
}

// Receive serves what the second new view names.
func (t *twoViews) Receive(l *Liar, from int, m message.Message) []message.Message {
	if f, ok := m.(*message.FetchViewChange); ok && l.serveVersion(from, f) {
		return nil
	}
	return []message.Message{m}
}

// unserved sends new views that name what nobody gets. (B29)
type unserved struct {
	Honest
	restless
	stubborn
	made map[*message.NewView]*message.NewView
}

// Tick gives up own views.
func (u *unserved) Tick(l *Liar) { u.restless.Tick(l) }

// Send names, in new views, a view change that does not exist; or keeps the own
// view change back that an honest new view names.
func (u *unserved) Send(l *Liar, to int, m message.Message) []Outgoing {
	if u.keeps(l, to, m) || u.stays(l, m) {
		return nil
	}
	switch x := m.(type) {
	case *message.ViewChange:
		if l.own(m) && u.withholds(l, x.NewView) {
			return nil
		}
	case *message.NewView:
		if l.own(m) {
			u.waste(x.View)
			l.lied("B29 new view that names what nobody gets")
			m = u.unknown(l, x)
		}
	}
	return []Outgoing{{to, m}}
}

// withholds reports whether nobody gets the own view change for a view.
func (*unserved) withholds(l *Liar, view uint64) bool {
	return l.Primary(view) == l.Index && view/uint64(l.N)%2 == 0
}

func (u *unserved) unknown(l *Liar, m *message.NewView) *message.NewView {
	if u.withholds(l, m.View) {
		return m
	}
	x := u.made[m]
	if x == nil {
		c := *m
		c.ViewChanges = slices.Clone(m.ViewChanges)
		c.ViewChanges[l.Rand.IntN(len(c.ViewChanges))].Digest = l.invented(m.View)
		l.Collusion.Sign(&c)
		if x = &c; u.made == nil {
			u.made = map[*message.NewView]*message.NewView{}
		}
		u.made[m] = x
	}
	return x
}

// Receive answers no question about view changes.
func (u *unserved) Receive(l *Liar, _ int, m message.Message) []message.Message {
	if _, ok := m.(*message.FetchViewChange); ok {
		l.lied("B29 view change not served")
		return nil
	}
	return []message.Message{m}
}
