package execution

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

// ring lets engines send each other messages, in order, in one goroutine.
type ring struct {
	t       *testing.T
	engines []*Engine
	queue   []parcel
	lie     func(from int, m message.Message) message.Message // nil: the truth; returning nil: loss
	done    *Installed
	sent    map[string]int // messages by type
	bytes   int
}

type parcel struct {
	from, to int
	m        message.Message
}

func (r *ring) post(from int) Post {
	return func(to message.ReplicaID, m message.Message) {
		if r.lie != nil {
			m = r.lie(from, m)
		}
		if m == nil {
			return
		}
		r.sent[fmt.Sprintf("%T", m)]++
		if p, ok := m.(*message.Piece); ok {
			r.bytes += len(p.Data)
		}
		r.queue = append(r.queue, parcel{from, int(to), m})
	}
}

// run delivers until the state is installed, or so many ticks have passed.
func (r *ring) run(ticks int) {
	for tick := range uint64(ticks) {
		for _, e := range r.engines {
			e.Tick(tick, r.post(int(e.cfg.Self)))
		}
		for len(r.queue) > 0 && r.done == nil {
			p := r.queue[0]
			r.queue = r.queue[1:]
			e := r.engines[p.to]
			if e.Serve(message.ReplicaID(p.from), p.m, r.post(p.to)) {
				continue
			}
			done, ok := e.Receive(message.ReplicaID(p.from), p.m, r.post(p.to))
			if !ok {
				r.t.Fatalf("nobody takes %T", p.m)
			}
			r.done = done
		}
		if r.done != nil {
			return
		}
	}
}

// newRing makes four engines, of which all but the last execute what fill
// gives, up to a checkpoint at at, and then after more batches.
func newRing(t *testing.T, at, more int, fill func(n int) *message.Batch) *ring {
	r := &ring{t: t, sent: map[string]int{}}
	for i := range 4 {
		c := labConfig()
		c.Self = message.ReplicaID(i)
		e, err := New(c, newLabMachine())
		if err != nil {
			t.Fatal(err)
		}
		r.engines = append(r.engines, e)
	}
	for n := 1; n <= at+more; n++ {
		b := fill(n)
		for _, e := range r.engines[:3] {
			e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n == at})
		}
	}
	for _, e := range r.engines[:3] {
		e.finishCheckpoint()
	}
	return r
}

func (r *ring) certificate(n uint64) *message.Certificate {
	d := message.CheckpointDigest(testCluster, r.engines[0].CheckpointState(n))
	c := &message.Certificate{}
	for i := range 3 {
		c.Votes = append(c.Votes, message.Checkpoint{N: n, Replica: message.ReplicaID(i), Digest: d})
	}
	return c
}

// same demands that the last engine continues exactly like the first.
func (r *ring) same(from int, fill func(n int) *message.Batch) {
	r.t.Helper()
	a, b := r.engines[0], r.engines[3]
	for n := from; n <= from+8; n++ {
		batch := fill(n)
		for _, e := range []*Engine{a, b} {
			if e.lastN < uint64(n) {
				e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: batch.Digest, Batch: batch, Checkpoint: n == from+8})
			}
		}
	}
	a.finishCheckpoint()
	b.finishCheckpoint()
	x, y := a.checkpoints[len(a.checkpoints)-1].state, b.checkpoints[len(b.checkpoints)-1].state
	if *x != *y {
		r.t.Fatalf("after the transfer\n%+v\nwant\n%+v", *y, *x)
	}
}

// puts fills many keys, some long values, several clients, and leaves gaps.
func puts(n int) *message.Batch {
	var ops []labOp
	for k := range 40 {
		size := 20 + 13*k
		if k%10 == 0 {
			size = 5000 * (1 + n%3)
		}
		ops = append(ops, labOp{client: fmt.Sprint("c", (n+k)%7), number: uint64(n*40 + k), key: fmt.Sprint("key", (n*17+k*31)%900), value: bytes.Repeat([]byte{byte(n), byte(k)}, size/2)})
	}
	return labBatch(n, ops)
}

