package sim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// These tests show that the simulator can see: every check is given something
// wrong and must say so, and nothing else.

// lab is a world that stands still.
type lab struct {
	*world
	k *checker
}

// plain is a plan of four replicas and one client without any fault.
func plain(p *Plan) {
	calmPlan(p)
	p.Application = "kv"
	p.Clients = p.Clients[:1]
}

func newLab() *lab {
	p := draw(1)
	plain(p)
	w := newWorld(p, &Options{})
	for _, h := range w.hosts {
		h.start(false)
	}
	return &lab{w, w.check}
}

func (l *lab) lose(i int, fresh bool) *host {
	l.hosts[i].crash()
	l.hosts[i].start(fresh)
	return l.hosts[i]
}

// durable enters a record at a replica.
func (l *lab) durable(i int, r consensus.Record) { l.k.enter(l.hosts[i], &r) }

// exec is a batch of the client's operations, which it issued, and which all have
// prepared.
func (l *lab) exec(n uint64, ops ...string) *consensus.Exec {
	c := l.clients[0]
	g := crypto.Group{Client: c.name, Session: c.session}
	for _, op := range ops {
		r := &request{number: c.next, op: []byte(op)}
		c.next++
		l.k.issued(c, r, c.session)
		g.Requests = append(g.Requests, crypto.Request{Number: r.number, Kind: crypto.KindOperation, Op: r.op, ClientTime: crypto.NoClientTime})
	}
	b := message.NewBatch(clusterID, message.Header{N: n, WallUS: epochUS}, []crypto.GroupView{l.keys.signGroup(&g)})
	for i := range l.hosts {
		l.durable(i, consensus.Record{Kind: consensus.RecPrepared, N: n, Digest: b.Digest})
	}
	return &consensus.Exec{N: n, TimeUS: epochUS + int64(n), Digest: b.Digest, Batch: b}
}

// run lets a replica execute a batch. edit changes what it tells of it.
func (l *lab) run(i int, x *consensus.Exec, edit func(*execution.Output)) {
	out := l.hosts[i].engine.Execute(x)
	if edit != nil {
		edit(out)
	}
	l.k.executed(l.hosts[i], x, out)
}

// answered is a request of the client that was executed in batch 1.
func (l *lab) answered(value string) (*request, *crypto.Result) {
	c := l.clients[0]
	r := &request{number: c.next}
	x := l.exec(1, "get k")
	r.group = x.Batch.Groups[0]
	l.run(0, x, nil)
	return r, &crypto.Result{N: 1, Number: r.number, Status: crypto.StatusOK, Value: []byte(value)}
}

func digest(x byte) crypto.Digest { return crypto.Digest{x} }

func certificate(n uint64, d crypto.Digest) *message.Certificate {
	return &message.Certificate{Votes: []message.Checkpoint{{N: n, Digest: d}}}
}

