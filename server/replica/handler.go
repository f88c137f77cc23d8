package replica

import (
	"fmt"
	"sort"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
	"github.com/pbft-go/pbft/server/statemachine/kv"
	"github.com/pbft-go/pbft/server/statemachine/log"
)

func peerID(i int) message.ReplicaID { return message.ReplicaID(i) }

// handler is the replica as its transport sees it.
type handler Replica

// Receive takes a frame of a peer. What concerns clients' outcomes goes to the
// executor and the gateway; everything else is the core's. It blocks while the
// peer has its share of the inbox waiting.
func (h *handler) Receive(from message.ReplicaID, msgs []message.Message, bytes int) {
	r := (*Replica)(h)
	keep := msgs[:0]
	var state []message.Message
	for _, m := range msgs {
		switch m := m.(type) {
		case *message.FetchManifest, *message.FetchNodes, *message.FetchPieces:
			r.exec.serveState(from, m)
		case *message.Manifest, *message.Nodes, *message.Piece:
			state = append(state, m)
		case *message.Reply:
			m.Replica = from // the channel says who speaks
			r.gateway.DeliverReply(m)
		case *message.FetchReply:
			r.exec.ask(func(e *execution.Engine) { r.exec.reply(e, int(from), m.Client, m.Session, m.Number) })
		default:
			keep = append(keep, m)
		}
	}
	if len(state) > 0 {
		r.exec.receiveState(from, state)
	}
	if len(keep) > 0 {
		r.inbox.put(item{from: int(from), bytes: bytes, msgs: keep})
	}
}

// Connected lets both sides of a new link learn where the other one stands.
func (h *handler) Connected(peer message.ReplicaID, up bool) {
	if up {
		h.inbox.put(item{from: fromSelf, input: consensus.Input{Kind: consensus.InConnected, From: peer}})
	}
}

// applications are the state machines that a configuration can name.
var applications = map[string]func() statemachine.StateMachine{
	"log": func() statemachine.StateMachine { return log.New() },
	"kv":  func() statemachine.StateMachine { return kv.New() },
}

func stateMachine(name string) (statemachine.StateMachine, error) {
	if f := applications[name]; f != nil {
		return f(), nil
	}
	var known []string
	for k := range applications {
		known = append(known, k)
	}
	sort.Strings(known)
	return nil, fmt.Errorf("state_machine %q is unknown: this program has %v", name, known)
}