func TestSection9_ATransferredStateIsTheOwnFromThenOn(t *testing.T) {
	r := newRing(t, 20, 5, puts)
	r.engines[3].Install(r.certificate(20), 4)
	r.run(10)
	if r.done == nil || r.done.State.N != 20 || len(r.done.Windows) != 7 {
		t.Fatalf("installed %+v", r.done)
	}
	if n := r.engines[3].LastExecuted(); n != 20 {
		t.Fatalf("last executed %d", n)
	}
	for _, w := range r.done.Windows {
		low, _ := r.engines[3].ClientInfo(w.Client)
		if low != w.Low || len(w.Bits) == 0 {
			t.Fatalf("window %+v, low is %d", w, low)
		}
	}
	r.same(21, puts)
}

func TestSection9_OneThatHasMuchOfTheStateFetchesTheRest(t *testing.T) {
	r := newRing(t, 20, 0, puts)
	e := r.engines[3]
	for n := 1; n <= 19; n++ {
		b := puts(n)
		e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n == 19})
	}
	e.finishCheckpoint()
	e.Install(r.certificate(20), 4)
	r.run(10)
	if r.done == nil {
		t.Fatal("not installed")
	}
	part := r.bytes
	r.same(21, puts)

	whole := newRing(t, 20, 0, puts)
	whole.engines[3].Install(whole.certificate(20), 4)
	whole.run(10)
	if part > whole.bytes/2 {
		t.Fatalf("%d bytes were fetched, the whole state is %d", part, whole.bytes)
	}
}

// TestSection6_5_TheStableStateIsKeptHoweverFarOneGoesOn: who is behind needs
// the last stable state, and the others may have executed the whole window above
// it without his vote. (Found by the simulator, seed 858.)
func TestSection6_5_TheStableStateIsKeptHoweverFarOneGoesOn(t *testing.T) {
	r := newRing(t, 20, 0, puts)
	for n := 21; n <= 100; n++ {
		b := puts(n)
		for _, e := range r.engines[:3] {
			e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n%20 == 0, Stable: 20})
		}
	}
	r.engines[3].Install(r.certificate(20), 4)
	r.run(10)
	if r.done == nil || r.done.State.N != 20 {
		t.Fatalf("installed %+v", r.done)
	}
}

func TestSection9_ACheckpointThatIsBeingFetchedIsKept(t *testing.T) {
	r := newRing(t, 20, 0, puts)
	target := r.certificate(20)
	r.engines[3].Install(target, 4)
	slow := 0
	r.lie = func(from int, m message.Message) message.Message {
		if _, ok := m.(*message.FetchPieces); ok && slow < 3 {
			slow++ // while the question travels, the others go on to the next checkpoints
			for n := 20*slow + 1; n <= 20*slow+20; n++ {
				b := puts(n)
				for _, e := range r.engines[:3] {
					e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n%20 == 0, Stable: uint64(n-1) / 20 * 20})
				}
			}
			for _, e := range r.engines[:3] {
				e.finishCheckpoint()
			}
		}
		return m
	}
	r.run(200)
	if r.done == nil || r.done.State.N != 20 || r.engines[3].transfer != nil {
		t.Fatalf("installed %+v", r.done)
	}
	for tick := uint64(200); tick < 2000; tick += 100 {
		for _, e := range r.engines[:3] {
			e.Tick(tick, func(message.ReplicaID, message.Message) {})
		}
	}
	for _, e := range r.engines[:3] {
		if e.leased != nil || len(e.store.past.periods) > 2 || len(e.clients.periods) > 2 {
			t.Fatal("the checkpoint is kept although nobody fetches it any more")
		}
	}
}