func TestEveryCheckSees(t *testing.T) {
	d, e := digest(1), digest(2)
	cases := []struct {
		want string // invariant
		what string
		do   func(l *lab)
	}{
		{"I1", "two digests executed at one number", func(l *lab) {
			l.run(0, l.exec(1, "put k a"), nil)
			x := l.exec(1, "put k a")
			x.TimeUS++
			l.k.agreed(l.hosts[1], x.N, x.Digest, "executes")
		}},
		{"I1", "two digests stated at one number", func(l *lab) {
			l.k.agreed(l.hosts[0], 1, d, "learns")
			l.k.sent(l.hosts[1], &message.Committed{Entries: []message.NDigest{{N: 1, Digest: e}}})
		}},
		{"I2", "a gap", func(l *lab) { l.k.executed(l.hosts[0], l.exec(2, "put k a"), &execution.Output{}) }},
		{"I3", "an operation more than the model's", func(l *lab) {
			x := l.exec(1, "put k a")
			l.run(0, x, nil)
			l.k.history.entries[0].total++
			l.run(1, x, nil)
		}},
		{"I3", "a wrong result", func(l *lab) {
			l.run(0, l.exec(1, "get k"), func(o *execution.Output) { o.Blocks[0].Results[0].Value = []byte("invented") })
		}},
		{"I4", "an operation that nobody issued", func(l *lab) {
			x := l.exec(1, "put k a")
			clear(l.k.history.issued)
			l.run(0, x, nil)
		}},
		{"I5", "two prepares in one view", func(l *lab) {
			l.k.onPrepare(l.hosts[0], &message.Prepare{N: 1, Digest: d})
			l.k.onPrepare(l.hosts[0], &message.Prepare{N: 1, Digest: e})
		}},
		{"I5", "two commits in one view", func(l *lab) {
			l.k.onCommit(l.hosts[0], &message.Commit{N: 1, Digest: d})
			l.k.onCommit(l.hosts[0], &message.Commit{N: 1, Digest: e})
		}},
		{"I6", "a vote in a view that was given up", func(l *lab) {
			l.k.of[0].sentAsked = 2
			l.k.onPrepare(l.hosts[0], &message.Prepare{View: 1, N: 1, Digest: d})
		}},
		{"I7", "a prepare whose record is not durable", func(l *lab) {
			l.k.persisted(l.hosts[0], 1, []consensus.Record{{Kind: consensus.RecAccept, N: 1, Digest: clusterID.NullDigest(0, 1)}})
			l.k.sent(l.hosts[0], &message.Prepare{N: 1, Digest: clusterID.NullDigest(0, 1)})
		}},
		{"I7", "a low watermark whose proof is not durable", func(l *lab) { l.k.sent(l.hosts[0], &message.Status{H: 8}) }},
		{"I7", "a disk that comes back without what was durable", func(l *lab) {
			l.durable(0, consensus.Record{Kind: consensus.RecPrepared, N: 1, Digest: d})
			l.k.restored(l.hosts[0], &contents{loaded: &execution.Loaded{}})
		}},
		{"I8", "two digests prepared in one view", func(l *lab) {
			l.k.onCommit(l.hosts[0], &message.Commit{N: 1, Digest: d})
			l.k.onCommit(l.hosts[1], &message.Commit{N: 1, Digest: e})
		}},
		{"I9", "a vote against what may be committed", func(l *lab) {
			for i := range 2 {
				l.k.onCommit(l.hosts[i], &message.Commit{N: 1, Digest: d})
			}
			l.k.onPrepare(l.hosts[3], &message.Prepare{View: 1, N: 1, Digest: e})
		}},
		{"I9", "a new view that forgets what may be committed", func(l *lab) {
			for i := range 2 {
				l.k.onCommit(l.hosts[i], &message.Commit{N: 1, Digest: d})
			}
			l.k.preserves(l.hosts[3], &message.NewView{View: 1}, &decision{ok: true})
		}},
		{"I9", "a view change that forgets what was prepared", func(l *lab) {
			l.durable(0, consensus.Record{Kind: consensus.RecPrepared, N: 1, Digest: d})
			l.k.tellsAll(l.hosts[0], &message.ViewChange{NewView: 1})
		}},
		{"I9", "a view change that forgets what was accepted", func(l *lab) {
			l.durable(0, consensus.Record{Kind: consensus.RecAccept, N: 1, Digest: d})
			l.k.tellsAll(l.hosts[0], &message.ViewChange{NewView: 1, Q: []message.PQ{{N: 1, Digest: e}}})
		}},
		{"I10", "a new view that does not follow from its view changes", func(l *lab) {
			nv := &message.NewView{View: 1, Replica: 1, Incarnation: incarnationOfAll, DecisionDigest: d}
			for i := range 3 {
				m := &message.ViewChange{Replica: message.ReplicaID(i), Incarnation: incarnationOfAll, NewView: 1}
				m.Signature = l.keys.signer(i)(crypto.TagViewChange, m.AppendSigned(nil))
				_, _ = l.verifier.open(m)
				nv.ViewChanges = append(nv.ViewChanges, message.ViewChangeRef{Replica: m.Replica, Digest: m.Digest(clusterID)})
			}
			l.k.decide(l.hosts[0], nv)
		}},
		{"I11", "a certificate of a state that nobody has", func(l *lab) { l.k.certified(l.hosts[0], 8, certificate(8, d)) }},
		{"I11", "two certificates at one number", func(l *lab) {
			l.k.states[8], l.k.proven[8] = d, e
			l.k.certified(l.hosts[0], 8, certificate(8, d))
		}},
		{"I12", "two states at one number", func(l *lab) {
			l.k.state(l.hosts[0], &message.State{N: 8})
			l.k.state(l.hosts[1], &message.State{N: 8, HistorySize: 1})
		}},
		{"I12", "a block that differs", func(l *lab) {
			x := l.exec(1, "put k a")
			l.run(0, x, nil)
			l.run(1, x, func(o *execution.Output) { o.Blocks[0].Digest[0]++ })
		}},
		{"I13", "a window that differs", func(l *lab) {
			x := l.exec(1, "put k a")
			l.run(0, x, nil)
			l.run(1, x, func(o *execution.Output) { o.Executed.Windows[0].Bits[0] ^= 1 << 9 })
		}},
		{"I14", "a view that falls", func(l *lab) {
			l.k.of[0].last = 7
			l.k.turned(l.hosts[0])
		}},
		{"I14", "a watermark that falls", func(l *lab) {
			l.k.of[0].stable = 16
			l.k.sent(l.hosts[0], &message.Status{H: 16})
			l.k.sent(l.hosts[0], &message.Status{H: 8})
		}},
		{"I14", "a disk that comes back in an earlier view", func(l *lab) {
			l.durable(0, consensus.Record{Kind: consensus.RecNewView, View: 3, Msg: &message.NewView{View: 3}})
			l.k.restored(l.hosts[0], &contents{loaded: &execution.Loaded{}})
		}},
		{"I16", "a state that was saved and is not there", func(l *lab) {
			l.k.saved(l.hosts[0], 8)
			l.k.restored(l.hosts[0], &contents{loaded: &execution.Loaded{}})
		}},
		{"I16", "a checkpoint's vote that the disk cannot keep", func(l *lab) {
			l.hosts[0].disk = newDisk(l.hosts[0])
			l.k.rebuildable(l.hosts[0], 8)
		}},
		{"I16", "what is executed and could be forgotten", func(l *lab) {
			x := l.exec(1, "put k a")
			clear(l.k.prepared)
			l.run(0, x, nil)
		}},
		{"I16", "an answer that is not in the history", func(l *lab) {
			r := &request{number: 77}
			l.k.answered(l.clients[0], r, &crypto.Result{N: 1, Number: 77, Status: crypto.StatusOK}, 3, -1)
		}},
		{"I17", "a halt", func(l *lab) { l.k.halted(l.hosts[0], "for a test") }},
		{"I18", "an answer with another result", func(l *lab) {
			r, res := l.answered("wrong")
			l.k.answered(l.clients[0], r, res, 3, -1)
		}},
		{"I18", "an answer out of real time", func(l *lab) {
			r, res := l.answered("NOT_FOUND")
			r.floor = 9 << 20
			l.k.answered(l.clients[0], r, res, 3, -1)
		}},
		{"I19", "a time that stands still", func(l *lab) {
			l.k.history.lastUS = epochUS + 1
			l.run(0, l.exec(1, "put k a"), nil)
		}},
		{"I19", "a time ahead of all clocks", func(l *lab) {
			x := l.exec(1, "put k a")
			x.TimeUS += 10 * maxDriftUS
			l.run(0, x, nil)
		}},
		{"I20", "a vote of one who asks whether it is new", func(l *lab) {
			l.k.vote(l.lose(0, true), &message.Prepare{})
		}},
		{"I20", "a vote of one who noted that it must not", func(l *lab) {
			l.durable(0, consensus.Record{Kind: consensus.RecLost})
			l.k.turned(l.hosts[0])
			l.k.vote(l.hosts[0], &message.Prepare{})
		}},
		{"I20", "a vote of one who lost its memory, and was seen", func(l *lab) {
			l.k.received(l.hosts[1], 0, &message.Prepare{})
			l.k.received(l.hosts[2], 0, &message.Prepare{})
			l.k.vote(l.lose(0, false), &message.Prepare{})
		}},
		{"I22", "an answer that one replica gave", func(l *lab) {
			r, res := l.answered("NOT_FOUND")
			l.k.answered(l.clients[0], r, res, 1, -1)
		}},
		{"I25", "an accepted digest without its body", func(l *lab) {
			l.k.persisted(l.hosts[0], 1, []consensus.Record{{Kind: consensus.RecAccept, N: 1, Digest: d}})
		}},
		{"I26", "a panic", func(l *lab) {
			l.hosts[0].put(item{input: consensus.Input{Kind: consensus.InExecuted, Executed: &consensus.Executed{N: 9}}})
		}},
		{"I26", "an invalid message of a correct replica", func(l *lab) {
			l.hosts[0].receive(1, &message.NewView{View: 1, Replica: 1})
		}},
		{"I26", "a message that changes after it was sent", func(l *lab) {
			m := &message.ViewChange{Incarnation: incarnationOfAll, NewView: 1}
			m.Signature = l.keys.signer(0)(crypto.TagViewChange, m.AppendSigned(nil))
			_, _ = l.verifier.open(m)
			m.NewView = 2
			l.k.untouched()
		}},
		{"I26", "a batch that changes after it was sent", func(l *lab) {
			b := l.exec(1, "put k a").Batch
			_, _ = l.verifier.open(&message.Body{Batch: b})
			b.Body[len(b.Body)-80]++
			l.k.untouched()
		}},
		{"I27", "two proposals for one number", func(l *lab) {
			l.k.onProposal(l.hosts[0], &message.PrePrepare{Batch: l.exec(1, "put k a").Batch})
			l.k.onProposal(l.hosts[0], &message.PrePrepare{Batch: l.exec(1, "put k b").Batch})
		}},
	}
	for _, c := range cases {
		t.Run(c.want+" "+c.what, func(t *testing.T) {
			l := newLab()
			c.do(l)
			if len(l.k.violations) != 1 || l.k.violations[0].Invariant != c.want {
				t.Errorf("%d violations, want one of %s: %v", len(l.k.violations), c.want, l.k.violations)
			}
		})
	}
}

