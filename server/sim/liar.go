package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Behaviour is how a replica lies. The replica runs the real core; a behaviour
// stands between it and the world, and changes what it hears and says. Embed
// Honest and override what lies. One value serves one liar in one run, so it
// may remember in its fields; what all liars of a run share is in Collusion.
//
// Messages are shared by all who hold them: change a copy.
type Behaviour interface {
	// Send is called for each message that the core sends, once for each
	// receiver. What it returns leaves instead, to whomever.
	Send(l *Liar, to int, m message.Message) []Outgoing
	// Receive is called for each message that comes. The core gets what it
	// returns instead, as from the same sender.
	Receive(l *Liar, from int, m message.Message) []message.Message
	// Answer is called for each answer to a client, which gets what it returns
	// instead.
	Answer(l *Liar, a *Answer) []*Answer
	// Tick is called every tick of 10 ms, before the core's.
	Tick(l *Liar)
}

// Outgoing is a message on its way out.
type Outgoing struct {
	To  int
	Msg message.Message
}

// Honest changes nothing.
type Honest struct{}

// Send lets the message leave.
func (Honest) Send(_ *Liar, to int, m message.Message) []Outgoing { return []Outgoing{{to, m}} }

// Receive gives the message to the core.
func (Honest) Receive(_ *Liar, _ int, m message.Message) []message.Message {
	return []message.Message{m}
}

// Answer lets the answer leave.
func (Honest) Answer(_ *Liar, a *Answer) []*Answer { return []*Answer{a} }

// Tick does nothing.
func (Honest) Tick(*Liar) {}

// registered is a behaviour by its name in docs/protocol.md.
type registered struct {
	name string
	make func() Behaviour
}

var registry []registered

// register makes a behaviour known. Call it from init of a file of its own; the
// name begins with the number in docs/protocol.md section 13.2.
func register(name string, make func() Behaviour) {
	i, _ := slices.BinarySearchFunc(registry, name, func(r registered, name string) int { return strings.Compare(r.name, name) })
	registry = slices.Insert(registry, i, registered{name, make})
}

// Behaviours are the names of all behaviours, sorted.
func Behaviours() (names []string) {
	for _, r := range registry {
		names = append(names, r.name)
	}
	return names
}

func newBehaviour(name string) Behaviour {
	i := slices.IndexFunc(registry, func(r registered) bool { return r.name == name })
	if i < 0 {
		panic(fmt.Sprintf("sim: behaviour %q is not registered", name))
	}
	return registry[i].make()
}

// Liar is one lying replica, as its behaviours see it.
type Liar struct {
	Index     int
	N, F, Q   int
	Rand      *rand.Rand // its own chance
	Collusion *Collusion
	Plan      *Plan

	FromTwin bool // in Send: the second copy sends it

	w          *world
	h, twin    *host
	behaviours []Behaviour
}

func newLiar(w *world, h *host, names []string) *Liar {
	p := w.plan
	l := &Liar{
		Index: h.id, N: p.N, F: p.F(), Q: consensus.Quorum(p.N), Collusion: w.liars, Plan: p, w: w, h: h,
		Rand: rand.New(rand.NewPCG(p.Seed, liarStream<<8|uint64(h.id))),
	}
	for _, name := range names {
		l.behaviours = append(l.behaviours, newBehaviour(name))
	}
	w.liars.Liars = append(w.liars.Liars, l)
	return l
}

// send lets each behaviour in turn see what the one before let leave.
func (l *Liar) send(h *host, to int, m message.Message) {
	l.FromTwin = h.twin
	out := []Outgoing{{to, m}}
	for _, b := range l.behaviours {
		var next []Outgoing
		for _, o := range out {
			next = append(next, b.Send(l, o.To, o.Msg)...)
		}
		out = next
	}
	l.FromTwin = false
	for _, o := range out {
		l.Send(o.To, o.Msg)
	}
}

func (l *Liar) receive(from int, m message.Message) []message.Message {
	l.Collusion.saw(from, m)
	in := []message.Message{m}
	for _, b := range l.behaviours {
		var next []message.Message
		for _, m := range in {
			next = append(next, b.Receive(l, from, m)...)
		}
		in = next
	}
	return in
}

func (l *Liar) answer(a *Answer) []*Answer {
	out := []*Answer{a}
	for _, b := range l.behaviours {
		var next []*Answer
		for _, a := range out {
			next = append(next, b.Answer(l, a)...)
		}
		out = next
	}
	return out
}

func (l *Liar) tick() {
	for _, b := range l.behaviours {
		b.Tick(l)
	}
}

// Send sends a message as it is, past all behaviours.
func (l *Liar) Send(to int, m message.Message) {
	if to != l.Index && to >= 0 && to < l.N {
		l.h.trace("lies to %d: %s", to, describe(m))
		l.w.net.send(l.Index, l.w.hosts[to], m)
	}
}

// Broadcast sends a message to all others, past all behaviours.
func (l *Liar) Broadcast(m message.Message) {
	for to := range l.N {
		l.Send(to, m)
	}
}

// Tell gives the own core a message, as from another replica.
func (l *Liar) Tell(from int, m message.Message) { l.h.accept(from, m) }

// Twin starts a second copy of the replica, with a core of its own and the same
// keys, if there is none. It hears only what TellTwin gives it, and what it
// sends goes through the same behaviours.
func (l *Liar) Twin() {
	if l.twin == nil {
		l.twin = newHost(l.w, l.Index)
		l.twin.liar, l.twin.twin = l, true
		l.twin.name += "'"
		l.twin.start(false)
	}
}

// TellTwin gives the second copy a message, as from another replica.
func (l *Liar) TellTwin(from int, m message.Message) {
	if l.twin != nil {
		l.twin.accept(from, m)
	}
}

// After calls f after so many ticks.
func (l *Liar) After(ticks int64, f func()) { l.w.after(ticks*tick, f) }

// Now is the time of the run in microseconds.
func (l *Liar) Now() int64 { return l.w.now }

// Clock is what the own wall clock shows, in microseconds since 1970.
func (l *Liar) Clock() int64 { return l.h.clock() }

// Core is the real core behind the lies. Step it never.
func (l *Liar) Core() *consensus.Replica { return l.h.core }

// View is the core's view.
func (l *Liar) View() uint64 { return l.h.core.View() }

// Primary is the replica that leads a view.
func (l *Liar) Primary(view uint64) int { return consensus.Primary(view, l.N) }

// Leads reports whether this liar leads its core's view.
func (l *Liar) Leads() bool { return l.Primary(l.View()) == l.Index }

// Others are the replicas that do not lie, in the order of their indexes.
func (l *Liar) Others() (list []int) {
	for i := range l.N {
		if !l.Plan.lies(i) {
			list = append(list, i)
		}
	}
	return list
}

// Restart begins a new life with an empty memory; a fresh one asks whether it
// is new, the other one pretends to be.
func (l *Liar) Restart(fresh bool) {
	l.w.after(0, func() { l.h.start(fresh) })
}

// Submit gives a group to a replica's public port, as a client does.
func (l *Liar) Submit(to int, g crypto.GroupView, src consensus.Source) {
	l.w.after(l.w.upTo(l.Plan.Net.Delay), func() { l.w.hosts[to].submit(g, src) })
}

// Complain complains to a replica, as a client does.
func (l *Liar) Complain(to int) {
	l.w.after(l.w.upTo(l.Plan.Net.Delay), func() {
		l.w.hosts[to].put(item{input: consensus.Input{Kind: consensus.InComplaint}})
	})
}
