package consensus

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// script turns bytes into inputs: any bytes give some inputs, most of them
// wrong in some way, as from liars.
type script struct {
	b       []byte
	l       *node
	tick    uint64
	batches []*message.Batch

	viewChanges []*message.ViewChange
}

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return v
}

// n is mostly a number near the window, sometimes a huge one.
func (s *script) n() uint64 {
	if v := s.byte(); v < 250 {
		return uint64(v % 24)
	}
	return 1<<64 - 1 - uint64(s.byte())
}

func (s *script) digest() crypto.Digest {
	v := int(s.byte())
	if v < 200 && len(s.batches) > 0 {
		return s.batches[v%len(s.batches)].Digest
	}
	return crypto.Digest{byte(v)}
}

func (s *script) batch() *message.Batch {
	b := message.NewBatch(crypto.ClusterID{1}, message.Header{N: s.n(), WallUS: 1_000_000 + int64(s.byte())*1e5},
		[]crypto.GroupView{makeGroup(string(rune('a'+s.byte()%3)), uint64(s.byte()))})
	if len(s.batches) < 64 {
		s.batches = append(s.batches, b)
	}
	return b
}

func (s *script) message() message.Message {
	switch s.byte() % 17 {
	case 0, 1:
		m := &message.PrePrepare{View: uint64(s.byte() % 2), Batch: s.batch()}
		if s.byte()%32 == 0 {
			m.Batch = nil
		}
		return m
	case 2, 3:
		return &message.Prepare{View: uint64(s.byte() % 2), N: s.n(), Digest: s.digest()}
	case 4, 5, 6:
		return &message.Commit{View: uint64(s.byte() % 2), N: s.n(), Digest: s.digest()}
	case 7:
		return &message.Checkpoint{Replica: message.ReplicaID(s.byte() % 5), N: s.n(), Digest: s.digest(), Boundary: uint64(s.byte() % 2)}
	case 8:
		m := &message.Status{View: uint64(s.byte() % 2), Status: message.ReplicaStatus(s.byte()), H: s.n(), LastExecuted: s.n(),
			LastCommitted: s.n(), HasBody: uint64(s.byte()), Prepared: uint64(s.byte()), Committed: uint64(s.byte()),
			SeenYou: s.byte()%4 == 0, WantStatus: s.byte()%2 == 0}
		m.Accepted = make([]uint64, s.byte()%70)
		return m
	case 9:
		return &message.Relay{Group: makeGroup(string(rune('a'+s.byte()%3)), s.n()%crypto.MaxNumber), Watch: s.byte()%2 == 0, Answer: s.byte()%4 == 0}
	case 10:
		return &message.FetchBody{Digests: slices.Repeat([]crypto.Digest{s.digest()}, int(s.byte()%70))}
	case 11:
		return &message.Body{Batch: s.batch()}
	case 12:
		return &message.FetchCommitted{From: s.n(), To: s.n()}
	case 13:
		return s.viewChange()
	case 14, 15:
		return s.newView()
	default:
		m := &message.Committed{}
		for range s.byte() % 4 {
			m.Entries = append(m.Entries, message.NDigest{N: s.n(), Digest: s.digest()})
		}
		return m
	}
}

// viewChange is one that a transport lets pass: its sets are valid.
func (s *script) viewChange() message.Message {
	m := &message.ViewChange{Replica: message.ReplicaID(s.byte() % 4), NewView: 1 + uint64(s.byte()%4)}
	for n := uint64(1); n <= 16; n += 1 + uint64(s.byte()%8) {
		e := message.PQ{N: n, Digest: s.digest(), View: uint64(s.byte()) % m.NewView}
		m.Q = append(m.Q, e)
		if s.byte()%2 == 0 {
			m.P = append(m.P, e)
		}
	}
	if len(s.viewChanges) < 64 {
		s.viewChanges = append(s.viewChanges, m)
	}
	return m
}

// newView names view changes that were seen, decided rightly or not.
func (s *script) newView() message.Message {
	m := &message.NewView{View: 1 + uint64(s.byte()%4)}
	m.Replica = message.ReplicaID(m.View % 4)
	named := map[message.ReplicaID]*message.ViewChange{}
	for _, vc := range s.viewChanges {
		if vc.NewView == m.View || s.byte()%32 == 0 {
			named[vc.Replica] = vc
		}
	}
	var set []*message.ViewChange
	for id := range message.ReplicaID(4) {
		if vc := named[id]; vc != nil {
			set = append(set, vc)
			m.ViewChanges = append(m.ViewChanges, message.ViewChangeRef{Replica: id, Digest: vc.Digest(crypto.ClusterID{1})})
		}
	}
	if len(set) >= 3 && s.byte()%4 > 0 {
		if x, err := (&decider{c: &s.l.Replica.c, f: 1, q: 3, set: set}).decide(); err == nil {
			m.DecisionDigest = x.digest(crypto.ClusterID{1})
		}
	}
	return m
}

// run steps the script and returns every effect in its stable form. A replica
// that lies alone or with others must neither break an invariant nor cause a
// panic.
func (s *script) run() (lines []string) {
	for len(s.b) > 0 && s.l.halted == nil {
		var in Input
		switch v := s.byte(); {
		case v < 180:
			in = Input{Kind: InMessage, From: message.ReplicaID(v % 5), Msg: s.message()}
		case v < 200:
			in = Input{Kind: InRequest, Ticket: 1, Group: makeGroup(string(rune('a'+v%3)), s.n()%crypto.MaxNumber), Source: Source{Alone: v%2 == 0, Retry: v%3 == 0, JSON: v%5 == 0}}
		case v < 240:
			s.tick += uint64(v % 60)
			in = Input{Kind: InTick, Tick: s.tick, WallUS: 1_000_000 + int64(s.tick)*10_000}
		case v < 245:
			in = Input{Kind: InConnected, From: message.ReplicaID(v % 5)}
		default:
			in = Input{Kind: InComplaint}
		}
		s.l.step(in)
		s.l.c.trace = func(_ string, args ...any) { lines = append(lines, args[1].(string)) }
		s.l.flush()
		s.l.c.queue = nil
	}
	return lines
}

func newScript(t testing.TB, b []byte) *script {
	n, self := 4, 0
	if len(b) > 0 {
		self = int(b[0] % 4)
	}
	c := newCluster(t, n, func(c *Config) { c.Fresh = len(b) > 1 && b[1]%4 == 0 })
	return &script{b: b, l: c.nodes[self]}
}

// FuzzStep feeds arbitrary messages to a replica: it may refuse or halt, never
// panic, and its invariants hold after every step (I26, I15).
func FuzzStep(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { newScript(t, b[:min(len(b), 4096)]).run() })
}

// TestI24_SameInputsSameEffects steps two replicas with the same inputs and
// compares every effect: map order must not leak.
func TestI24_SameInputsSameEffects(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	views := 0
	for range 50 {
		b := make([]byte, 3000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		one, two := newScript(t, b).run(), newScript(t, b).run()
		if !slices.Equal(one, two) {
			for i := range one {
				if i >= len(two) || one[i] != two[i] {
					t.Fatalf("effect %d: %q and %q", i, one[i], two[min(i, len(two)-1)])
				}
			}
			t.Fatalf("%d and %d effects", len(one), len(two))
		}
		if has(one, "event view ") {
			views++
		}
	}
	if views < 5 {
		t.Errorf("%d of 50 scripts came to another view: they test too little", views)
	}
}
