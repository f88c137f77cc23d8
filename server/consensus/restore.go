package consensus

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// A replica that restarts with its disk intact (docs/protocol.md section 5).
// The records of its log, in the order in which they were written, give back
// what it said; it goes on from there and never contradicts it. Nothing is
// inferred: the view is that of the newest record of a view change or new view.

// Recovery makes a replica from the records of its log.
type Recovery struct {
	r      *Replica
	voted  []ballot  // by n mod L: the own prepare of the highest view
	chosen *decision // of the present view
	past   map[uint64]*past
	ckpt   uint64 // the highest own checkpoint vote
	joined bool
	lost   bool
}

// Restored is where the host's durable state stands.
type Restored struct {
	N          uint64 // the last batch executed in it, 0: none
	LastTimeUS int64
	Windows    []Window // of all clients
}

// NewRecovery begins with the state on disk. Take follows for each record, then
// Replica.
func NewRecovery(c Config, sign SignFunc, at Restored) (*Recovery, error) {
	c.Fresh = false
	r, err := New(c, sign)
	if err != nil {
		return nil, err
	}
	r.restart.restored = true
	r.lastExec, r.execSent, r.lastTimeUS = at.N, at.N, at.LastTimeUS
	for i := range at.Windows {
		r.pend.setWindow(&at.Windows[i])
	}
	return &Recovery{r: r, voted: make([]ballot, c.Window), past: make(map[uint64]*past)}, nil
}

// past is what the records say of a number above the state on disk. The low
// watermark may be many windows above that state, and then this disk alone must
// give back what lies between: a checkpoint vote promised it.
type past struct {
	committed bool
	digest    crypto.Digest
	view      uint64
	bodies    []*message.Batch
}

// note keeps what a batch above the state on disk takes to be executed again.
func (y *Recovery) note(rec *Record) {
	if rec.N <= y.r.lastExec || rec.Kind == RecPrepared {
		return
	}
	p := y.past[rec.N]
	if p == nil {
		p = &past{}
		y.past[rec.N] = p
	}
	if rec.Batch != nil {
		p.bodies = append(p.bodies, rec.Batch)
	}
	if rec.Kind == RecCommitted {
		p.committed, p.digest, p.view = true, rec.Digest, rec.View
	}
}

// redo lists what is to be executed again below the low watermark, without a gap.
func (y *Recovery) redo() (list []redo) {
	r := y.r
	for n := r.lastExec + 1; n <= r.h; n++ {
		p := y.past[n]
		if p == nil || !p.committed {
			break
		}
		x := redo{digest: p.digest, view: p.view}
		for _, b := range p.bodies {
			if b.Digest == p.digest {
				x.batch = b
			}
		}
		if x.batch == nil && p.digest != r.nullDigest(n) {
			break
		}
		list = append(list, x)
	}
	return list
}

// Take takes the next record. An error says that the log cannot be this
// replica's, or is damaged: it must not go on.
func (y *Recovery) Take(rec *Record) error {
	switch rec.Kind {
	case RecAccept, RecPrepared, RecCommitted, RecBody:
		return y.numbered(rec)
	case RecViewChange:
		m, ok := rec.Msg.(*message.ViewChange)
		if !ok || m.NewView != rec.View {
			return fmt.Errorf("record of a view change to %d holds %T", rec.View, rec.Msg)
		}
		if rec.View > y.r.views.asked {
			y.r.views.asked, y.r.views.own = rec.View, m
		}
	case RecNewView:
		return y.newView(rec)
	case RecCheckpoint:
		return y.checkpoint(rec)
	case RecStable:
		y.stable(rec.Certificate)
	case RecStarted:
		y.r.started = 1
	case RecSeen:
		if int(rec.Replica) >= y.r.c.N {
			return fmt.Errorf("record of replica %d, there are %d", rec.Replica, y.r.c.N)
		}
		y.r.peers[rec.Replica].seen = true
	case RecJoined:
		y.joined = true
	case RecLost:
		y.lost = true
	default:
		return fmt.Errorf("record of unknown kind %d", rec.Kind)
	}
	return nil
}

// numbered takes a record about one sequence number.
func (y *Recovery) numbered(rec *Record) error {
	r := y.r
	if rec.N > r.h+r.c.Window {
		return fmt.Errorf("record of number %d, the window ends at %d", rec.N, r.h+r.c.Window)
	}
	y.note(rec)
	if !r.inLog(rec.N) {
		return nil // stable, and executed, or far above the state on disk
	}
	s := r.slot(rec.N)
	if rec.Batch != nil {
		s.addBody(rec.Batch)
		s.unrecorded(rec.Batch.Digest) // it is recorded now
	}
	switch {
	case rec.Kind == RecCommitted:
		if s.committed && s.committedDigest != rec.Digest {
			return fmt.Errorf("number %d is committed as %s and as %s", rec.N, s.committedDigest.Hex(), rec.Digest.Hex())
		}
		s.committed, s.committedDigest, s.committedView = true, rec.Digest, rec.View
	case !r.inWindow(rec.N):
	case rec.Kind == RecAccept && rec.Selected:
		s.selectQ(rec.Digest, rec.View)
		y.vote(rec)
	case rec.Kind == RecAccept:
		s.setQ(rec.Digest, rec.View)
		y.vote(rec)
	case rec.Kind == RecPrepared && (s.p.N == 0 || rec.View >= s.p.View):
		s.p = message.PQ{N: rec.N, Digest: rec.Digest, View: rec.View}
	}
	return nil
}