// TestSection9_LiarsAreLeftOut: B31, one source of three lies.
func TestSection9_LiarsAreLeftOut(t *testing.T) {
	lies := map[string]func(m message.Message) message.Message{
		"another manifest": func(m message.Message) message.Message {
			if m, ok := m.(*message.Manifest); ok {
				s := m.State
				s.AppRoot[3] ^= 1
				return &message.Manifest{State: s}
			}
			return m
		},
		"wrong digests": func(m message.Message) message.Message {
			if m, ok := m.(*message.Nodes); ok && len(m.Digests) > 0 {
				d := append([]crypto.Digest(nil), m.Digests...)
				d[len(d)-1][0] ^= 1
				return &message.Nodes{N: m.N, Component: m.Component, Level: m.Level, First: m.First, Digests: d}
			}
			return m
		},
		"too many clients": func(m message.Message) message.Message {
			if m, ok := m.(*message.Nodes); ok && m.Component == message.Clients {
				return &message.Nodes{N: m.N, Component: m.Component, Level: m.Level, First: m.First, Digests: make([]crypto.Digest, clientChunk)}
			}
			return m
		},
		"wrong bytes": func(m message.Message) message.Message {
			if m, ok := m.(*message.Piece); ok && len(m.Data) > 0 {
				p := *m
				p.Data = bytes.Clone(m.Data)
				p.Data[len(p.Data)-1] ^= 1
				return &p
			}
			return m
		},
		"truncated": func(m message.Message) message.Message {
			if m, ok := m.(*message.Piece); ok && len(m.Data) > 1 {
				p := *m
				p.Data, p.Size = m.Data[:1], 1
				return &p
			}
			return m
		},
		"endless": func(m message.Message) message.Message {
			if m, ok := m.(*message.Piece); ok {
				p := *m
				p.Size += 1 << 40
				return &p
			}
			return m
		},
		"silent": func(m message.Message) message.Message {
			switch m.(type) {
			case *message.Piece, *message.Nodes, *message.Manifest:
				return nil
			}
			return m
		},
		"silent behind the manifest": func(m message.Message) message.Message {
			switch m.(type) {
			case *message.Piece, *message.Nodes:
				return nil
			}
			return m
		},
		"silent behind the digests": func(m message.Message) message.Message {
			if _, ok := m.(*message.Piece); ok {
				return nil
			}
			return m
		},
		"dripping": func(m message.Message) message.Message {
			if m, ok := m.(*message.Piece); ok && m.Index%100 != 0 {
				return nil
			}
			return m
		},
		"has nothing": func(m message.Message) message.Message {
			switch m.(type) {
			case *message.Piece, *message.Nodes, *message.Manifest:
				return &message.Manifest{State: message.State{N: 1 << 50}}
			}
			return m
		},
	}
	for name, lie := range lies {
		for liar := range 3 {
			t.Run(fmt.Sprint(name, " by ", liar), func(t *testing.T) {
				r := newRing(t, 20, 5, puts)
				r.lie = func(from int, m message.Message) message.Message {
					if from == liar {
						return lie(m)
					}
					return m
				}
				r.engines[3].Install(r.certificate(20), 4)
				r.run(2000)
				if r.done == nil {
					t.Fatalf("not installed; %v", errors.Join(r.engines[3].blamed...))
				}
				r.same(21, puts)
			})
		}
	}
}

func TestSection9_ANewerTargetIsTakenWhenTheOldOneIsGone(t *testing.T) {
	r := newRing(t, 20, 0, puts)
	old := r.certificate(20)
	for n := 21; n <= 80; n++ {
		b := puts(n)
		for _, e := range r.engines[:3] {
			e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n%20 == 0, Stable: uint64(n-1) / 20 * 20})
		}
	}
	for _, e := range r.engines[:3] {
		e.finishCheckpoint()
	}
	r.engines[3].Install(old, 4)
	r.run(300)
	if r.done != nil || len(r.sent) != 2 || r.sent["*message.FetchManifest"] > 20 {
		t.Fatalf("installed %+v, sent %v", r.done, r.sent)
	}
	r.engines[3].Install(r.certificate(80), 4)
	r.run(600)
	if r.done == nil || r.done.State.N != 80 {
		t.Fatalf("installed %+v", r.done)
	}
	r.same(81, puts)
}

