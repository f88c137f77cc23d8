package sim

import (
	"bytes"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// The executor owns the engine: batches, and questions about what was
// executed, are answered in the order in which they came, each after a while.

// task is a batch to execute, or a question.
type task struct {
	exec     consensus.Exec
	question func()
}

// ask queues a question.
func (h *host) ask(f func()) { h.queue(task{question: f}) }

func (h *host) queue(t task) {
	if !h.down {
		h.tasks = append(h.tasks, t)
		h.goOn()
	}
}

// goOn lets the executor's next step come, if there is anything to do.
func (h *host) goOn() {
	if h.working || h.down || h.pauses > 0 || len(h.tasks) == 0 && !h.engine.Underway() {
		return
	}
	h.working = true
	h.w.after(h.w.upTo(h.w.plan.Exec*h.slow), h.work)
}

// questionsPerStep is how many questions take as long as a batch.
const questionsPerStep = 32

// step executes a batch, or answers questions, or does a piece of a checkpoint
// if there is neither.
func (h *host) step() {
	defer h.reportPanic()
	if h.pauses > 0 {
		return
	}
	if len(h.tasks) == 0 {
		h.checkpointReady(h.engine.Advance())
		h.takeSave()
	}
	for k := 0; k < questionsPerStep && len(h.tasks) > 0 && !h.down; k++ {
		t := h.tasks[0]
		h.tasks[0] = task{}
		h.tasks = h.tasks[1:]
		if t.question == nil {
			h.execute(&t.exec)
			break
		}
		t.question()
	}
	h.goOn()
}

// execute executes a batch, tells the core and answers the clients. What a
// state that came from others covers is skipped.
func (h *host) execute(x *consensus.Exec) {
	if x.N <= h.engine.LastExecuted() {
		return
	}
	out := h.engine.Execute(x)
	h.w.check.executed(h, x, out)
	done := out.Executed // the core reads it later
	h.put(item{input: consensus.Input{Kind: consensus.InExecuted, Executed: &done}})
	h.checkpointReady(out.State)
	h.takeSave()
	if !x.Answer {
		return
	}
	for i := range out.Blocks {
		h.answer(x.N, &out.Blocks[i])
	}
}

func (h *host) checkpointReady(s *message.State) {
	if s != nil {
		h.w.check.state(h, s)
		h.put(item{input: consensus.Input{Kind: consensus.InCheckpointReady, State: s}})
	}
}

// answer sends a block to its client, and single replies to whoever waits
// elsewhere: the replica that admitted the request, and the client's URL.
func (h *host) answer(n uint64, b *execution.Block) {
	h.tell(&Answer{Client: b.Client, Session: b.Session, View: h.core.View(), N: n, Digest: b.Digest, Results: detach(b.Results)})
	for i := range b.Singles {
		it := &b.Singles[i]
		res := detach(b.Results[it.Result : it.Result+1])[0]
		if it.Origin != 0 {
			h.sendReply(int(it.Origin)-1, &message.Reply{View: h.core.View(), Client: b.Client, Session: b.Session, Result: res})
		}
		if len(it.URL) > 0 && it.Executed {
			h.tell(&Answer{Client: b.Client, Session: b.Session, View: h.core.View(), Results: []crypto.Result{res}, Posted: true})
		}
	}
}

// detach copies results: their values live as long as the batch.
func detach(results []crypto.Result) []crypto.Result {
	out := append([]crypto.Result(nil), results...)
	for i := range out {
		out[i].Value = bytes.Clone(out[i].Value)
	}
	return out
}

// sendReply sends a reply to a replica, which may be this one.
func (h *host) sendReply(to int, m *message.Reply) {
	m.Replica = message.ReplicaID(h.id)
	switch {
	case to == h.id:
		h.deliverReply(h.id, m)
	case to < len(h.w.hosts):
		h.post(to, m)
	}
}

// reply looks an outcome up and sends it to a replica.
func (h *host) reply(to int, client string, session, number uint64) crypto.Result {
	res, real := h.engine.Lookup(client, session, number)
	if session == 0 {
		session = real
	}
	h.sendReply(to, &message.Reply{View: h.core.View(), Client: client, Session: session, Result: res})
	return res
}

// resend answers a retransmission from the client table.
func (h *host) resend(s *consensus.Resend) {
	to, client, session, number := s.Peer, string(s.Group.Client), s.Group.Session, s.Request.Number
	if to < 0 {
		to = h.id
	}
	url := s.URL
	h.ask(func() {
		res := h.reply(to, client, session, number)
		if url && res.Status == crypto.StatusOK {
			h.tell(&Answer{Client: client, Session: session, View: h.core.View(), Results: []crypto.Result{res}, Posted: true})
		}
	})
}

// serve sends a peer what the core has dropped and the history still holds.
func (h *host) serve(s *consensus.Serve) {
	to, digests, budget, first, last := int(s.To), s.Digests, s.Budget, s.First, s.Last
	h.ask(func() {
		if first > 0 {
			if entries := h.engine.Committed(first, last, message.MaxCommitted); len(entries) > 0 {
				h.post(to, &message.Committed{Entries: entries})
			}
		}
		left := budget
		for i, d := range digests {
			b := h.engine.Body(d)
			if b == nil {
				continue
			}
			if left -= len(b.Body); left < 0 && i > 0 {
				return
			}
			h.post(to, &message.Body{Batch: b})
		}
	})
}
