package sim

import (
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// State transfer is the engine's own: the executor hands it certificates,
// messages and ticks, and tells the core when a state is in place.

// fetchState begins to fetch the state that a certificate proves.
func (h *host) fetchState(c *message.Certificate) {
	cert := *c
	h.ask(func() {
		h.engine.Install(&cert, h.w.plan.N)
		h.engine.OweSave(cert.N()) // the log up to there goes
	})
}

func (h *host) postState(to message.ReplicaID, m message.Message) {
	h.trace("sends %d: %s", to, describe(m))
	h.post(int(to), m)
}

// transferState takes a message of state transfer. It reports false if m is
// none.
func (h *host) transferState(from int, m message.Message) bool {
	switch m.(type) {
	case *message.FetchManifest, *message.FetchNodes, *message.FetchPieces:
		h.ask(func() { h.engine.Serve(message.ReplicaID(from), m, h.postState) })
	case *message.Manifest, *message.Nodes, *message.Piece:
		h.ask(func() {
			done, _ := h.engine.Receive(message.ReplicaID(from), m, h.postState)
			if done != nil {
				h.installed(done)
			}
			for _, err := range h.engine.Blamed() {
				h.w.check.blamed(h, err)
			}
		})
	default:
		return false
	}
	return true
}

// installed tells the core that a state is in place.
func (h *host) installed(s *execution.Installed) {
	h.w.cover.add("states transferred")
	h.w.check.installed(h, s.State)
	h.put(item{input: consensus.Input{
		Kind: consensus.InStateInstalled, State: s.State,
		Executed: &consensus.Executed{N: s.State.N, Windows: s.Windows},
	}})
}

// tickState lets the transfer's time go on now and then.
func (h *host) tickState() {
	const every = 10
	if k := h.ticks(); k >= h.ticked+every {
		h.ticked = k
		h.ask(func() { h.engine.Tick(k, h.postState) })
	}
}

// ticks is the time since this life began.
func (h *host) ticks() uint64 { return uint64(h.w.now-h.began) / tick }
