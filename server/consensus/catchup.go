package consensus

import (
	"github.com/pbft-go/pbft/server/message"
)

// A certificate proves that a quorum executed more than this replica did. The
// low watermark follows it at once, and the replica votes above it as ever:
// votes need bodies, not state. What lies below is made up for in one of two
// ways (docs/protocol.md section 9). As long as the others still have the
// batches, and this replica comes nearer, f+1 statements that they are committed
// replace the log: so its history has no gap. Else the state itself is fetched,
// and the certificate says which.

// catchUp is how a replica that is behind goes on.
type catchUp struct {
	since      uint64 // tick of the last batch executed while behind, or of falling behind
	executed   uint64 // lastExec at since
	gap        uint64 // how far it was behind at gapAt
	gapAt      uint64
	askedAt    uint64 // when it last asked what is committed below h
	askAt      uint64 // when to ask again; 0: it is not behind
	askEvery   uint64
	installing uint64 // checkpoint whose state was asked for, 0: none
}

// behind reports whether a certificate covers what is not executed here.
func (r *Replica) behind() bool { return r.h > r.lastExec }

// fallBehind starts to catch up if the low watermark has passed what is known
// to be committed here.
func (r *Replica) fallBehind() {
	if c := &r.catchUp; r.h > r.execSent && c.askAt == 0 {
		r.bePatient()
		c.askEvery = r.c.RetryFirst
		c.askAt = r.tick + c.askEvery // most of it may be on its way
	}
}

// bePatient lets the times begin in which something must come.
func (r *Replica) bePatient() {
	c := &r.catchUp
	c.since, c.executed = r.tick, r.lastExec
	c.gap, c.gapAt = r.h-r.lastExec, r.tick
}

// followTail replays what lies between the own state and the low watermark, and
// turns to the state itself if nothing comes, or the others are faster.
func (r *Replica) followTail() {
	c := &r.catchUp
	if r.h <= r.execSent {
		c.askAt, c.installing = 0, 0
		return
	}
	if c.askAt == 0 {
		return // restored, and InStart is still to come
	}
	if r.execSent-r.lastExec >= r.c.Window { // after a restart: there is no room for answers yet
		r.bePatient()
		return
	}
	if r.lastExec != c.executed {
		c.since, c.executed = r.tick, r.lastExec
		c.askEvery = r.c.RetryFirst
		if s := r.peek(r.execSent + 1); (s == nil || !s.committed) && r.tick > c.askedAt+1 {
			c.askAt = r.tick // all that was answered is done
		}
	}
	if r.status == message.Starting { // nobody answers yet: all may have been killed at once
		r.bePatient()
	}
	if r.losesGround() || r.tick-c.since >= r.timeout()/2 {
		r.installState()
	}
	if r.tick >= c.askAt {
		c.askEvery = min(2*c.askEvery, r.busyInterval())
		c.askedAt, c.askAt = r.tick, r.tick+c.askEvery
		r.fetchCommitted(r.execSent + 1)
	}
}

// losesGround looks, once in a timeout, whether the gap became smaller by an
// eighth.
func (r *Replica) losesGround() bool {
	c := &r.catchUp
	if r.tick-c.gapAt < r.timeout() {
		return false
	}
	old := c.gap
	c.gap, c.gapAt = r.h-r.lastExec, r.tick
	return c.gap > old-old/8
}

// fetchCommitted asks everybody what is committed from number first on, as far
// as there is room for the answers.
func (r *Replica) fetchCommitted(first uint64) {
	r.send(Everyone, &message.FetchCommitted{From: first, To: first + min(r.c.Window, message.MaxCommitted) - 1})
}

// installState asks the host for the newest state that is proven, once.
func (r *Replica) installState() {
	n := r.ckpt.stable.N()
	if n != r.h || n == r.catchUp.installing {
		return // its record is not durable, or it is on its way
	}
	r.catchUp.installing = n
	r.out.Install = r.ckpt.stable
	r.event(Event{Kind: EvBehind, N: n})
}

// onStateInstalled goes on from the state that the host put in place.
func (r *Replica) onStateInstalled(s *message.State, windows []Window) {
	if s.N >= r.catchUp.installing {
		r.catchUp.installing = 0
	}
	if s.N <= r.lastExec {
		return
	}
	assertf(s.N <= r.h, "state of %d installed, stable is %d", s.N, r.h)
	for i := range r.tail {
		if t := &r.tail[i]; t.n != 0 && t.n <= s.N {
			r.drop(t)
		}
	}
	r.lastExec = s.N
	if s.N > r.execSent {
		r.execSent, r.lastTimeUS = s.N, s.LastTimeUS
	}
	r.ckpt.diverged = false // what a quorum certified has taken the place of the own state
	r.replaceWindows(windows)
	r.event(Event{Kind: EvInstalled, N: s.N})
	r.timers.progressed(r.tick)
	r.tryExecute()
	r.fallBehind()
}

// replaceWindows takes over the client table of another state, and drops the
// requests that were executed in it.
func (r *Replica) replaceWindows(windows []Window) {
	r.pend.forgetWindows()
	for i := range windows {
		r.pend.setWindow(&windows[i])
	}
	for e := r.pend.all.Front(); e != nil; {
		g := e.Value.(*group)
		e = e.Next() // g may leave the list
		r.dropClosed(g)
	}
}

// dropClosed drops the requests of a group that are executed or expired.
func (r *Replica) dropClosed(g *group) {
	c := g.client
	c.pending.each(func(x uint64) {
		if c.pending.get(x) == g && c.closed(x, r.c.ClientWindow) {
			r.removePending(c, x)
		}
	})
	r.pend.forget(c)
}
