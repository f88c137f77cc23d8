package consensus

import "github.com/pbft-go/pbft/server/message"

// timers holds deadlines in ticks.
type timers struct {
	second      uint64 // ticks in a second
	progress    uint64 // tick of the last progress
	soft        uint64 // next soft expiry, 0: not armed
	softEvery   uint64 // present distance between soft expiries
	newView     uint64 // when the new view is late, 0: not armed
	repeat      uint64 // next repetition of the own view change
	repeatEvery uint64
	status      uint64 // next Status to all
	proposedUS  int64  // time of the last own proposal
}

// progressed restarts the progress timer.
func (t *timers) progressed(now uint64) { t.progress, t.soft, t.softEvery = now, 0, 0 }

// busy reports whether this replica waits for something to be executed.
func (r *Replica) busy() bool {
	return r.pend.watched > 0 || r.due > r.lastExec || r.probe.open || r.status == message.Starting
}

func (r *Replica) onTick(tick uint64, wallUS int64) {
	r.tick, r.wallUS = max(tick, r.tick), wallUS
	r.askBodies()
	r.followTail()
	r.askViewChanges()
	r.softExpiry()
	r.hardExpiry()
	r.repeatViewChange()
	r.gossip()
}

// softExpiry repairs what a lost message broke, long before anybody is
// suspected: after half the timeout without an executed batch while something
// is pending, this replica says where it stands, asks what is committed and
// relays again, at intervals that double.
func (r *Replica) softExpiry() {
	t := &r.timers
	if !r.busy() || r.status == message.Starting {
		t.progressed(r.tick)
		return
	}
	if t.soft == 0 {
		t.soft = t.progress + r.timeout()/2
	}
	if r.tick < t.soft {
		return
	}
	if t.softEvery == 0 {
		r.event(Event{Kind: EvStalled, N: r.lastExec})
		t.softEvery = r.c.RetryFirst
	} else {
		t.softEvery = min(2*t.softEvery, r.busyInterval())
	}
	t.soft = r.tick + t.softEvery
	r.sendStatus(true)
	r.fetchCommitted(r.lastCommitted + 1)
	r.relayPending()
}

// maxRelayAgain bounds what one soft expiry relays again.
const maxRelayAgain = 64

// relayPending sends the oldest watched groups to the primary again.
func (r *Replica) relayPending() {
	k := 0
	for e := r.pend.all.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*group); g.watch {
			r.relayAgain(g)
			if k++; k == maxRelayAgain {
				return
			}
		}
	}
}

// busyInterval is the distance between two Status while anything is missing.
func (r *Replica) busyInterval() uint64 {
	return max(min(r.c.SyncInterval, r.c.Timeout/4), 1)
}

// gossip sends Status to all: it makes every message repairable, so nothing
// else needs a retransmission of its own.
func (r *Replica) gossip() {
	every := r.c.SyncInterval
	switch {
	case r.status == message.Starting:
		every = r.c.RetryFirst
	case r.status == message.Changing:
		every = r.timers.repeatEvery
	case r.busy():
		every = r.busyInterval()
	}
	t := &r.timers
	if t.status > r.tick+every {
		t.status = r.tick + every // became busy
	}
	if r.tick >= t.status {
		t.status = r.tick + every
		r.sendStatus(r.busy())
	}
}
