package sim

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// put adds something to what waits for the next turn.
func (h *host) put(it item) {
	if h.down {
		return
	}
	h.inbox = append(h.inbox, it)
	h.wake()
}

// wake lets a turn come, if none is due.
func (h *host) wake() {
	if h.waking || h.inTurn || h.down || h.pauses > 0 || len(h.inbox) == 0 {
		return
	}
	d := h.w.upTo(h.w.plan.Turn * h.slow)
	if d == 0 && h.w.plan.Turn == 0 && h.slow == 1 {
		h.turn()
		return
	}
	h.waking = true
	h.w.after(d, h.wakeUp)
}

// turn takes all that waits, steps it, and performs the effects once.
func (h *host) turn() {
	if h.pauses > 0 {
		return
	}
	life := h.life
	defer h.reportPanic()
	h.inTurn = true
	items := h.inbox
	h.inbox = h.spare[:0]
	for i := range items {
		h.take(&items[i])
	}
	h.perform()
	clear(items)
	h.spare = items
	if h.life != life || h.down {
		return
	}
	h.inTurn = false
	h.w.check.turned(h)
	h.wake()
}

// reportPanic turns a panic of the core or the engine into a violation: no
// input may cause one.
func (h *host) reportPanic() {
	if v := recover(); v != nil {
		h.down, h.gone = true, true
		if h.liar != nil {
			return // a core that is lied to may meet what cannot be
		}
		h.w.check.fail("I26", "replica %d panics: %v\n%s", h.id, v, stack())
	}
}

// stack is where the present panic came from, without addresses.
func stack() string {
	var out []string
	for line := range strings.Lines(string(debug.Stack())) {
		if file, found := strings.CutPrefix(line, "\t"); found && !strings.Contains(file, "/runtime/") {
			file, _, _ = strings.Cut(file, " +0x")
			out = append(out, "    "+file[strings.LastIndex(file, "/server/")+1:])
		}
	}
	return strings.Join(out[:min(len(out), 12)], "\n")
}

func (h *host) take(it *item) {
	switch it.input.Kind {
	case consensus.InRequest:
		if it.decided != nil {
			h.ticket++
			h.waiting[h.ticket] = it.decided
			it.input.Ticket = h.ticket
		}
	case consensus.InDurable:
		h.durable = max(h.durable, it.input.K)
		h.w.check.durable(h, it.input.K)
	case consensus.InMessage:
		h.w.check.received(h, int(it.input.From), it.input.Msg)
	}
	h.stepCore(it.input)
}

func (h *host) stepCore(in consensus.Input) {
	before := len(h.out.Records)
	h.in = in
	h.core.Step(&h.in, &h.out)
	if len(h.out.Records) > before {
		h.w.cover.records(h, &h.in, h.out.Records[before:])
	}
}

// perform ends the turn and carries its effects out, in the order of the
// contract, until the core has nothing more to do at once. A host that crashes
// on the way leaves the rest undone.
func (h *host) perform() {
	for {
		h.stepCore(consensus.Input{Kind: consensus.InFlush})
		h.w.trace.effects(h, &h.out)
		k := h.persist()
		h.send()
		for i := range h.out.Execs {
			if h.burn() {
				h.queue(task{exec: h.out.Execs[i]})
			}
		}
		for i := range h.out.Resends {
			if h.burn() {
				h.resend(&h.out.Resends[i])
			}
		}
		for i := range h.out.Serves {
			if h.burn() {
				h.serve(&h.out.Serves[i])
			}
		}
		h.performRest()
		h.out.Reset()
		if k == 0 || h.down {
			return
		}
		h.stepCore(consensus.Input{Kind: consensus.InDurable, K: k})
	}
}

// performRest performs the effects that stay inside. Every other kind of
// effect has a line here or in perform.
func (h *host) performRest() {
	if h.down {
		return
	}
	if c := h.out.Install; c != nil {
		h.fetchState(c)
		if h.disk != nil {
			h.disk.fetching(c.N())
		}
	}
	for _, a := range h.out.Admitted {
		f := h.waiting[a.Ticket]
		delete(h.waiting, a.Ticket)
		f(a.Reason)
	}
	for i := range h.out.Events {
		h.note(&h.out.Events[i])
	}
	if h.out.Halt != nil {
		h.halted(h.out.Halt.Reason)
	}
}

// persist makes records durable, at once or after a while. It returns the
// batch that is durable already.
func (h *host) persist() consensus.PersistID {
	k := h.out.K
	if k == 0 {
		return 0
	}
	h.w.check.persisted(h, k, h.out.Records)
	if h.disk != nil {
		if k = h.disk.persist(k, h.out.Records); k > 0 {
			h.durable = k
			h.w.check.durable(h, k)
		}
		return k
	}
	if h.w.plan.Disk == 0 {
		h.durable = k
		h.w.check.durable(h, k)
		return k
	}
	life := h.life
	h.w.after(h.w.upTo(h.w.plan.Disk*h.slow), func() {
		if h.life == life {
			h.put(item{input: consensus.Input{Kind: consensus.InDurable, K: k}})
		}
	})
	return 0
}

// send hands over what may leave: promises whose records are durable, in
// order, except votes of a view that was given up.
func (h *host) send() {
	kept := h.held[:0]
	for _, s := range h.held {
		switch {
		case s.Gen > 0 && s.Gen < h.out.LiveGen:
		case s.After > h.durable:
			kept = append(kept, s)
		default:
			h.post(s.To, s.Msg)
		}
	}
	clear(h.held[len(kept):])
	h.held = kept
	for _, s := range h.out.Sends {
		if s.After > h.durable {
			h.held = append(h.held, s)
		} else {
			h.post(s.To, s.Msg)
		}
	}
}

// post gives a message to the network, for one replica or for all others.
func (h *host) post(to int, m message.Message) {
	said := false
	for _, o := range h.w.hosts {
		if o.id == h.id || to != consensus.Everyone && to != o.id || !h.burn() {
			continue
		}
		if !said {
			said = true
			h.w.check.sent(h, m)
		}
		if h.liar != nil {
			h.liar.send(h, o.id, m)
		} else {
			h.w.net.send(h.id, o, m)
		}
	}
}

// note takes a fact from the core.
func (h *host) note(e *consensus.Event) {
	switch e.Kind {
	case consensus.EvStatus:
		h.status = e.Status
	case consensus.EvViewChange:
		h.w.cover.add("view change: " + e.Cause.String())
	case consensus.EvNewView:
		h.w.cover.add("new view")
		h.w.check.entered(h, e.N)
	case consensus.EvRejected:
		h.w.cover.add("rejected: " + e.Reason.String())
	default:
		h.w.cover.add("event: " + eventName(e.Kind))
	}
}

func eventName(k consensus.EventKind) string {
	switch k {
	case consensus.EvEquivocation:
		return "equivocation"
	case consensus.EvStable:
		return "stable"
	case consensus.EvDiverged:
		return "diverged"
	case consensus.EvSplit:
		return "split"
	case consensus.EvStalled:
		return "stalled"
	case consensus.EvComplaint:
		return "complaint"
	case consensus.EvClockSkew:
		return "clock skew"
	case consensus.EvBehind:
		return "state fetched"
	case consensus.EvInstalled:
		return "state installed"
	}
	return fmt.Sprint(k)
}
