package sim

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
	"github.com/pbft-go/pbft/server/statemachine/kv"
	"github.com/pbft-go/pbft/server/statemachine/log"
)

// host gives one replica's core and engine what package replica gives them,
// with chance instead of goroutines.
type host struct {
	w    *world
	id   int
	name string // in traces
	liar *Liar  // nil: it does not lie
	twin bool   // of a liar: its second copy

	life   int // grows whenever it starts: what belongs to an earlier life is void
	core   *consensus.Replica
	engine *execution.Engine
	status message.ReplicaStatus

	disk   *disk // nil: what it knows is gone when it stops
	lost   bool  // lost its memory once, and counts as faulty for ever
	stale  bool  // lost a part of what its disk had, likewise
	down   bool
	gone   bool // for good
	power  power
	pauses int   // faults that hold it
	slow   int64 // everything takes so many times as long
	jump   int64 // microseconds by which its clock is wrong for now
	began  int64

	inbox   []item
	spare   []item
	inTurn  bool
	waking  bool // a turn is due
	in      consensus.Input
	out     consensus.Effects
	held    []consensus.Send // wait for their records
	durable consensus.PersistID
	wakeUp  func() // takes a turn, unless the host has started again

	tasks   []task // of the executor
	working bool   // the executor's next step is due
	work    func()
	ticked  uint64 // of the engine

	ticket  uint64
	waiting map[uint64]func(consensus.Reason) // by ticket
	waiters []*waiter                         // callers that wait for f+1 replies
}

// item is one thing for a turn.
type item struct {
	input   consensus.Input
	decided func(consensus.Reason) // of a client's group
}

func newHost(w *world, id int) *host {
	return &host{w: w, id: id, name: fmt.Sprint("r", id), slow: 1}
}

// correct reports whether the replica keeps to the protocol and what it said.
func (h *host) correct() bool { return h.liar == nil && !h.lost && !h.stale }

func (h *host) state() string {
	switch {
	case h.down:
		return "down"
	case h.pauses > 0:
		return "paused"
	case h.liar != nil:
		return "liar, " + h.status.String()
	}
	return h.status.String()
}

// start begins a life: with what the disk gives back, or with an empty memory. A
// fresh replica without a disk asks whether it is new.
func (h *host) start(fresh bool) {
	w := h.w
	h.life++
	h.down, h.began = false, w.now
	h.inbox, h.held, h.tasks, h.waiters = nil, nil, nil, nil
	h.inTurn, h.waking, h.working = false, false, false
	h.durable, h.ticked, h.out = 0, 0, consensus.Effects{}
	h.waiting = map[uint64]func(consensus.Reason){}
	var loaded *message.State
	if h.disk == nil {
		h.startEmpty(fresh)
	} else {
		h.rewire()
		c, err := h.disk.open()
		if err != nil {
			h.diskFailed(err)
			return
		}
		loaded = h.startFrom(&c)
	}
	life := h.life
	h.wakeUp = func() {
		if h.life == life && !h.down {
			h.waking = false
			h.turn()
		}
	}
	h.work = func() {
		if h.life == life && !h.down {
			h.working = false
			h.step()
		}
	}
	h.status = h.core.Info().Status
	h.trace("starts: %s, view %d, executed %d", h.status, h.core.View(), h.engine.LastExecuted())
	h.tick(life)
	h.put(item{input: consensus.Input{Kind: consensus.InStart}})
	h.checkpointReady(loaded)
	var clock func()
	clock = func() {
		if h.life == life && !h.down {
			h.tick(life)
			w.after(tick, clock)
		}
	}
	w.after(w.rnd.Int64N(tick), clock)
}

// startEmpty makes core and engine that know nothing.
func (h *host) startEmpty(fresh bool) {
	var err error
	if h.core, err = consensus.New(h.config(fresh), h.w.keys.signer(h.id)); err != nil {
		panic(err) // the plan is wrong
	}
	if h.engine, err = execution.New(h.w.engineConfig(h.id), h.w.plan.application()); err != nil {
		panic(err)
	}
	h.w.check.started(h)
}

// startFrom takes over what the disk gave back.
func (h *host) startFrom(c *contents) *message.State {
	h.core, h.engine = c.core, c.engine
	h.w.mix(uint64(len(c.records)), c.loaded.N)
	if h.disk.rotten && h.liar == nil {
		h.w.check.fail("I17", "replica %d goes on with a damaged log", h.id)
	}
	h.w.check.restored(h, c)
	return c.loaded.State
}

