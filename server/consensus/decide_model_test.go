package consensus

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// voteModel is view changes without a network: correct replicas accept,
// prepare, commit, move watermarks and change views in any order; the others
// vote for everything, and their view changes say whatever is valid. It
// follows the rules of sections 4.3, 4.4, 7.3 and 7.4, and runs the real
// decision procedure.
type voteModel struct {
	rnd      *rand.Rand
	c        Config
	f, q     int
	replicas []*modelReplica                  // the correct ones
	liars    []message.ReplicaID              //
	newViews map[uint64][]*decision           // by view; a lying primary may make several
	asked    map[uint64][]*message.ViewChange // by view, of correct replicas
	proposed map[[2]uint64]crypto.Digest      // by view and number, of correct primaries
	prepared map[modelVote]int                // correct replicas that committed
	decided  map[uint64]crypto.Digest         // committed, by number
	stable   map[uint64]bool                  // certified checkpoints
	fork     string
}

type modelVote struct {
	view, n uint64
	d       crypto.Digest
}

type modelReplica struct {
	id             message.ReplicaID
	view, changing uint64
	h              uint64
	installed      *decision
	accepted       map[modelVote]bool
	acceptedAt     map[[2]uint64]crypto.Digest // by view and number
	p              map[uint64]message.PQ
	q              map[uint64]map[crypto.Digest]uint64
	fresh          map[uint64]map[crypto.Digest]bool
	committed      map[modelVote]bool
	known          map[uint64]bool // numbers that it executed
}

const (
	modelViews   = 5
	modelNumbers = 12
)

func newVoteModel(seed uint64, n int) *voteModel {
	m := &voteModel{
		rnd: rand.New(rand.NewPCG(seed, uint64(n))), c: testConfig(n, 0), f: MaxFaulty(n), q: Quorum(n),
		asked: map[uint64][]*message.ViewChange{}, proposed: map[[2]uint64]crypto.Digest{},
		prepared: map[modelVote]int{}, decided: map[uint64]crypto.Digest{}, stable: map[uint64]bool{0: true},
	}
	m.c.Interval, m.c.Window = 2, 3
	genesis := &decision{certificate: &message.Certificate{}}
	m.newViews = map[uint64][]*decision{0: {genesis}}
	for i, id := range m.rnd.Perm(n) {
		if i < m.f {
			m.liars = append(m.liars, message.ReplicaID(id))
			continue
		}
		m.replicas = append(m.replicas, &modelReplica{
			id: message.ReplicaID(id), installed: genesis, accepted: map[modelVote]bool{},
			acceptedAt: map[[2]uint64]crypto.Digest{}, p: map[uint64]message.PQ{},
			q: map[uint64]map[crypto.Digest]uint64{}, fresh: map[uint64]map[crypto.Digest]bool{},
			committed: map[modelVote]bool{}, known: map[uint64]bool{},
		})
	}
	return m
}

// correct is the replica with an index, or nil if that one lies.
func (m *voteModel) correct(id int) *modelReplica {
	for _, r := range m.replicas {
		if int(r.id) == id {
			return r
		}
	}
	return nil
}

// viewChange is what a correct replica says when it asks for a view.
func (r *modelReplica) viewChange(view uint64) *message.ViewChange {
	out := &message.ViewChange{Replica: r.id, NewView: view, H: r.h, Certificate: certified(r.h)}
	for _, n := range slices.Sorted(maps.Keys(r.q)) {
		if n <= r.h {
			continue
		}
		if e, ok := r.p[n]; ok {
			out.P = append(out.P, e)
		}
		for d, v := range r.q[n] { //maporder: the procedure looks for digests, not places
			out.Q = append(out.Q, message.PQ{N: n, Digest: d, View: v})
		}
	}
	return out
}

