package replica

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/gateway"
	"github.com/pbft-go/pbft/server/message"
)

// maxQuestions bounds the lookups that wait for the executor; batches are
// bounded by the core's window and never refused.
const maxQuestions = 1 << 14

// executor owns the engine: batches, and questions about what was executed,
// are answered by one goroutine in the order in which they came.
type executor struct {
	r      *Replica
	engine *execution.Engine

	mu        sync.Mutex
	tasks     []task
	questions int
	closed    bool
	bell      chan struct{}
	idle      *time.Timer // of run
	sizes     batchSizes  // of run
	state     stateQueue
}

// task is a batch to execute, or a question.
type task struct {
	exec     consensus.Exec
	question func(*execution.Engine)
	own      bool // the replica asks itself
}

func newExecutor(r *Replica, e *execution.Engine) *executor {
	x := &executor{r: r, engine: e, bell: make(chan struct{}, 1), idle: time.NewTimer(digestPause)}
	x.state.init(len(r.cfg.Nodes))
	return x
}

func (x *executor) execute(e consensus.Exec) { x.put(task{exec: e}) }

// ask queues a question. It reports false if too many wait.
func (x *executor) ask(f func(*execution.Engine)) bool { return x.put(task{question: f}) }

// askAlways queues a question of the replica's own, which is never refused.
func (x *executor) askAlways(f func(*execution.Engine)) { x.put(task{question: f, own: true}) }

func (x *executor) put(t task) bool {
	x.mu.Lock()
	counts := t.question != nil && !t.own
	if x.closed || counts && x.questions >= maxQuestions {
		x.mu.Unlock()
		return false
	}
	if counts {
		x.questions++
	}
	x.tasks = append(x.tasks, t)
	x.mu.Unlock()
	x.ring()
	return true
}

func (x *executor) ring() {
	select {
	case x.bell <- struct{}{}:
	default:
	}
}

func (x *executor) close() {
	x.mu.Lock()
	if !x.closed {
		close(x.state.closed)
	}
	x.closed = true
	x.mu.Unlock()
	x.ring()
}

// errStopping is the answer to questions of a replica that stops.
var errStopping = errors.New("the replica is stopping or overloaded: ask again, or ask another one")

// askWait asks and waits for the answer.
func askWait[T any](ctx context.Context, x *executor, f func(*execution.Engine) T) (T, error) {
	done := make(chan T, 1)
	var zero T
	if !x.ask(func(e *execution.Engine) { done <- f(e) }) {
		return zero, errStopping
	}
	select {
	case v := <-done:
		return v, nil
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-x.r.halted:
		return zero, errStopping
	}
}

// waiting is how many tasks wait, and how many of them are bounded questions.
func (x *executor) waiting() (tasks, questions int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.tasks), x.questions
}

func (x *executor) run() {
	defer x.r.reportPanic()
	var spare []task
	wait := digestPause
	for {
		x.mu.Lock()
		tasks := x.tasks
		x.tasks, x.questions = spare[:0], 0
		closed := x.closed
		x.mu.Unlock()
		for i := range tasks {
			if q := tasks[i].question; q != nil {
				q(x.engine)
			} else {
				x.perform(&tasks[i].exec)
			}
		}
		clear(tasks)
		spare = tasks
		switch {
		case len(tasks) > 0:
			wait = digestRest
		case closed:
			return
		case x.engine.Underway():
			x.pause(wait)
			wait = digestPause
		default:
			<-x.bell
		}
	}
}

// digestPause is how long the executor waits for something to do before it goes
// on with a checkpoint. It must wait, not only let others go first: while a
// goroutine can run, Go's scheduler looks at the network once in 10 ms.
const digestPause = 100 * time.Microsecond

// digestRest is how long it waits after a batch. While batches come, what goes on
// beside each of them is enough; more would take the cores from the next ones.
const digestRest = 5 * time.Millisecond

// pause waits for a task, and does a piece of the checkpoint if none comes.
func (x *executor) pause(d time.Duration) {
	x.idle.Reset(d)
	select {
	case <-x.bell:
		x.idle.Stop()
	case <-x.idle.C:
		x.checkpointReady(x.engine.Advance())
		x.save()
	}
}