// TestACleanLabHasNoViolation is the other half: what is right passes.
func TestACleanLabHasNoViolation(t *testing.T) {
	l := newLab()
	r, res := l.answered("NOT_FOUND")
	l.k.answered(l.clients[0], r, res, 3, -1)
	x := l.exec(2, "put k a", "get k")
	l.run(0, x, nil)
	if len(l.k.violations) > 0 {
		t.Error(l.k.violations)
	}
}

// TestMoreThanFLiarsAreNoticed runs four replicas of which two lie: one of
// them too many, so that a plan says that it exceeds f, and an alarm must come.
func TestMoreThanFLiarsAreNoticed(t *testing.T) {
	var found []string
	for seed := range uint64(30) {
		r := Run(seed, Options{Edit: func(p *Plan) {
			plain(p)
			p.Liars = []LiarPlan{
				{0, []string{"B02 equivocating primary that votes for both"}},
				{2, []string{"B02 equivocating primary that votes for both"}},
			}
		}})
		if !r.Plan.Exceeds() {
			t.Fatal("the plan does not say that it exceeds f")
		}
		for _, v := range r.Violations {
			found = append(found, v.Invariant)
		}
	}
	for _, want := range []string{"I1", "I8"} {
		if !slices.Contains(found, want) {
			t.Errorf("no %s in 30 runs, only %v", want, found)
		}
	}
}