func (y *Recovery) vote(rec *Record) {
	if v := &y.voted[rec.N%y.r.c.Window]; rec.View+1 > v.gen {
		*v = ballot{rec.View + 1, rec.Digest}
	}
}

// newView takes the record of a view and decides once more what it began with:
// these digests were pre-prepared in it.
func (y *Recovery) newView(rec *Record) error {
	r := y.r
	m, ok := rec.Msg.(*message.NewView)
	if !ok || m.View != rec.View || len(rec.Set) != len(m.ViewChanges) {
		return fmt.Errorf("record of new view %d holds %T with %d view changes", rec.View, rec.Msg, len(rec.Set))
	}
	x, err := (&decider{c: &r.c, f: r.f, q: r.q, set: rec.Set}).decide()
	if err != nil {
		return fmt.Errorf("record of new view %d: %w", rec.View, err)
	}
	if rec.View < r.view {
		return fmt.Errorf("record of new view %d behind that of view %d", rec.View, r.view)
	}
	r.view, r.views.asked, r.top = rec.View, max(r.views.asked, rec.View), x.top
	r.views.last, r.views.lastSet = m, rec.Set
	y.chosen = x
	for i, c := range x.chosen {
		if n := x.h + 1 + uint64(i); r.inWindow(n) {
			r.slot(n).selectQ(c.digest, rec.View)
		}
	}
	return nil
}

// checkpoint takes an own vote.
func (y *Recovery) checkpoint(rec *Record) error {
	r := y.r
	m, ok := rec.Msg.(*message.Checkpoint)
	if !ok || m.N != rec.N || m.N%r.c.Interval != 0 {
		return fmt.Errorf("record of checkpoint %d holds %T", rec.N, rec.Msg)
	}
	if r.inWindow(m.N) {
		v := r.ckpt.at(m.N)
		v.own, v.promised, v.votes[r.c.Self] = m, true, m
	}
	y.ckpt = max(y.ckpt, m.N)
	return nil
}

// stable takes a proof of the low watermark.
func (y *Recovery) stable(c *message.Certificate) {
	r := y.r
	if n := c.N(); n > r.h {
		for old := r.h + 1; old <= n && old <= r.h+r.c.Window; old++ {
			y.voted[old%r.c.Window] = ballot{}
		}
		r.ckpt.stable = c
		r.truncate(n)
	}
}

// Replica is the replica as its records have it. InStart begins its life.
func (y *Recovery) Replica() *Replica {
	r := y.r
	r.persist, r.durable = 1, 1 // whatever was recorded is durable
	r.lastCommitted = max(r.h, r.lastExec)
	r.highest, r.due = r.lastCommitted, r.lastCommitted
	r.advanceCommitted()
	r.restart.replay = r.lastCommitted
	r.restart.redo = y.redo()
	for i := range r.slots {
		r.highest = max(r.highest, r.slots[i].n) // each looks no further
	}
	r.each(func(s *slot) {
		y.present(s)
		if s.committed || s.accepted {
			r.due = max(r.due, s.n)
		}
	})
	r.restart.chosen = y.chosen
	switch {
	case y.lost:
		r.status = message.Learner
	case r.c.N == 1:
	case y.joined:
		r.status = message.Starting
	default: // it never took part, so it asks whether it is new
		r.status, r.restart.restored = message.Starting, false
	}
	return r
}

// Position is where a log leaves its replica.
type Position struct {
	View, Asked                          uint64 // the view, and the highest one that was asked for
	LowWatermark, LastCommitted, Highest uint64
	Voted                                uint64 // the highest checkpoint that it may have voted for
	Joined, Lost                         bool
}

// Position tells where the records leave the replica, once that is made.
func (y *Recovery) Position() Position {
	r := y.r
	return Position{
		View: r.view, Asked: r.views.asked, LowWatermark: r.h, LastCommitted: r.lastCommitted, Highest: r.highest,
		Voted:  max(y.ckpt, r.h), // a vote for what is stable is not kept
		Joined: y.joined, Lost: y.lost,
	}
}

// present gives an entry what belongs to the present view.
func (y *Recovery) present(s *slot) {
	r := y.r
	if !r.inWindow(s.n) {
		return
	}
	v := y.voted[s.n%r.c.Window]
	if v.gen != r.gen() {
		return
	}
	s.accepted, s.digest, s.prepareOK = true, v.digest, true
	s.prepares[r.c.Self] = v
	if b := s.body(v.digest); b != nil && s.n > r.top {
		s.freshSize = len(b.Body)
		r.freshBytes += s.freshSize
		r.lastProposed = max(r.lastProposed, s.n)
	}
	if s.p.N != 0 && s.p.View == r.view {
		s.prepared, s.commitOK = true, true
		s.commits[r.c.Self] = v
	}
}