// perform executes a batch, tells the core and answers the clients.
func (x *executor) perform(e *consensus.Exec) {
	if e.N <= x.engine.LastExecuted() {
		return // part of a state that was installed
	}
	out := x.engine.Execute(e)
	x.sizes.note(e)
	done := out.Executed // the core reads it later
	x.r.inbox.put(item{from: fromSelf, input: consensus.Input{Kind: consensus.InExecuted, Executed: &done}})
	x.checkpointReady(out.State)
	x.save()
	if !e.Answer {
		return
	}
	view := x.r.view.Load()
	for i := range out.Blocks {
		x.answer(e.N, view, &out.Blocks[i])
	}
}

// save writes the state to disk, if the engine has gathered it.
func (x *executor) save() {
	if d := x.r.disk; d != nil {
		if p := x.engine.TakeSave(); p != nil {
			d.save(p)
		}
	}
}

// checkpointReady tells the core that a state is digested, if one is.
func (x *executor) checkpointReady(s *message.State) {
	if s != nil {
		x.r.inbox.put(item{from: fromSelf, input: consensus.Input{Kind: consensus.InCheckpointReady, State: s}})
	}
}

// answer sends a block to its session's streams here, and single replies to
// whoever waits elsewhere: the replica that admitted the request, and the URL
// that it names.
func (x *executor) answer(n, view uint64, b *execution.Block) {
	if lying {
		x.r.lies.block(b)
	}
	x.r.gateway.DeliverBlock(n, view, b)
	for i := range b.Singles {
		it := &b.Singles[i]
		res := b.Results[it.Result]
		res.Value = bytes.Clone(res.Value) // it outlives the batch
		if it.Origin != 0 {
			x.sendReply(int(it.Origin)-1, &message.Reply{View: view, Client: b.Client, Session: b.Session, Result: res})
		}
		if len(it.URL) > 0 && it.Executed {
			x.r.gateway.PostReply(gateway.Posting{
				View: view, Client: b.Client, Number: res.Number, N: res.N,
				URL: it.URL, ClientTime: it.ClientTime, Op: it.Op, Result: res,
			})
		}
	}
}

// sendReply sends a reply to a replica, which may be this one. An origin that
// is no replica steers nothing.
func (x *executor) sendReply(to int, m *message.Reply) {
	m.Replica = message.ReplicaID(x.r.o.Index)
	if lying {
		x.r.lies.reply(m)
	}
	switch {
	case to == x.r.o.Index:
		x.r.gateway.DeliverReply(m)
	case to < len(x.r.cfg.Nodes):
		if r := &m.Result; len(r.Value) > x.r.cfg.MaxBatchBytes {
			// The waiting replica has the result itself; it needs our word only.
			r.Tombstone, r.Digest, r.Size, r.Value = true, x.r.cluster.ValueDigest(r.Value), uint64(len(r.Value)), nil
		}
		x.r.transport.Send(peerID(to), m)
	}
}

// reply looks an outcome up and sends it to a replica.
func (x *executor) reply(e *execution.Engine, to int, client string, session, number uint64) crypto.Result {
	res, real := e.Lookup(client, session, number)
	if session == 0 {
		session = real
	}
	x.sendReply(to, &message.Reply{View: x.r.view.Load(), Client: client, Session: session, Result: res})
	return res
}

// resend answers a retransmission from the client table.
func (x *executor) resend(s consensus.Resend) {
	x.ask(func(e *execution.Engine) {
		to := s.Peer
		if to < 0 {
			to = x.r.o.Index
		}
		client := string(s.Group.Client)
		res := x.reply(e, to, client, s.Group.Session, s.Request.Number)
		if s.URL && res.Status == crypto.StatusOK {
			x.r.gateway.PostReply(gateway.Posting{
				View: x.r.view.Load(), Client: client, Number: res.Number, N: res.N,
				URL: s.Request.ReplyURL, ClientTime: s.Request.ClientTime, Op: s.Request.Op, Result: res,
			})
		}
	})
}

// serve sends a peer what the core has dropped and the history still holds.
func (x *executor) serve(s consensus.Serve) {
	x.ask(func(e *execution.Engine) {
		if s.First > 0 {
			if entries := e.Committed(s.First, s.Last, message.MaxCommitted); len(entries) > 0 {
				x.r.transport.Send(s.To, &message.Committed{Entries: entries})
			}
		}
		budget := s.Budget
		for i, d := range s.Digests {
			b := e.Body(d)
			if b == nil {
				continue
			}
			if budget -= len(b.Body); budget < 0 && i > 0 {
				return
			}
			x.r.transport.Send(s.To, &message.Body{Batch: b})
		}
	})
}
