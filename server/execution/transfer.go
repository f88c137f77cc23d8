package execution

import (
	"fmt"
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// transfer fetches a certified state, piece by piece, and verifies each before
// it keeps it: the certificate proves the manifest, the manifest's roots prove
// the leaves, a leaf proves its piece. A source that sends what is wrong, or
// sends late, is left out. What the own state has already is not fetched.
type transfer struct {
	e     *Engine
	cert  *message.Certificate // the target
	newer *message.Certificate // a newer one, taken when sources leave the target behind; or nil

	state   *message.State // the manifest, or nil
	source  int            // of the manifest and the leaves
	sources []source
	next    int // source to ask next

	// The leaves, while they come and once they are verified.
	buckets []crypto.Digest
	clients []crypto.Digest
	peaks   crypto.Frontier
	proven  bool

	todo    []want // to ask for, last first
	asks    []*ask // on their way
	waiting map[want]*ask
	partial map[want]part
	bytes   int    // of them
	pending int    // wants that are not satisfied
	mercyAt uint64 // tick from which those left out get another chance

	staged staged
}

// source is a replica that may be asked.
type source struct {
	bad    bool // sent what is wrong
	late   int  // times in a row that answers did not come
	lateAt uint64
	lacks  bool // does not have the target
	asking int  // questions on their way
}

// want is one thing to fetch.
type want struct {
	component message.Component
	leaves    bool // the digests below an index, not a piece
	index     uint32
}

// ask is a question on its way.
type ask struct {
	to    int
	at    uint64
	wants int
	bytes int
}

// part is the beginning of a piece, all of it from one source.
type part struct {
	from int
	data []byte
}

const (
	maxAsks      = 8                    // questions on their way
	asksPerPeer  = 4                    // to one source
	answerTicks  = 100                  // how long an answer may take, beside a tick for each
	bytesPerTick = 4 << 10              // so many bytes of it: who drips is late
	tooLate      = 3                    // late answers in a row after which a source is left out
	maxPiece     = 256 << 20            // bytes of a piece, and of all that are not whole
	maxBlamed    = 64                   // complaints that nobody fetched
	manifest     = message.Component(0) // want for the manifest
)

// Install begins to fetch the state that a certificate proves, from the other
// ones of n replicas. While one is being fetched, a newer certificate only
// stands ready.
func (e *Engine) Install(c *message.Certificate, n int) {
	if t := e.transfer; t != nil {
		t.newer = c
		return
	}
	e.transfer = &transfer{e: e, sources: make([]source, n), next: int(e.cfg.Self)}
	e.transfer.sources[e.cfg.Self].bad = true
	e.transfer.begin(c)
}

// Blamed returns what was wrong with what sources sent since the last call.
func (e *Engine) Blamed() (errs []error) {
	errs, e.blamed = e.blamed, nil
	return errs
}

// Transferring is the checkpoint whose state is being fetched, 0: none.
func (e *Engine) Transferring() uint64 {
	if e.transfer == nil {
		return 0
	}
	return e.transfer.cert.N()
}

// Tick lets time go on: questions are asked again, and what nobody fetches any
// more is let go.
func (e *Engine) Tick(tick uint64, post Post) {
	e.tick = max(e.tick, tick)
	if e.leased != nil && !e.wanted(e.leased) {
		e.endLease()
	}
	if t := e.transfer; t != nil {
		t.expire()
		t.mercy()
		t.ask(post)
	}
}

// begin turns to a target. What is staged stays: much of it will be the same.
func (t *transfer) begin(c *message.Certificate) {
	for i := range t.sources {
		s := &t.sources[i]
		s.asking, s.lacks = 0, s.lacks && t.cert != nil && t.cert.N() == c.N()
	}
	t.cert, t.state, t.proven = c, nil, false
	t.buckets, t.clients = nil, nil
	if t.newer != nil && t.newer.N() <= c.N() {
		t.newer = nil
	}
	t.asks, t.waiting, t.partial, t.bytes = nil, make(map[want]*ask), make(map[want]part), 0
	t.todo, t.pending = []want{{component: manifest}}, 1
}

// restart begins again at the newest target, with another source.
func (t *transfer) restart() {
	c := t.cert
	if t.newer != nil {
		c = t.newer
	}
	t.begin(c)
}

// usable reports whether a source may be asked.
func (s *source) usable() bool {
	return !s.bad && !s.lacks && s.late < tooLate && s.asking < asksPerPeer
}

// pick finds a source for a want: the one that it came half from, or the next.
func (t *transfer) pick(w want) (int, bool) {
	if p, ok := t.partial[w]; ok && t.sources[p.from].usable() {
		return p.from, true
	}
	for range t.sources {
		t.next = (t.next + 1) % len(t.sources)
		if t.sources[t.next].usable() {
			return t.next, true
		}
	}
	return 0, false
}

// mercy gives those that were left out another chance, now and then, when
// nobody else is left: liars too, since the certificate says that a correct
// replica has the state, so it may be the network that lied. Before that a newer
// target is tried.
func (t *transfer) mercy() {
	usable := func(s source) bool { return s.usable() }
	if len(t.asks) > 0 || slices.ContainsFunc(t.sources, usable) {
		return
	}
	if t.newer != nil {
		t.begin(t.newer)
	}
	if t.e.tick < t.mercyAt {
		return
	}
	t.mercyAt = t.e.tick + answerTicks
	for _, pardon := range []func(*source){
		func(*source) {},
		func(s *source) { s.late = 0 },
		func(s *source) { s.lacks = false },
		func(s *source) { s.bad = false },
	} {
		for i := range t.sources {
			pardon(&t.sources[i])
		}
		t.sources[t.e.cfg.Self].bad = true
		if slices.ContainsFunc(t.sources, usable) {
			return
		}
	}
}

// ask sends questions as long as there is something to ask for.
func (t *transfer) ask(post Post) {
	for len(t.todo) > 0 && len(t.asks) < maxAsks {
		to := t.source
		if first := t.todo[len(t.todo)-1]; first.component == manifest || !first.leaves {
			var ok bool
			if to, ok = t.pick(first); !ok {
				return
			}
		}
		t.askOf(to, post)
	}
}

// askOf sends one question: as many wants of one kind, by rising index, as one
// may hold.
func (t *transfer) askOf(to int, post Post) {
	first := t.todo[len(t.todo)-1]
	a := &ask{to: to, at: t.e.tick}
	var indexes []uint32
	for len(t.todo) > 0 && len(indexes) < perAsk(first) {
		w := t.todo[len(t.todo)-1]
		if w.component != first.component || w.leaves != first.leaves {
			break
		}
		t.todo = t.todo[:len(t.todo)-1]
		t.waiting[w] = a
		if p, ok := t.partial[w]; ok && (a.wants > 0 || p.from != to) {
			t.forget(w)
		}
		indexes = append(indexes, w.index)
		a.wants++
	}
	t.asks = append(t.asks, a)
	t.sources[to].asking++
	n, id := t.cert.N(), message.ReplicaID(to)
	switch {
	case first.component == manifest:
		t.source = to
		post(id, &message.FetchManifest{N: n, Digest: t.cert.Votes[0].Digest})
	case first.leaves:
		post(id, &message.FetchNodes{N: n, Component: first.component, Level: treeLevels - 1, Indexes: indexes})
	default:
		post(id, &message.FetchPieces{N: n, Component: first.component, Indexes: indexes, Offset: uint64(len(t.partial[first].data))})
	}
}

// perAsk is how many wants of a kind one question holds.
func perAsk(w want) int {
	switch {
	case w.component == manifest, w.leaves && w.component == message.Clients:
		return 1
	case w.component == message.Clients:
		return 16 // each may be 100 KiB
	}
	return message.MaxIndexes
}

// end ends a question: what was not answered is asked for again.
func (t *transfer) end(a *ask) {
	t.sources[a.to].asking--
	for i := range t.asks {
		if t.asks[i] == a {
			t.asks = append(t.asks[:i], t.asks[i+1:]...)
			break
		}
	}
	if a.wants == 0 {
		return
	}
	var again []want
	for w, of := range t.waiting { //maporder: sorted below
		if of == a {
			again = append(again, w)
		}
	}
	sortWants(again)
	for _, w := range again {
		delete(t.waiting, w)
	}
	t.todo = append(t.todo, again...)
}

// expire ends the questions whose answers are late.
func (t *transfer) expire() {
	for i := 0; i < len(t.asks); {
		a := t.asks[i]
		if t.e.tick-a.at < answerTicks+uint64(a.bytes/bytesPerTick) {
			i++
			continue
		}
		if s := &t.sources[a.to]; s.lateAt != t.e.tick {
			s.late, s.lateAt = s.late+1, t.e.tick
		}
		t.end(a)
		if !t.proven && t.sources[t.source].late >= tooLate {
			t.restart() // leaves come from one source
			return
		}
		i = 0
	}
}

// blame leaves a liar out, and asks others for what it was asked for.
func (t *transfer) blame(liar int, why error) {
	t.sources[liar].bad = true
	if len(t.e.blamed) == maxBlamed {
		t.e.blamed = t.e.blamed[:0]
	}
	t.e.blamed = append(t.e.blamed, fmt.Errorf("state %d of replica %d: %w", t.cert.N(), liar, why))
	t.giveUp(liar)
}

// giveUp asks others for what a source was asked for.
func (t *transfer) giveUp(from int) {
	for i := 0; i < len(t.asks); {
		if a := t.asks[i]; a.to == from {
			t.end(a)
			i = 0
			continue
		}
		i++
	}
	if !t.proven {
		t.restart()
	}
}

// forget drops the beginning of a piece.
func (t *transfer) forget(w want) {
	t.bytes -= len(t.partial[w].data)
	delete(t.partial, w)
}
