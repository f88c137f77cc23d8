package consensus

import "github.com/pbft-go/pbft/server/message"

// probe is the question whether the primary works, asked for a client who says
// that it does not while nothing waits here.
type probe struct {
	open bool   // this replica waits for any batch to be executed
	due  bool   // at the primary: a batch is to be proposed, empty if nothing waits
	at   uint64 // tick of the last batch for a probe, plus one
	last uint64 // tick of the last complaint that was acted upon, plus one
}

// onComplaint hastens what a client misses: the oldest requests that wait here
// go to all replicas, which watch over them too, so that a primary that ignores
// them falls. With nothing pending the primary is asked for an empty batch, and
// only if that does not come is it suspected: a complaint must not depose a
// primary that works.
func (r *Replica) onComplaint() {
	r.event(Event{Kind: EvComplaint})
	if !r.normal() || r.probe.last != 0 && r.tick+1-r.probe.last < r.timers.second {
		return
	}
	r.probe.last = r.tick + 1
	urged := 0
	for e := r.pend.all.Front(); e != nil && urged < maxRelayAgain; e = e.Next() {
		if g := e.Value.(*group); g.from < 0 {
			r.urge(g)
			urged++
		}
	}
	if !r.busy() {
		r.probe.open = true
		r.timers.progressed(r.tick)
		r.askBatch()
	}
}

// askBatch asks the primary for a batch while a probe is open.
func (r *Replica) askBatch() {
	if !r.probe.open || !r.normal() {
		return
	}
	if r.isPrimary() {
		r.probeDue()
	} else {
		r.sendStatusTo(r.primary(), false)
	}
}

// probed takes the question of a backup.
func (r *Replica) probed(m *message.Status) {
	if m.Probe && m.View == r.view && r.normal() && r.isPrimary() {
		r.probeDue()
	}
}

// probeDue proposes an empty batch if nothing else is on its way, at most one a
// second.
func (r *Replica) probeDue() {
	if r.probe.at != 0 && r.tick+1-r.probe.at < r.timers.second || max(r.lastProposed, r.top, r.lastCommitted) > r.lastExec {
		return
	}
	r.probe.due, r.probe.at = true, r.tick+1
}
