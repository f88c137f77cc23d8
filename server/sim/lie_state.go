package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

func init() {
	register("B31 false state", func() Behaviour { return &falseState{} })
	register("B31 state that never ends", func() Behaviour { return &endlessState{} })
}

// falseState sends parts of states that are wrong, cut, late or missing, of
// another cluster, and such that nobody asked for. (B31)
type falseState struct {
	Honest
	at int64
}

// Send spoils parts of one kind of each state, so that one lie does not hide
// another.
func (f *falseState) Send(l *Liar, to int, m message.Message) []Outgoing {
	var x message.Message
	var kind, n uint64
	switch m := m.(type) {
	case *message.Manifest:
		kind, n, x = 0, m.State.N, l.falseManifest(m)
	case *message.Nodes:
		kind, n, x = 1, m.N, l.falseNodes(m)
	case *message.Piece:
		kind, n, x = 2, m.N, l.falsePiece(m)
	default:
		return []Outgoing{{to, m}}
	}
	if (n/l.Plan.Interval+l.Plan.Seed)%3 != kind {
		return []Outgoing{{to, m}}
	}
	switch l.Rand.IntN(6) {
	case 0:
		return []Outgoing{{to, m}}
	case 1:
		l.lied("B31 part of a state missing")
		return nil
	case 2:
		l.lied("B31 part of a state late")
		l.After(between(l.Rand, 10, 300), func() { l.Send(to, m) })
		return nil
	}
	l.lied("B31 part of a state wrong")
	return []Outgoing{{to, x}}
}

// falseManifest changes what a state is made of, or says that there is another.
func (l *Liar) falseManifest(m *message.Manifest) *message.Manifest {
	x := *m
	s := &x.State
	switch l.Rand.IntN(5) {
	case 0:
		s.AppRoot = l.invented(s.N)
	case 1: // of another cluster
		s.ConfigDigest, s.Epoch = l.invented(s.N), 7
	case 2:
		s.HistorySize++
	case 3:
		s.N += l.Plan.Interval
	case 4:
		s.N = 0
	}
	return &x
}

func (l *Liar) falseNodes(m *message.Nodes) *message.Nodes {
	x := *m
	x.Digests = slices.Clone(m.Digests)
	switch k := len(x.Digests); {
	case k == 0 || l.Rand.IntN(5) == 0: // more than there may be, of clients
		x.Digests = append(x.Digests, make([]crypto.Digest, message.MaxNodes-k)...)
	case l.Rand.IntN(4) == 0:
		x.Digests = x.Digests[:l.Rand.IntN(k)]
	case l.Rand.IntN(3) == 0:
		x.First += 1 + l.Rand.Uint32N(4096)
	default:
		x.Digests[l.Rand.IntN(k)] = l.invented(m.N)
	}
	return &x
}

func (l *Liar) falsePiece(m *message.Piece) *message.Piece {
	x := *m
	k := len(m.Data)
	half := l.Rand.IntN(k + 1)
	switch l.Rand.IntN(6) {
	case 0: // the rest never comes
		x.Data = m.Data[:half]
	case 1: // whole, but shorter
		x.Data, x.Size = m.Data[:half], m.Offset+uint64(half)
	case 2: // longer than it says
		x.Size = m.Offset + uint64(half)
	case 3:
		x.Size = ^uint64(0)
	case 4:
		x.Index += l.Rand.Uint32N(4096)
	default:
		x.Data = append(slices.Clone(m.Data), 0)
		x.Data[l.Rand.IntN(k+1)] ^= 0x40
		x.Size = max(m.Size, m.Offset+uint64(len(x.Data)))
	}
	return &x
}

// Tick sends parts that nobody asked for.
func (f *falseState) Tick(l *Liar) {
	if l.Now() < f.at {
		return
	}
	f.at = l.Now() + between(l.Rand, 1, 2*l.timeout())
	to, n := l.Rand.IntN(l.N), l.Core().Certificate().N()
	n += l.Rand.Uint64N(2) * l.Plan.Interval
	l.lied("B31 part of a state that nobody asked for")
	switch l.Rand.IntN(3) {
	case 0:
		l.Send(to, &message.Manifest{State: message.State{N: n}})
	case 1:
		l.Send(to, &message.Nodes{N: n, Component: l.component(), First: l.Rand.Uint32N(4096), Digests: make([]crypto.Digest, 16)})
	case 2:
		l.Send(to, &message.Piece{N: n, Component: l.component(), Index: l.Rand.Uint32N(1 << 16), Size: 1, Data: []byte{1}})
	}
}

// endlessState sends pieces that have no end, or leaves one by one, and little
// at a time: each time as late as it may be. (B31)
type endlessState struct {
	Honest
	dripping map[int]uint64 // by receiver: the checkpoint of a piece that has no end
}

// dripTicks is just below the time that an answer may take, which is 100 ticks.
const dripTicks = 90

// Send lets pieces drip, or leaves, by turns from seed to seed.
func (e *endlessState) Send(l *Liar, to int, m message.Message) []Outgoing {
	switch x := m.(type) {
	case *message.Piece:
		if l.Plan.Seed%2 == 0 {
			l.lied("B31 piece that never ends")
			if e.dripping == nil {
				e.dripping = map[int]uint64{}
			}
			if e.dripping[to] != x.N { // one suffices
				e.dripping[to] = x.N
				e.drip(l, to, &message.Piece{N: x.N, Component: x.Component, Index: x.Index, Size: 200 << 20, Data: []byte{1}})
			}
			return nil
		}
	case *message.Nodes:
		if l.Plan.Seed%2 == 1 && len(x.Digests) > 16 {
			l.lied("B31 leaves one by one")
			few := *x
			few.Digests = x.Digests[:16]
			l.After(dripTicks, func() { l.Send(to, &few) })
			return nil
		}
	}
	return []Outgoing{{to, m}}
}

// drip sends a byte of a piece, and the next one later.
func (e *endlessState) drip(l *Liar, to int, m *message.Piece) {
	if e.dripping[to] != m.N {
		return
	}
	l.Send(to, m)
	next := *m
	next.Offset++
	l.After(dripTicks, func() { e.drip(l, to, &next) })
}