// TestLivenessSees breaks each promise of liveness on purpose.
func TestLivenessSees(t *testing.T) {
	cases := []struct {
		want string
		edit func(p *Plan)
		lie  Behaviour // of replica 3 and 2
	}{
		{"L1", func(p *Plan) { p.Faults = []Fault{{Kind: Stop, At: 1_000_000, Nodes: []int{1, 2}}} }, nil},
		{"L3", func(p *Plan) { p.Faults = []Fault{{Kind: Cut, At: 1_000_000, Until: 1 << 60, Nodes: []int{1}}} }, nil},
		{"L6", func(p *Plan) {}, &withholding{}},
	}
	for _, c := range cases {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			p := draw(3)
			plain(p)
			p.MaxTimeout, p.End = 400, 2_000_000
			c.edit(p)
			if c.lie != nil {
				p.Liars = []LiarPlan{{Replica: 2}, {Replica: 3}}
			}
			w := newWorld(p, &Options{})
			for _, l := range p.Liars {
				w.hosts[l.Replica].liar.behaviours = []Behaviour{c.lie}
			}
			w.run()
			if len(w.check.violations) == 0 || w.check.violations[0].Invariant != c.want {
				t.Errorf("want %s first: %v", c.want, w.check.violations)
			}
		})
	}
}

