package replica

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// loop is the only caller of the core. A turn takes everything that waits,
// steps it, and performs the effects once: one persist, one write per peer.
func (r *Replica) loop() {
	defer r.reportPanic()
	clock := time.NewTicker(tick)
	defer clock.Stop()
	t := &turn{r: r}
	t.tick(time.Now())
	t.begin()
	var spare []item
	for {
		items, closed := r.inbox.swap(spare)
		if closed {
			return
		}
		if len(items) == 0 {
			select {
			case <-r.inbox.bell:
			case <-clock.C:
				began := time.Now()
				t.tick(began)
				t.perform()
				r.turns.note(time.Since(began))
			}
			spare = items
			continue
		}
		began := time.Now()
		select {
		case now := <-clock.C: // under load, too, time goes on
			t.tick(now)
		default:
		}
		for i := range items {
			t.take(&items[i])
		}
		t.perform()
		r.turns.note(time.Since(began))
		clear(items)
		spare = items
	}
}

// reportPanic turns a broken assertion into a halt with a report: a core whose
// state is known to be wrong must not go on.
func (r *Replica) reportPanic() {
	if v := recover(); v != nil {
		r.log.Error("the core failed", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		r.halt(fmt.Sprint(v))
		r.inbox.close()
	}
}

// turn gathers the effects of one turn of the loop.
type turn struct {
	r       *Replica
	out     consensus.Effects
	in      consensus.Input
	held    []consensus.Send // wait for their records
	durable consensus.PersistID
}

func (t *turn) step(in consensus.Input) {
	if lying && t.r.lies.deaf(&in) {
		return
	}
	t.in = in
	t.r.core.Step(&t.in, &t.out)
}

// tick steps the clocks: ticks since the start by the monotonic clock, and the
// wall clock as data.
func (t *turn) tick(now time.Time) {
	info := t.r.core.Info()
	t.r.window.look(now, &info, uint64(t.r.cfg.Window()))
	k := uint64(time.Since(t.r.started) / tick)
	t.step(consensus.Input{Kind: consensus.InTick, Tick: k, WallUS: now.UnixMicro()})
	t.r.exec.tick(k)
}

func (t *turn) take(it *item) {
	switch {
	case it.run != nil:
		it.run()
	case it.from >= 0:
		for _, m := range it.msgs {
			t.step(consensus.Input{Kind: consensus.InMessage, From: message.ReplicaID(it.from), Msg: m})
		}
	case it.from == fromClient:
		it.input.Ticket = t.r.tickets.add(it.admitted)
		t.step(it.input)
	default:
		if it.input.Kind == consensus.InDurable {
			t.durable = max(t.durable, it.input.K)
		}
		t.step(it.input)
	}
}

// tickets finds the caller who waits for the core's decision on a group. The
// loop alone uses it: each group is decided in the step that takes it.
type tickets struct {
	last    uint64
	waiting map[uint64]func(consensus.Reason)
}

func (t *tickets) add(f func(consensus.Reason)) uint64 {
	if f == nil {
		return 0
	}
	if t.waiting == nil {
		t.waiting = make(map[uint64]func(consensus.Reason))
	}
	t.last++
	t.waiting[t.last] = f
	return t.last
}

func (t *tickets) decide(a consensus.Admitted) {
	f := t.waiting[a.Ticket]
	delete(t.waiting, a.Ticket)
	f(a.Reason)
}