// lie is any valid view change.
func (m *voteModel) lie(id message.ReplicaID, view uint64) *message.ViewChange {
	known := slices.Sorted(maps.Keys(m.stable))
	out := &message.ViewChange{Replica: id, NewView: view, H: known[m.rnd.IntN(len(known))]}
	out.Certificate = certified(out.H)
	for n := out.H + 1; n <= out.H+m.c.Window; n++ {
		if m.rnd.IntN(2) == 0 {
			continue
		}
		first := len(out.Q)
		for _, d := range []crypto.Digest{letter('a'), letter('b'), m.c.Cluster.NullDigest(m.c.Epoch, n)} {
			if m.rnd.IntN(2) == 0 {
				out.Q = append(out.Q, message.PQ{N: n, Digest: d, View: m.rnd.Uint64N(view)})
			}
		}
		if at := out.Q[first:]; len(at) > 0 && m.rnd.Float64() < 0.6 {
			e := at[m.rnd.IntN(len(at))]
			e.View = m.rnd.Uint64N(e.View + 1)
			out.P = append(out.P, e)
		}
	}
	return out
}

func (m *voteModel) step() {
	r := m.replicas[m.rnd.IntN(len(m.replicas))]
	switch a := m.rnd.Float64(); {
	case a < 0.03:
		m.askForView(r)
	case a < 0.08:
		m.makeNewView()
	case a < 0.18:
		m.install(r)
	case a < 0.60:
		m.propose(r)
	case a < 0.85:
		m.prepare(r)
	case a < 0.95:
		m.commit(r)
	default:
		m.checkpoint(r)
	}
}

func (m *voteModel) askForView(r *modelReplica) {
	w := max(r.view, r.changing) + 1
	if w <= modelViews {
		r.changing = w
		m.asked[w] = append(m.asked[w], r.viewChange(w))
	}
}

// makeNewView lets a primary decide on some of the view changes that it has;
// a correct one does so once.
func (m *voteModel) makeNewView() {
	w := 1 + m.rnd.Uint64N(modelViews)
	if m.correct(Primary(w, m.c.N)) != nil && len(m.newViews[w]) > 0 {
		return
	}
	lies := m.rnd.IntN(m.f + 1)
	from := slices.Clone(m.asked[w])
	m.rnd.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	least := max(m.q-lies, 0)
	if least > len(from) {
		return
	}
	set := from[:least+m.rnd.IntN(len(from)-least+1)]
	for i := range lies {
		set = append(set, m.lie(m.liars[i], w))
	}
	if len(set) < m.q {
		return
	}
	if x, err := m.decide(set); err == nil {
		m.newViews[w] = append(m.newViews[w], x)
	}
}

func (m *voteModel) decide(set []*message.ViewChange) (*decision, error) {
	return (&decider{c: &m.c, f: m.f, q: m.q, set: set}).decide()
}

func (m *voteModel) install(r *modelReplica) {
	w := 1 + m.rnd.Uint64N(modelViews)
	made := m.newViews[w]
	if len(made) == 0 || w <= r.view || w < r.changing {
		return
	}
	x := made[m.rnd.IntN(len(made))]
	r.view, r.changing, r.installed = w, w, x
	r.h = max(r.h, x.h)
	for i, c := range x.chosen {
		if n := x.h + 1 + uint64(i); n > r.h {
			m.accept(r, n, c.digest, false)
		}
	}
}

func (m *voteModel) accept(r *modelReplica, n uint64, d crypto.Digest, fresh bool) {
	at := [2]uint64{r.view, n}
	if _, taken := r.acceptedAt[at]; taken {
		return
	}
	if r.q[n] == nil {
		r.q[n], r.fresh[n] = map[crypto.Digest]uint64{}, map[crypto.Digest]bool{}
	}
	if _, before := r.q[n][d]; fresh && !before {
		if len(r.fresh[n]) >= M && !r.fresh[n][d] {
			return
		}
		r.fresh[n][d] = true
	}
	r.acceptedAt[at] = d
	r.accepted[modelVote{r.view, n, d}] = true
	r.q[n][d] = r.view
}