func TestSection9_ANewerTargetFollowsTheOneUnderWay(t *testing.T) {
	r := newRing(t, 20, 0, puts)
	r.engines[3].Install(r.certificate(20), 4)
	for n := 21; n <= 40; n++ {
		b := puts(n)
		for _, e := range r.engines[:3] {
			e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n%20 == 0, Stable: uint64(n-1) / 20 * 20})
		}
	}
	for _, e := range r.engines[:3] {
		e.finishCheckpoint()
	}
	r.engines[3].Install(r.certificate(40), 4)
	r.run(10)
	if r.done == nil || r.done.State.N != 20 || r.engines[3].Transferring() != 40 {
		t.Fatalf("installed %+v, now at %d", r.done, r.engines[3].Transferring())
	}
	r.done = nil
	r.run(10)
	if r.done == nil || r.done.State.N != 40 || r.engines[3].Transferring() != 0 {
		t.Fatalf("installed %+v, now at %d", r.done, r.engines[3].Transferring())
	}
	r.same(41, puts)
}

func TestSection9_LossDelaysOnly(t *testing.T) {
	r := newRing(t, 20, 5, puts)
	k := 0
	r.lie = func(_ int, m message.Message) message.Message {
		if k++; k%5 == 0 {
			return nil
		}
		return m
	}
	r.engines[3].Install(r.certificate(20), 4)
	r.run(20_000)
	if r.done == nil {
		t.Fatal("not installed")
	}
	r.same(21, puts)
}

func TestSection9_TheLogCanBeFaster(t *testing.T) {
	r := newRing(t, 20, 0, puts)
	e := r.engines[3]
	e.Install(r.certificate(20), 4)
	for n := 1; n <= 22; n++ {
		b := puts(n)
		e.Execute(&consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: n == 20})
	}
	e.finishCheckpoint()
	r.run(10)
	if r.done == nil || r.done.Windows != nil || e.LastExecuted() != 22 {
		t.Fatalf("installed %+v, last executed %d", r.done, e.LastExecuted())
	}
}

// putter is an application that stores what an operation says, key and value
// apart at the first NUL, and answers with the value: long ones too.
type putter struct{}

func (putter) Apply(b *statemachine.Batch, st statemachine.State, r *statemachine.Results) {
	for _, op := range b.Ops {
		key, value, _ := bytes.Cut(op.Data, []byte{0})
		if len(value)%7 == 3 {
			st.Delete(key)
		} else {
			st.Put(key, value)
		}
		r.Add(value)
	}
}

func newLabMachine() statemachine.StateMachine { return putter{} }

func labConfig() Config {
	return Config{
		Cluster: testCluster, ClientWindow: 128, MaxCachedResult: 100, ReplyBytes: 1000, MaxClients: 100,
		ConfigDigest: crypto.Digest{2}, HistoryBytes: 1 << 20, ResultCache: 1 << 20,
	}
}

type labOp struct {
	client string
	number uint64
	key    string
	value  []byte
}

// labBatch is batch n of these operations, each a group of its own.
func labBatch(n int, list []labOp) *message.Batch {
	var groups []crypto.GroupView
	for _, o := range list {
		g := crypto.Group{Client: o.client, Session: 5, Requests: []crypto.Request{{
			Number: o.number, Kind: crypto.KindOperation, Op: append([]byte(o.key+"\x00"), o.value...), ClientTime: crypto.NoClientTime,
		}}}
		v, err := crypto.ParseGroup(g.Append(nil))
		if err != nil {
			panic(err)
		}
		groups = append(groups, v)
	}
	return message.NewBatch(testCluster, message.Header{N: uint64(n), WallUS: int64(1000 * n)}, groups)
}
