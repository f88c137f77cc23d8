package guard

import (
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// orderPath orders batches by the cores of four replicas: from the groups at
// the primary to Executed at all four, checkpoints and their votes included.
// It passes the effects on by hand and adds next to nothing to what the cores
// cost. The clock stands still: gossip is no part of a request's cost.
type orderPath struct {
	tb     testing.TB
	hosts  [replicas]*host
	groups [][]crypto.GroupView // of the batches to come
	made   uint64               // batches prepared
	n      uint64               // batch in work, from 1
	// windows are those of all clients after batch n, at every replica.
	windows []consensus.Window
}

// host does for one core what a replica does, in turns: it steps what waits,
// then performs the effects.
type host struct {
	p        *orderPath
	self     message.ReplicaID
	core     *consensus.Replica
	out      consensus.Effects
	inbox    []consensus.Input
	spare    []consensus.Input // the inbox of the turn before
	held     []consensus.Send  // until what they promise is durable
	durable  consensus.PersistID
	executed consensus.Executed
}

func newOrderPath(tb testing.TB) path {
	p := &orderPath{tb: tb}
	for i := range clients {
		p.windows = append(p.windows, consensus.Window{Client: clientName(i), Bits: make([]uint64, clientWindow/64)})
	}
	for i := range p.hosts {
		core, err := consensus.New(consensus.Config{
			Cluster: cluster, Self: message.ReplicaID(i), Incarnation: 1, N: replicas,
			Interval: interval, Window: windowSize, Limits: limits,
			WindowBytes: 256 << 20, ClientWindow: clientWindow, Pipeline: 32, Depth: 1,
			MaxPending: 20_000, MaxPendingBytes: 64 << 20, ClientPendingBytes: 4 << 20,
			MaxDriftUS: 5e6, Timeout: 200, SyncInterval: 50, RetryFirst: 10, StatusBudget: 1 << 20,
		}, func(crypto.Tag, []byte) (s [crypto.SignatureSize]byte) { return s }) // the cores do not verify
		if err != nil {
			tb.Fatal(err)
		}
		p.hosts[i] = &host{p: p, self: message.ReplicaID(i), core: core}
	}
	return p
}

func (p *orderPath) prepare(batches int) {
	p.groups = p.groups[:0]
	for range batches {
		p.groups = append(p.groups, groups(p.tb, p.made))
		p.made++
	}
}

func (p *orderPath) handle() {
	p.n++
	p.moveWindows()
	for i := range p.groups[0] {
		p.hosts[0].put(consensus.Input{Kind: consensus.InRequest, Group: p.groups[0][i], Ticket: uint64(i + 1)})
	}
	p.groups[0] = nil
	p.groups = p.groups[1:]
	for p.turns() {
	}
	for i, h := range p.hosts {
		if h.executed.N != p.n {
			p.tb.Fatalf("replica %d has executed batch %d, want %d", i, h.executed.N, p.n)
		}
	}
}

// moveWindows marks the numbers of batch n, which are those that follow the
// last one's, as executed.
func (p *orderPath) moveWindows() {
	next := p.n * groupSize
	for i := range p.windows {
		w := &p.windows[i]
		if next > clientWindow { // all bits are set
			w.Low = next - clientWindow
		}
		for x := next - groupSize; x < next; x++ {
			w.Bits[x%clientWindow/64] |= 1 << (x % 64)
		}
	}
}

// turns lets each host have one, and reports whether one had anything to do.
func (p *orderPath) turns() (busy bool) {
	for _, h := range p.hosts {
		if len(h.inbox) > 0 {
			busy = true
			h.turn()
		}
	}
	return busy
}

func (h *host) put(in consensus.Input) { h.inbox = append(h.inbox, in) }

func (h *host) turn() {
	work := h.inbox
	h.inbox = h.spare[:0]
	for i := range work {
		h.core.Step(&work[i], &h.out)
	}
	clear(work)
	h.spare = work
	for h.perform() {
	}
}

// perform ends a turn and carries its effects out. Memory is durable at once.
func (h *host) perform() (again bool) {
	h.core.Step(&consensus.Input{Kind: consensus.InFlush}, &h.out)
	out := &h.out
	k := out.K
	h.durable = max(h.durable, k)
	h.release()
	for i := range out.Sends {
		h.send(&out.Sends[i])
	}
	for i := range out.Execs {
		h.execute(&out.Execs[i])
	}
	for _, a := range out.Admitted {
		if a.Reason != consensus.OK {
			h.p.tb.Fatalf("batch %d: replica %d refuses group %d: %s", h.p.n, h.self, a.Ticket, a.Reason)
		}
	}
	for _, e := range out.Events {
		if e.Kind != consensus.EvStable {
			h.p.tb.Fatalf("batch %d: replica %d reports %+v", h.p.n, h.self, e)
		}
	}
	out.Reset()
	if k != 0 {
		h.core.Step(&consensus.Input{Kind: consensus.InDurable, K: k}, &h.out)
	}
	return k != 0
}

// release sends what waited for its records.
func (h *host) release() {
	held := h.held
	h.held = h.held[:0]
	for i := range held {
		h.send(&held[i])
	}
	clear(held[len(h.held):])
}

// send hands a message over, or holds it until its records are durable.
func (h *host) send(s *consensus.Send) {
	if s.After > h.durable {
		h.held = append(h.held, *s)
		return
	}
	for _, to := range h.p.hosts {
		if to != h && (s.To == consensus.Everyone || s.To == int(to.self)) {
			to.put(consensus.Input{Kind: consensus.InMessage, From: h.self, Msg: s.Msg})
		}
	}
}

// execute reports a batch as executed.
func (h *host) execute(x *consensus.Exec) {
	if x.N != h.p.n || x.Batch == nil || x.Batch.Header.Count != batchSize {
		h.p.tb.Fatalf("replica %d: executes batch %d, want %d with %d requests", h.self, x.N, h.p.n, batchSize)
	}
	h.executed = consensus.Executed{N: x.N, Windows: h.p.windows}
	h.put(consensus.Input{Kind: consensus.InExecuted, Executed: &h.executed})
	if x.Checkpoint {
		h.put(consensus.Input{Kind: consensus.InCheckpointReady, State: &message.State{N: x.N, LastTimeUS: x.TimeUS}})
	}
}
