package consensus

import "github.com/pbft-go/pbft/server/message"

// timers holds deadlines in ticks.
type timers struct {
	second      uint64 // ticks in a second
	progress    uint64 // tick of the last progress
	soft        uint64 // next soft expiry, 0: not armed
	softEvery   uint64 // present distance between soft expiries
	quick       uint64 // next quick repair, 0: not armed
	quickEvery  uint64
	latency     uint64 // eight times the mean ticks from acceptance to execution
	newView     uint64 // when the new view is late, 0: not armed
	repeat      uint64 // next repetition of the own view change
	repeatEvery uint64
	status      uint64 // next Status to all
	proposedUS  int64  // time of the last own proposal
}

// progressed restarts the progress timer.
func (t *timers) progressed(now uint64) { t.progress, t.soft, t.softEvery, t.quick = now, 0, 0, 0 }

// busy reports whether this replica waits for something to be executed.
func (r *Replica) busy() bool {
	return r.pend.watched.Len() > 0 || r.due > r.lastExec || r.probe.open || r.status == message.Starting
}

func (r *Replica) onTick(tick uint64, wallUS int64) {
	r.tick, r.wallUS = max(tick, r.tick), wallUS
	r.askBodies()
	r.followTail()
	r.askViewChanges()
	r.quickRepair()
	r.softExpiry()
	r.hardExpiry()
	r.repeatViewChange()
	r.gossip()
}

// patience is how long nothing may be executed before a message is taken for
// lost: twice as long as a batch takes, within bounds.
func (r *Replica) patience() uint64 {
	return min(max(r.c.RetryFirst, r.timers.latency/4), r.busyInterval())
}

// took notes how long the batch in s took.
func (r *Replica) took(s *slot) {
	if s.acceptedAt > 0 {
		r.timers.latency += r.tick + 1 - s.acceptedAt - r.timers.latency/8
	}
}

// quickRepair says where this replica stands, and asks the others, as soon as
// nothing is executed for longer than a batch takes: a lost vote then costs that
// long, not the distance of two Status. It does so at intervals that double.
func (r *Replica) quickRepair() {
	t := &r.timers
	if !r.busy() || r.status == message.Starting {
		return
	}
	if t.quick == 0 {
		t.quickEvery = r.patience()
		t.quick = t.progress + t.quickEvery
	}
	if r.tick < t.quick {
		return
	}
	t.quickEvery = min(2*t.quickEvery, r.busyInterval())
	t.quick = r.tick + t.quickEvery
	t.status = r.tick + r.busyInterval()
	r.sendStatus(true)
	r.relayPending()
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
	for e := r.pend.watched.Front(); e != nil && k < maxRelayAgain; e = e.Next() {
		r.relayAgain(e.Value.(*group))
		k++
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
