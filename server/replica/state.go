package replica

import (
	"sync/atomic"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// State transfer happens on the executor's goroutine: both what this replica
// gives to others and what it fetches itself.

const (
	// stateFrames is how many frames with state one peer may have waiting for
	// the executor before its Bulk stream is read no further.
	stateFrames = 2
	// stateQuestions is how many of a peer's questions may wait. More are
	// dropped: it asks again.
	stateQuestions = 8
	// stateTicks is how often the transfer's clock goes on.
	stateTicks = 10
)

// stateQueue bounds what peers may have waiting for the executor.
type stateQueue struct {
	frames    []chan struct{} // by peer
	questions []atomic.Int32
	closed    chan struct{}
	ticked    uint64
	ticking   atomic.Bool
}

func (q *stateQueue) init(n int) {
	q.closed = make(chan struct{})
	q.questions = make([]atomic.Int32, n)
	for range n {
		q.frames = append(q.frames, make(chan struct{}, stateFrames))
	}
}

func (x *executor) postState(to message.ReplicaID, m message.Message) {
	x.r.post(consensus.Send{To: int(to), Msg: m})
}

// install begins to fetch the state that a certificate proves.
func (x *executor) install(c message.Certificate) {
	x.askAlways(func(e *execution.Engine) {
		e.Install(&c, len(x.r.cfg.Nodes))
		e.OweSave(c.N()) // the log up to there goes
	})
}

// tick lets the transfer's time go on. Only the loop calls it.
func (x *executor) tick(k uint64) {
	q := &x.state
	if k < q.ticked+stateTicks || !q.ticking.CompareAndSwap(false, true) {
		return
	}
	q.ticked = k
	x.askAlways(func(e *execution.Engine) {
		q.ticking.Store(false)
		e.Tick(k, x.postState)
	})
}

// serveState answers a peer that fetches state.
func (x *executor) serveState(from message.ReplicaID, m message.Message) {
	waiting := &x.state.questions[from]
	if waiting.Add(1) > stateQuestions {
		waiting.Add(-1)
		return
	}
	if !x.ask(func(e *execution.Engine) {
		waiting.Add(-1)
		e.Serve(from, m, x.postState)
	}) {
		waiting.Add(-1)
	}
}

// receiveState takes parts of a state that this replica fetches. It blocks
// while the peer has its share waiting.
func (x *executor) receiveState(from message.ReplicaID, msgs []message.Message) {
	share := x.state.frames[from]
	select {
	case share <- struct{}{}:
	case <-x.state.closed:
		return
	}
	if !x.ask(func(e *execution.Engine) {
		<-share
		for _, m := range msgs {
			if done, _ := e.Receive(from, m, x.postState); done != nil {
				x.installed(done)
			}
		}
		for _, err := range e.Blamed() {
			x.r.log.Warn("state of another replica refused", "peer", int(from), "err", err)
		}
	}) {
		<-share
	}
}

// installed tells the core which state took the place of the own one.
func (x *executor) installed(s *execution.Installed) {
	x.r.inbox.put(item{from: fromSelf, input: consensus.Input{
		Kind: consensus.InStateInstalled, State: s.State,
		Executed: &consensus.Executed{N: s.State.N, Windows: s.Windows},
	}})
}