// restart is how a replica comes back.
type restart struct {
	restored bool
	replay   uint64    // what is executed again, up to here, was answered before
	redo     []redo    // the first of that, from the state on disk on
	chosen   *decision // what the present view began with, until the replica takes part
}

// redo is a batch that is executed again. It is stable, and the log that peers
// see has no place for it.
type redo struct {
	digest crypto.Digest
	view   uint64
	batch  *message.Batch // nil: the null batch
}

// executeAgain hands out what lies between the state on disk and the low
// watermark, as far as the records have it.
func (r *Replica) executeAgain() {
	for _, x := range r.restart.redo {
		r.handOut(r.execSent+1, x.view, x.digest, x.batch)
	}
	r.restart.redo = nil
}

// onStart begins: what is committed is executed, and the others are asked what
// they heard from this replica.
func (r *Replica) onStart() {
	if r.status == message.Normal && !r.restart.restored {
		r.record(Record{Kind: RecJoined})
		return
	}
	if r.status == message.Learner {
		r.setStatus(message.Learner, "this replica lost what it promised, and must not vote again")
	}
	r.executeAgain()
	r.tryExecute()
	r.fallBehind()
	r.each(func(s *slot) {
		if s.committed && s.committedDigest != r.nullDigest(s.n) && s.body(s.committedDigest) == nil {
			r.wantBody(s, s.committedDigest) // the crash came before the body
		}
	})
	if r.c.N == 1 {
		r.resume()
	}
}

// lacks reports whether a peer holds a vote of this replica that its records do
// not have: then their tail was lost after it had been synced.
func (r *Replica) lacks(m *message.Status) bool {
	if m.HighestViewChange > r.views.asked {
		return true
	}
	v := m.HighestVote
	if v.N <= r.h {
		return false
	}
	s := r.peek(v.N)
	if s == nil {
		return true
	}
	for _, e := range s.q {
		if e.digest == v.Digest && e.view >= v.View {
			return false
		}
	}
	return true
}

// echo looks at what a peer heard from this replica before it restarted. Once
// f+1 peers, so a correct one, heard what the disk lacks, it counts as lost: one
// liar cannot bring that about.
func (r *Replica) echo(p *peer, m *message.Status) {
	if !r.restart.restored || r.status == message.Learner || r.c.N == 1 {
		return
	}
	p.sawLost = r.lacks(m)
	lost := 0
	for i := range r.peers {
		if r.peers[i].sawLost {
			lost++
		}
	}
	if lost >= r.f+1 {
		r.record(Record{Kind: RecLost})
		r.out.LiveGen = r.gen() + 1
		r.setStatus(message.Learner, "peers hold votes of this replica that its disk has lost: it must not vote again")
	}
}

// answerRestarted counts the peers that said what they heard. With a quorum,
// itself included, this replica takes part again.
func (r *Replica) answerRestarted(p *peer) {
	p.answered = true
	answers := 1
	for i := range r.peers {
		if r.peers[i].answered {
			answers++
		}
	}
	if answers >= r.q {
		r.resume()
	}
}

// resume takes part again.
func (r *Replica) resume() {
	r.goOn()
	r.heed()
}

// goOn goes on as the records have it. A primary gives its view up: it does not
// know what it proposed last.
func (r *Replica) goOn() {
	r.timers.progressed(r.tick)
	if r.views.asked > r.view {
		r.setStatus(message.Changing, fmt.Sprintf("restarted while it asked for view %d", r.views.asked))
		r.timers.repeat, r.timers.repeatEvery = r.tick+r.patience(), r.patience()
		r.voteCheckpoints()
		r.hold(r.views.own)
		return
	}
	r.setStatus(message.Normal, fmt.Sprintf("restarted in view %d, replica %d is primary", r.view, r.primary()))
	r.views.executed, r.views.installed = r.lastExec, r.tick
	r.voteCheckpoints()
	if r.started != 0 && r.isPrimary() && r.c.N > 1 {
		r.changeView(r.view+1, Abdication)
		return
	}
	if x := r.restart.chosen; x != nil {
		for i := range x.chosen {
			if s := r.peek(x.h + 1 + uint64(i)); s == nil || !s.accepted {
				r.take(x.h+1+uint64(i), x.chosen[i].digest)
			}
		}
	}
	r.restart.chosen = nil
	r.countVotes()
	r.each(func(s *slot) {
		if s.commitOK {
			r.tryCommitted(s, ballot{r.gen(), s.digest})
		}
	})
	r.sendStatus(true)
}

// sameVote holds the state at n, which was executed again, against the vote for
// it before the restart.
func (r *Replica) sameVote(v *ckptVotes, digest crypto.Digest) bool {
	if v.own == nil || v.own.Digest == digest {
		return true
	}
	r.halt(fmt.Sprintf("the state at %d, executed again, is %s; this replica voted for %s: its disk is damaged, or the application is not deterministic", v.n, digest.Hex(), v.own.Digest.Hex()))
	return false
}