// later calls f after a while, unless this life has ended.
func (h *host) later(d int64, f func()) {
	life := h.life
	h.w.after(d, func() {
		if h.life == life && !h.down {
			f()
		}
	})
}

func (h *host) trace(format string, args ...any) {
	if h.w.trace.on() {
		h.w.trace.line(h.w, "%s "+format, append([]any{h.name}, args...)...)
	}
}

// config is what the replica's core is made with.
func (h *host) config(fresh bool) consensus.Config {
	p := h.w.plan
	return consensus.Config{
		Cluster: clusterID, Self: message.ReplicaID(h.id), Incarnation: incarnationOfAll, N: p.N,
		Interval: p.Interval, Window: p.Window, Limits: p.Limits, WindowBytes: p.WindowBytes, ClientWindow: p.ClientWindow,
		Pipeline: p.Pipeline, Depth: p.Depth,
		MaxPending: p.MaxPending, MaxPendingBytes: p.MaxPending * 256, ClientPendingBytes: 64 << 10,
		MaxDriftUS: maxDriftUS, Timeout: p.Timeout, MaxTimeout: p.MaxTimeout,
		SyncInterval: p.SyncInterval, RetryFirst: p.RetryFirst, StatusBudget: p.StatusBudget, Fresh: fresh,
	}
}

// engineConfig is what the replica's engine is made with.
func (w *world) engineConfig(id int) execution.Config {
	p := w.plan
	return execution.Config{
		Cluster: clusterID, Self: message.ReplicaID(id), ClientWindow: p.ClientWindow,
		MaxCachedResult: p.MaxCachedResult, ReplyBytes: p.ReplyBytes, MaxClients: 1000,
		HistoryBytes: p.HistoryKB << 10, ResultCache: p.Result, ConfigDigest: crypto.Digest{1},
		SaveBytes: p.SaveBytes, HistoryKeep: p.HistoryKeep,
	}
}

func (p *Plan) application() statemachine.StateMachine {
	if p.Application == "log" {
		return log.New()
	}
	return kv.New()
}

// tick puts the clocks into the next turn. A clock whose last word was not
// taken yet waits.
func (h *host) tick(life int) {
	if h.life != life || h.pauses > 0 {
		return
	}
	if h.liar != nil && !h.twin {
		h.liar.tick()
	}
	h.tickState()
	for i := range h.inbox {
		if h.inbox[i].input.Kind == consensus.InTick {
			return
		}
	}
	h.put(item{input: consensus.Input{Kind: consensus.InTick, Tick: h.ticks(), WallUS: h.clock()}})
}

// clock is the replica's wall clock.
func (h *host) clock() int64 {
	c := &h.w.plan.Clocks[h.id]
	return epochUS + h.w.now + c.OffsetUS + h.w.now*c.DriftPPM/1_000_000 + h.jump
}

// resume goes on after a pause.
func (h *host) resume() {
	if h.down {
		return
	}
	h.waking, h.working = false, false
	h.tick(h.life)
	h.wake()
	h.goOn()
}

// connected tells both ends of every link that it came up.
func (h *host) connected() {
	for _, o := range h.w.hosts {
		if o != h && !o.down && !h.w.net.cut(h.id, o.id) {
			h.put(item{input: consensus.Input{Kind: consensus.InConnected, From: message.ReplicaID(o.id)}})
			o.put(item{input: consensus.Input{Kind: consensus.InConnected, From: message.ReplicaID(h.id)}})
		}
	}
}

// receive takes a message as a channel's end does: what is wrong with it by
// itself never reaches the core, and what concerns clients goes elsewhere.
func (h *host) receive(from int, m message.Message) {
	m, err := h.w.verifier.open(m)
	if err != nil {
		h.w.check.refused(h, from, err)
	}
	if m == nil {
		return
	}
	if h.liar == nil {
		h.accept(from, m)
		return
	}
	for _, m := range h.liar.receive(from, m) {
		h.accept(from, m)
	}
}

func (h *host) accept(from int, m message.Message) {
	h.w.trace.delivered(h, from, m)
	switch m := m.(type) {
	case *message.Reply:
		h.deliverReply(from, m)
	case *message.FetchReply:
		h.ask(func() { h.reply(from, m.Client, m.Session, m.Number) })
	default:
		if !h.transferState(from, m) {
			h.put(item{input: consensus.Input{Kind: consensus.InMessage, From: message.ReplicaID(from), Msg: m}})
		}
	}
}