// propose lets r accept a fresh proposal of its view's primary.
func (m *voteModel) propose(r *modelReplica) {
	if r.changing > r.view {
		return
	}
	n := max(r.h, r.installed.top) + 1 + m.rnd.Uint64N(2)
	if n > r.h+m.c.Window || n > modelNumbers {
		return
	}
	d := letter(byte('a' + m.rnd.IntN(2)))
	if p := m.correct(Primary(r.view, m.c.N)); p != nil {
		at := [2]uint64{r.view, n}
		known, ok := m.proposed[at]
		switch {
		case ok:
			d = known
		case p.view != r.view || p.changing > p.view || n <= p.installed.top:
			return
		default:
			m.proposed[at] = d
		}
	}
	m.accept(r, n, d, true)
}

// prepare lets r enter P and commit, where a quorum accepted what it did.
func (m *voteModel) prepare(r *modelReplica) {
	if r.changing > r.view {
		return
	}
	for n := r.h + 1; n <= r.h+m.c.Window; n++ {
		d, ok := r.acceptedAt[[2]uint64{r.view, n}]
		v := modelVote{r.view, n, d}
		if !ok || r.committed[v] {
			continue
		}
		votes := m.f
		for _, o := range m.replicas {
			if o.accepted[v] {
				votes++
			}
		}
		if votes >= m.q {
			r.p[n] = message.PQ{N: n, Digest: d, View: r.view}
			r.committed[v] = true
			m.prepared[v]++
		}
	}
}

// commit lets r learn what a quorum committed.
func (m *voteModel) commit(r *modelReplica) {
	for v, votes := range m.prepared { //maporder: each entry alone
		if votes+m.f < m.q {
			continue
		}
		if d, ok := m.decided[v.n]; ok && d != v.d {
			m.fork = fmt.Sprintf("%s and %s are committed at %d", d, v.d, v.n)
		}
		m.decided[v.n] = v.d
		if m.rnd.Float64() < 0.7 {
			r.known[v.n] = true
		}
	}
}

func (m *voteModel) checkpoint(r *modelReplica) {
	for n := m.c.Interval; n < modelNumbers; n += m.c.Interval {
		votes := m.f
		for _, o := range m.replicas {
			all := true
			for x := uint64(1); x <= n; x++ {
				all = all && o.known[x]
			}
			if all {
				votes++
			}
		}
		if votes >= m.q && m.rnd.Float64() < 0.6 {
			m.stable[n] = true
		}
	}
	newest := slices.Max(slices.Collect(maps.Keys(m.stable)))
	if newest <= r.h {
		return
	}
	r.h = newest
	if m.rnd.IntN(2) == 0 { // by state transfer
		for x := uint64(1); x <= newest; x++ {
			r.known[x] = true
		}
	}
}

// The view changes of all correct replicas decide, and no schedule of lies
// makes two digests committed at one number (section 7.5).
func TestSection7_5_NoForkAndNoBlockedView(t *testing.T) {
	for n := 4; n <= 7; n++ {
		commits, views := 0, 0
		for seed := range uint64(*decideSets / 50) {
			m := newVoteModel(seed, n)
			for range 300 {
				if m.step(); m.fork != "" {
					t.Fatalf("n %d, seed %d: %s", n, seed, m.fork)
				}
			}
			commits, views = commits+len(m.decided), views+len(m.newViews)-1
			var set []*message.ViewChange
			for _, r := range m.replicas {
				set = append(set, r.viewChange(modelViews+1))
			}
			if _, err := m.decide(set); err != nil {
				t.Fatalf("n %d, seed %d: the correct replicas' view changes do not decide: %v", n, seed, err)
			}
			for _, r := range m.replicas {
				for x, q := range r.q { //maporder: each alone
					if len(q) > M*m.c.N+1 {
						t.Fatalf("n %d, seed %d: %d digests in Q at %d", n, seed, len(q), x)
					}
				}
			}
		}
		if commits < *decideSets/100 || views < *decideSets/200 {
			t.Errorf("n %d: %d commits and %d new views: the traces test too little", n, commits, views)
		}
	}
}
