package consensus

import "github.com/pbft-go/pbft/server/message"

// When a replica suspects its primary (docs/protocol.md section 7.2).

const (
	// fairFactor is how many timeouts one client's oldest request may wait.
	fairFactor = 4
	// settle is how many batches without suspicion halve the timeout again.
	settle = 128
	// maxBackoff bounds the doubling; MaxTimeout does so sooner.
	maxBackoff = 16
)

// timeout is T: it doubles with each view that brought nothing, and halves
// again after settle batches without suspicion. Going back to the first value
// at the first progress would alternate for ever where that is too short.
func (r *Replica) timeout() uint64 {
	return min(r.c.Timeout<<r.views.backoff, max(r.c.MaxTimeout, r.c.Timeout))
}

// blame lengthens the timeout if the view that is given up brought nothing.
// Abdication must not: it would be free for a faulty primary.
func (r *Replica) blame(why Cause) {
	if why == Abdication || why == Draining {
		return
	}
	if r.status == message.Changing || r.lastExec == r.views.executed {
		r.views.backoff = min(r.views.backoff+1, maxBackoff)
	}
	r.views.settled = r.lastExec
}

// calm shortens the timeout after settle executed batches.
func (r *Replica) calm() {
	if r.lastExec >= r.views.settled+settle {
		r.views.settled = r.lastExec
		r.views.backoff -= min(r.views.backoff, 1)
	}
}

// hardExpiry asks for the next view when the present one brings nothing, or
// starves a client, or when a new view does not come. No primary can be blamed
// while the window is full: what is missing then is a checkpoint.
func (r *Replica) hardExpiry() {
	switch {
	case r.normal() && r.lastExec < r.h+r.c.Window:
		r.expireView()
	case r.normal():
		r.timers.progressed(r.tick)
	case r.status == message.Changing && r.timers.newView != 0 && r.tick >= r.timers.newView:
		r.changeView(r.views.asked+1, NewViewLate)
	}
}

func (r *Replica) expireView() {
	if r.behind() {
		// What is missing is this replica's own lag; it will have caught up
		// before it can say of anybody that nothing was ordered.
		r.timers.progressed(r.tick)
		return
	}
	if !r.busy() {
		return
	}
	if !r.hearsQuorum() {
		r.timers.progressed(r.tick) // it is this replica that is cut off, or was stopped
		return
	}
	if r.tick >= r.timers.progress+r.timeout() {
		r.suspect(NoProgress)
		return
	}
	if since, ok := r.oldestWatched(); ok && r.tick >= max(since, r.views.installed)+fairFactor*r.timeout() {
		r.suspect(Starved)
	}
}

// hearsQuorum reports whether a quorum, this replica included, spoke within half
// the timeout. Whoever hears fewer has no reason to blame the primary, and could not
// replace it; asking for a view alone would only keep it from voting until the
// others change views too. [differs]
func (r *Replica) hearsQuorum() bool {
	heard := 1
	for i := range r.peers {
		if i != int(r.c.Self) && r.tick-r.peers[i].heardAt <= r.timeout()/2 {
			heard++
		}
	}
	return heard >= r.q
}

// oldestWatched is when the oldest of the watched groups came. It is the
// oldest one of its client, too.
func (r *Replica) oldestWatched() (since uint64, ok bool) {
	if e := r.pend.watched.Front(); e != nil {
		return e.Value.(*group).since, true
	}
	return 0, false
}

// armNewView starts the timer of the new view once a quorum asks for it, not
// before: one that nobody else asks for never comes.
func (r *Replica) armNewView() {
	if r.status == message.Changing && r.timers.newView == 0 && r.heldFor(r.views.asked) >= r.q {
		r.timers.newView = r.tick + r.timeout()
	}
}

// repeatViewChange sends the own view change again, at intervals that double.
func (r *Replica) repeatViewChange() {
	t := &r.timers
	if r.status != message.Changing || r.tick < t.repeat {
		return
	}
	t.repeatEvery = min(2*t.repeatEvery, 8*r.busyInterval())
	t.repeat = r.tick + t.repeatEvery
	if own := r.views.held[r.c.Self].m; own != nil && own.NewView == r.views.asked {
		r.send(Everyone, own)
	}
}
