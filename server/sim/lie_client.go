package sim

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
)

func init() {
	register("B39 client that lies", func() Behaviour { return &badClient{} })
}

// badClient is a client that does what a correct one does not, through the
// public ports of all replicas. (B39)
type badClient struct {
	Honest
	at int64 // of the next trick
}

// tricks are what a bad client does, by how it is counted.
var tricks = []struct {
	what string
	do   func(l *Liar)
}{
	{"B39 request for some replicas only", sendToSome},
	{"B39 other content for each replica", sendConflict},
	{"B39 numbers that leap", leap},
	{"B39 old numbers again", sendOld},
	{"B39 flood", flood},
	{"B39 groups at the limits", sendLarge},
	{"B39 forged group", sendForged},
	{"B39 complaint", func(l *Liar) { l.Complain(l.Rand.IntN(l.N)) }},
}

// Tick plays a trick now and then.
func (b *badClient) Tick(l *Liar) {
	if l.Now() < b.at {
		return
	}
	b.at = l.Now() + l.Rand.Int64N(2*l.timeout())
	t := tricks[l.Rand.IntN(len(tricks))]
	l.lied(t.what)
	t.do(l)
}

// asked makes a signed group of the puppet: k requests from a number on, which
// is used up.
func (l *Liar) asked(first uint64, k int, session uint64) crypto.GroupView {
	g := crypto.Group{Session: session}
	for i := range uint64(k) {
		g.Requests = append(g.Requests, operation(first+i, fmt.Appendf(nil, "put k%d %d.%d", l.Rand.IntN(6), session, l.Rand.Uint32())))
	}
	return l.signed(g)
}

func (l *Liar) signed(g crypto.Group) crypto.GroupView {
	if last := g.Requests[len(g.Requests)-1].Number; last < crypto.MaxNumber {
		l.Collusion.number = max(l.Collusion.number, last)
	}
	return l.Collusion.SignGroup(g)
}

// next is the puppet's next number.
func (l *Liar) next() uint64 { return l.Collusion.number + 1 }

func operation(number uint64, op []byte) crypto.Request {
	return crypto.Request{Number: number, Kind: crypto.KindOperation, Op: op, ClientTime: crypto.NoClientTime}
}

// source draws how a group claims to have come.
func (l *Liar) source() consensus.Source {
	x := l.Rand.IntN(8)
	return consensus.Source{Alone: x&1 != 0, Retry: x&2 != 0, JSON: x&4 != 0}
}

func sendToSome(l *Liar) {
	g := l.asked(l.next(), 1+l.Rand.IntN(3), 1)
	for _, to := range l.Rand.Perm(l.N)[:1+l.Rand.IntN(l.F+1)] {
		l.Submit(to, g, l.source())
	}
}

// sendConflict gives each replica another request under one number, in one
// session or in several.
func sendConflict(l *Liar) {
	first, same := l.next(), l.Rand.IntN(2) == 0
	for to := range l.N {
		session := uint64(1)
		if !same {
			session += uint64(to)
		}
		l.Submit(to, l.asked(first, 1+l.Rand.IntN(2), session), l.source())
	}
}

// leap leaves numbers open at some replicas and closes them at all: by a window
// or two, or within one group. Seldom it leaps so far that no number is left.
func leap(l *Liar) {
	w := uint64(l.Plan.ClientWindow)
	open, lucky := l.asked(l.next(), 2, 1), l.Rand.IntN(2*l.N)
	for to := range l.N {
		if to == lucky || lucky >= l.N && to != l.Primary(l.View()) {
			l.Submit(to, open, consensus.Source{}) // waits there: the primary does not get it at once
		}
	}
	far := l.next() + pick(l.Rand, w-2, w, 3*w)
	switch l.Rand.IntN(16) {
	case 0:
		far = crypto.MaxNumber
	case 1, 2, 3:
		g := crypto.Group{Session: 1, Requests: []crypto.Request{operation(l.next(), []byte("get k0")), operation(far, []byte("get k1"))}}
		l.Submit(l.Rand.IntN(l.N), l.signed(g), l.source())
		return
	}
	g := l.asked(far, 1, 1)
	for to := range l.N {
		l.Submit(to, g, l.source())
	}
}

// sendOld asks again under numbers that were used, or skipped.
func sendOld(l *Liar) {
	back := min(l.next()-1, l.Rand.Uint64N(2*uint64(l.Plan.ClientWindow)))
	g := l.asked(l.next()-back, 1, 1+l.Rand.Uint64N(2))
	for _, to := range l.Rand.Perm(l.N)[:1+l.Rand.IntN(l.N)] {
		l.Submit(to, g, l.source())
	}
}

// flood sends several groups to all at once.
func flood(l *Liar) {
	for range 8 {
		g := l.asked(l.next(), 1+l.Rand.IntN(2), 1)
		for to := range l.N {
			l.Submit(to, g, consensus.Source{Retry: l.Rand.IntN(4) == 0})
		}
	}
}

// sendLarge sends groups as large as a batch may be, or larger.
func sendLarge(l *Liar) {
	var g crypto.GroupView
	if l.Rand.IntN(2) == 0 {
		g = l.asked(l.next(), l.Plan.Limits.MaxBatch+l.Rand.IntN(2), 1)
	} else {
		large := crypto.Group{Session: 1, Requests: []crypto.Request{operation(l.next(), make([]byte, l.Plan.Limits.MaxBatchBytes-150-l.Rand.IntN(50)))}}
		g = l.signed(large)
	}
	for to := range l.N {
		l.Submit(to, g, l.source())
	}
}

func sendForged(l *Liar) {
	v := l.asked(l.next(), 1, 1)
	g := groupOf(&v)
	g.Client = fmt.Sprint("c", l.Rand.IntN(len(l.Plan.Clients)))
	l.Submit(l.Rand.IntN(l.N), raw(&g), l.source())
}
