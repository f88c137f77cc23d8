package sim

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B09 false requests", func() Behaviour {
		f := &falseRequests{}
		f.swapping = newSwapping(f.propose)
		return f
	})
	register("B10 requests again", func() Behaviour {
		a := &again{}
		a.swapping = newSwapping(a.propose)
		return a
	})
}

// groupOf takes a group apart, to change it.
func groupOf(v *crypto.GroupView) crypto.Group {
	g := crypto.Group{Client: string(v.Client), Session: v.Session, Signature: v.Signature, Origin: v.Origin}
	var r crypto.Request
	for cur := v.Cursor(); cur.Next(&r); {
		g.Requests = append(g.Requests, r)
	}
	return g
}

// raw is a group as it is, whether or not it is signed.
func raw(g *crypto.Group) crypto.GroupView {
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		panic(err) // the caller made it
	}
	return v
}

// memory is what a liar and its friends saw of requests.
type memory struct{ groups []crypto.GroupView }

func (k *memory) add(groups ...crypto.GroupView) {
	for _, g := range groups {
		k.groups = remember(k.groups, g)
	}
}

// some is one of the groups that liars know, of whatever age; nil: none yet.
func (k *memory) some(l *Liar) *crypto.GroupView {
	all := len(k.groups) + len(l.Collusion.Groups)
	if all == 0 {
		return nil
	}
	if i := l.Rand.IntN(all); i >= len(k.groups) {
		return &l.Collusion.Groups[i-len(k.groups)]
	} else {
		return &k.groups[i]
	}
}

// falseRequests proposes and relays what no client asked for in this way. (B9)
type falseRequests struct {
	swapping
	memory memory
	puppet crypto.Group // the last one of the client that lies with it
	at     int64        // of the next relay
}

func (f *falseRequests) propose(l *Liar, m *message.PrePrepare) *message.Batch {
	groups := slices.Clone(m.Batch.Groups)
	f.memory.add(groups...)
	switch l.Rand.IntN(12) {
	case 0: // a primary that does this falls
		if g, ok := f.forge(l); ok {
			groups = append([]crypto.GroupView{g}, groups...)
		}
	case 1, 2, 3:
		groups = append(f.conflict(l), groups...)
	case 4, 5, 6:
		for i := range groups {
			groups[i] = f.elsewhere(l, &groups[i])
		}
	default:
		return nil
	}
	if groups = fitting(l, groups); len(groups) == 0 {
		return nil
	}
	l.lied("B09 proposal with false requests")
	return l.Collusion.Batch(m.Batch.Header.N, m.Batch.Header.WallUS, groups...)
}

// forge makes a group that no client signed.
func (f *falseRequests) forge(l *Liar) (crypto.GroupView, bool) {
	genuine := f.memory.some(l)
	if genuine == nil {
		return crypto.GroupView{}, false
	}
	g := groupOf(genuine)
	last := &g.Requests[len(g.Requests)-1]
	switch l.Rand.IntN(7) {
	case 0: // other content
		last.Op = []byte("put k2 forged")
	case 1: // another number
		last.Number++
	case 2: // another client's
		g.Client = fmt.Sprint("c", (int(g.Client[len(g.Client)-1]-'0')+1)%len(l.Plan.Clients))
	case 3: // invented, signed by somebody else
		last.Op = []byte("put k3 invented")
		other := l.Collusion.SignGroup(g)
		g.Signature = other.Signature
	case 4: // invented, not signed at all
		last.Op, g.Signature = []byte("delete k4"), nil
	case 5: // of nobody
		g.Client = pick(l.Rand, "nobody", "admin", "member/0")
	case 6:
		g.Signature = bytes.Clone(g.Signature)
		g.Signature[l.Rand.IntN(len(g.Signature))]++
	}
	return raw(&g), true
}

// conflict is what the liars' own client asks for, twice or thrice under one
// number, in one session or in several.
func (f *falseRequests) conflict(l *Liar) (list []crypto.GroupView) {
	if len(f.puppet.Requests) == 0 || l.Rand.IntN(2) == 0 {
		v := l.Collusion.Group("put k5 0")
		f.puppet = groupOf(&v)
		list = append(list, v)
	}
	for i := range 1 + l.Rand.IntN(2) {
		g := f.puppet
		g.Requests = slices.Clone(g.Requests)
		g.Requests[0].Op = fmt.Appendf(nil, "put k5 %d", i+1)
		g.Session += l.Rand.Uint64N(2)
		list = append(list, l.Collusion.SignGroup(g))
	}
	return list
}

// elsewhere is a genuine group that names another origin: it is not signed.
func (f *falseRequests) elsewhere(l *Liar, v *crypto.GroupView) crypto.GroupView {
	origin := pick(l.Rand, 0, uint16(1+l.Rand.IntN(l.N)), math.MaxUint16)
	g := v.Rebase(v.WithOrigin(origin))
	g.Origin = origin
	return g
}

// Tick relays something false.
func (f *falseRequests) Tick(l *Liar) {
	if l.Now() < f.at {
		return
	}
	f.at = l.Now() + l.Rand.Int64N(l.timeout()/2)
	genuine := f.memory.some(l)
	if genuine == nil {
		return
	}
	m := &message.Relay{Watch: l.Rand.IntN(2) == 0, Answer: l.Rand.IntN(4) == 0}
	switch l.Rand.IntN(4) {
	case 0:
		m.Group, _ = f.forge(l)
	case 1:
		m.Group = f.conflict(l)[0]
	case 2:
		m.Group = f.elsewhere(l, genuine)
	case 3: // fits no batch
		m.Group = l.asked(l.next(), l.Plan.Limits.MaxBatch+1, 1)
	}
	l.lied("B09 relay of a false request")
	if l.Rand.IntN(2) == 0 {
		l.Broadcast(m)
		return
	}
	l.Send(l.Rand.IntN(l.N), m)
}

// again proposes and relays requests several times, executed ones too. (B10)
type again struct {
	swapping
	memory memory
	at     int64 // of the next relay
}

func (a *again) propose(l *Liar, m *message.PrePrepare) *message.Batch {
	groups := slices.Clone(m.Batch.Groups)
	a.memory.add(groups...)
	if l.Rand.IntN(4) == 0 {
		return nil
	}
	for range 1 + l.Rand.IntN(4) {
		if g := a.memory.some(l); g != nil {
			groups = append(groups, *g)
		}
		if k := len(m.Batch.Groups); k > 0 {
			groups = append(groups, m.Batch.Groups[l.Rand.IntN(k)])
		}
	}
	groups = fitting(l, groups)
	l.Rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	l.lied("B10 proposal with requests again")
	return l.Collusion.Batch(m.Batch.Header.N, m.Batch.Header.WallUS, groups...)
}

// Tick relays old requests.
func (a *again) Tick(l *Liar) {
	if l.Now() < a.at {
		return
	}
	a.at = l.Now() + l.Rand.Int64N(l.timeout()/2)
	for range 1 + l.Rand.IntN(3) {
		if g := a.memory.some(l); g != nil {
			l.lied("B10 relay of a request again")
			l.Broadcast(&message.Relay{Group: *g, Watch: l.Rand.IntN(2) == 0, Answer: l.Rand.IntN(3) == 0})
		}
	}
}