// withholding says nothing of checkpoints.
type withholding struct{ Honest }

func (withholding) Send(_ *Liar, to int, m message.Message) []Outgoing {
	switch m.(type) {
	case *message.Checkpoint, *message.StableCertificate, *message.ViewChange, *message.NewView:
		return nil
	}
	return []Outgoing{{to, m}}
}

// TestL2SeesViewsThatChangeForEver has every replica give its view up again
// and again.
func TestL2SeesViewsThatChangeForEver(t *testing.T) {
	p := draw(3)
	plain(p)
	p.End = 1_000_000
	w := newWorld(p, &Options{})
	var drain func()
	drain = func() {
		for _, h := range w.hosts {
			h.put(item{input: consensus.Input{Kind: consensus.InDrain}})
		}
		w.after(60_000, drain)
	}
	w.after(0, drain)
	w.run()
	if len(w.check.violations) != 1 || w.check.violations[0].Invariant != "L2" {
		t.Errorf("want L2: %v", w.check.violations)
	}
}

// TestHashesDiffer shows that the hash of a run sees what happens in it.
func TestHashesDiffer(t *testing.T) {
	seen := map[uint64]uint64{}
	for seed := range uint64(8) {
		r := Run(seed, Options{})
		if other, ok := seen[r.Hash]; ok {
			t.Errorf("seeds %d and %d have the same hash", seed, other)
		}
		seen[r.Hash] = seed
	}
}

// TestTheTraceTellsOfEveryDelivery holds the trace against the report.
func TestTheTraceTellsOfEveryDelivery(t *testing.T) {
	var lines counter
	r := Run(5, Options{Trace: &lines})
	if lines.n < r.Deliveries/2 {
		t.Errorf("%d lines for %d deliveries", lines.n, r.Deliveries)
	}
	if again := Run(5, Options{}); again.Hash != r.Hash {
		t.Error("a trace changes what happens")
	}
}

// counter counts lines.
type counter struct{ n int }

func (c *counter) Write(b []byte) (int, error) {
	for _, x := range b {
		if x == '\n' {
			c.n++
		}
	}
	return len(b), nil
}

func TestPlansAreReadable(t *testing.T) {
	for seed := range uint64(200) {
		p := draw(seed)
		if p.Exceeds() || len(p.Faults)+len(p.Liars) == 0 {
			t.Errorf("%sexceeds f, or has no fault", p)
		}
		if s := p.String(); len(s) > 3000 || s != fmt.Sprint(draw(seed)) {
			t.Errorf("seed %d: %d bytes, or not the same twice", seed, len(s))
		}
	}
}
