package execution

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
	"github.com/pbft-go/pbft/server/statemachine/kv"
	"github.com/pbft-go/pbft/server/storage/state"
)

// host runs an engine that keeps its state on a disk, which may lose power.
type host struct {
	t   testing.TB
	fs  *vfs.MemFS
	db  *state.DB
	cfg Config
	sm  func() statemachine.StateMachine

	*Engine
	loaded   *Loaded
	reported map[uint64]message.State
	saves    int
}

// newHost is a host with an empty disk.
func newHost(t testing.TB, cfg Config, sm func() statemachine.StateMachine) *host {
	h := &host{t: t, fs: vfs.NewCrashableMem(), cfg: cfg, sm: sm, reported: map[uint64]message.State{}}
	h.start()
	t.Cleanup(func() { closed(t, h.db) })
	return h
}

func (h *host) start() {
	h.t.Helper()
	var err error
	if h.db, err = state.Open(state.Options{FS: h.fs, Dir: "db", Small: true, Failed: func(err error) { h.t.Error(err) }}); err != nil {
		h.t.Fatal(err)
	}
	if h.Engine, h.loaded, err = Open(h.cfg, h.sm(), h.db); err != nil {
		h.t.Fatal(err)
	}
	if n := h.SavedN(); n != h.loaded.N || h.LastExecuted() != n || (h.loaded.State == nil) != (n == 0) {
		h.t.Fatalf("loaded %+v, saved is %d, executed %d", h.loaded, n, h.LastExecuted())
	}
}

func closed(t testing.TB, db *state.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// crash loses power and starts again.
func (h *host) crash() {
	h.t.Helper()
	fs := h.fs.CrashClone(vfs.CrashCloneCfg{})
	closed(h.t, h.db)
	h.fs = fs
	h.start()
}

// execute executes a batch and takes note of what is reported.
func (h *host) execute(x *consensus.Exec) *Output {
	out := h.Execute(x)
	h.note(out.State)
	return out
}

func (h *host) note(s *message.State) {
	if s != nil {
		h.reported[s.N] = *s
	}
}

// advance does pieces of work until there is none.
func (h *host) advance() {
	for h.Underway() {
		h.note(h.Advance())
	}
}

// commit makes what is gathered durable, and reports whether there was anything.
func (h *host) commit() bool {
	h.t.Helper()
	p := h.TakeSave()
	if p == nil {
		return false
	}
	if err := p.Commit(); err != nil {
		h.t.Fatal(err)
	}
	h.Saved(p)
	h.saves++
	return true
}

// settle completes all that is under way.
func (h *host) settle() {
	h.t.Helper()
	for h.advance(); h.commit(); h.advance() {
	}
}

// reference is an engine that never crashed, and what it said by number.
type reference struct {
	*Engine
	execs   []*consensus.Exec // execs[n-1] is batch n
	blocks  [][]crypto.Digest
	windows [][]consensus.Window // after batch n
	states  map[uint64]message.State
}

func newReference(t testing.TB, cfg Config, sm statemachine.StateMachine) *reference {
	cfg.HistoryBytes = 1 << 30
	e, err := New(cfg, sm)
	if err != nil {
		t.Fatal(err)
	}
	return &reference{Engine: e, states: map[uint64]message.State{}, windows: [][]consensus.Window{nil}}
}

func digests(out *Output) (list []crypto.Digest) {
	for i := range out.Blocks {
		list = append(list, out.Blocks[i].Digest)
	}
	return list
}

func (r *reference) execute(x *consensus.Exec) {
	r.execs = append(r.execs, x)
	r.blocks = append(r.blocks, digests(r.Execute(x)))
	r.windows = append(r.windows, r.clients.windows())
	if s := r.finishCheckpoint(); s != nil {
		r.states[s.N] = *s
	}
}

// catchUp lets the host execute what the reference did, up to batch n.
func (r *reference) catchUp(h *host, n uint64) {
	h.t.Helper()
	for h.LastExecuted() < n {
		r.step(h)
	}
}

// step lets the host execute one batch.
func (r *reference) step(h *host) {
	h.t.Helper()
	n := h.LastExecuted()
	if got, want := digests(h.execute(r.execs[n])), r.blocks[n]; !slices.Equal(got, want) {
		h.t.Fatalf("batch %d after a restart at %d: blocks %v, want %v", n+1, h.loaded.N, got, want)
	}
}

// same demands that the host is where the reference is, and says the same.
func (r *reference) same(h *host) {
	h.t.Helper()
	h.advance()
	n := h.LastExecuted()
	for at, got := range h.reported {
		if want := r.states[at]; got != want {
			h.t.Fatalf("state %d after a restart at %d:\n%+v, want\n%+v", at, h.loaded.N, got, want)
		}
	}
	if got, want := h.clients.windows(), r.windows[n]; !reflect.DeepEqual(got, want) {
		h.t.Fatalf("windows after batch %d: %v, want %v", n, got, want)
	}
	if n == r.LastExecuted() && h.ExecutedRequests() != r.ExecutedRequests() {
		h.t.Fatalf("%d requests executed, want %d", h.ExecutedRequests(), r.ExecutedRequests())
	}
}

// sameHistory demands that the host has all of the reference's history from
// number from on.
func (r *reference) sameHistory(h *host, from uint64) {
	h.t.Helper()
	n := h.LastExecuted()
	want, got := r.Log(from, int(n-from)+1), h.Log(from, 1<<30)
	if len(got) != len(want) {
		h.t.Fatalf("log from %d to %d has %d batches, want %d", from, n, len(got), len(want))
	}
	for i := range got {
		a, b := got[i], want[i]
		a.batch, b.batch = nil, nil
		if !reflect.DeepEqual(a, b) {
			h.t.Fatalf("log of batch %d:\n%+v, want\n%+v", b.Header.N, a, b)
		}
	}
	var all []DumpEntry
	for next := from; next > 0; {
		var some []DumpEntry
		some, next = h.Dump(next, 700)
		all = append(all, some...)
	}
	whole, _ := r.Dump(from, 1<<30)
	whole = slices.DeleteFunc(whole, func(e DumpEntry) bool { return e.N > n })
	if !reflect.DeepEqual(all, whole) {
		h.t.Fatalf("dump from %d to %d has %d requests, want %d", from, n, len(all), len(whole))
	}
	if got, want := h.Committed(from+1, n-1, 1000), r.Committed(from+1, n-1, 1000); !slices.Equal(got, want) {
		h.t.Fatalf("committed: %v, want %v", got, want)
	}
}

// crowded are keys that share a bucket.
var crowded = sync.OnceValue(func() (keys []string) {
	for i := 0; len(keys) < 40; i++ {
		if k := fmt.Sprint("crowd", i); bucketOf([]byte(k)) == 77 {
			keys = append(keys, k)
		}
	}
	return keys
})

// randomExec is a batch of commands on few keys: some in one bucket, some with
// long values, many of them equal.
func randomExec(t testing.TB, rnd *rand.Rand, e *Engine, base map[string]uint64, interval uint64) *consensus.Exec {
	n := e.LastExecuted() + 1
	x := &consensus.Exec{N: n, View: n / 10, TimeUS: e.lastTimeUS, Checkpoint: n%interval == 0, Stable: n - min(n, 2*interval)}
	if rnd.IntN(12) == 0 {
		x.Digest = crypto.Digest{byte(n), byte(n >> 8), 1}
		return x
	}
	var groups []crypto.GroupView
	for range rnd.IntN(5) {
		name := string(rune('a' + rnd.IntN(6)))
		if rnd.IntN(20) == 0 {
			base[name] += rnd.Uint64N(1000)
		}
		base[name] += rnd.Uint64N(10)
		number := base[name]
		var list []op
		for range 1 + rnd.IntN(9) {
			number += 1 + rnd.Uint64N(1+rnd.Uint64N(40))
			list = append(list, op{number, randomCommand(rnd)})
		}
		groups = append(groups, group(t, name, 1+rnd.Uint64N(8)/7, list...))
	}
	x.TimeUS = int64(1_000_000 + 10*n)
	b := message.NewBatch(e.cfg.Cluster, message.Header{N: n, WallUS: x.TimeUS}, groups)
	x.Batch, x.Digest = b, b.Digest
	return x
}

func randomCommand(rnd *rand.Rand) string {
	key := fmt.Sprint("k", rnd.IntN(60))
	if rnd.IntN(2) == 0 {
		key = crowded()[rnd.IntN(len(crowded()))]
	}
	switch rnd.IntN(6) {
	case 0:
		return "delete " + key
	case 1:
		return "get " + key
	case 2:
		return "put " + key + " " + text(maxInline+1+rnd.IntN(3))
	}
	return "put " + key + " " + text(rnd.IntN(2*maxInline))
}

// persistConfig evicts clients and makes tombstones soon.
func persistConfig() Config {
	return Config{
		Cluster: testCluster, ClientWindow: 128, MaxCachedResult: 60, ReplyBytes: 100, MaxClients: 4,
		ConfigDigest: crypto.Digest{2}, HistoryBytes: 3000, SaveBytes: 1, HistoryKeep: -1,
	}
}

func newKV() statemachine.StateMachine { return kv.New() }

// TestACrashedReplicaComesBackAsOneThatNeverCrashed: power is lost anywhere, and
// what the disk has, executed on from there, is what it would have been.
func TestACrashedReplicaComesBackAsOneThatNeverCrashed(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 5))
		cfg := persistConfig()
		cfg.SaveBytes = 1 + rnd.IntN(20_000)
		cfg.HistoryBytes = rnd.IntN(20_000)
		interval := 1 + rnd.Uint64N(7)
		r, h := newReference(t, cfg, kv.New()), newHost(t, cfg, newKV)
		base := map[string]uint64{}
		durable, crashes := uint64(0), 0
		for range 150 {
			r.execute(randomExec(t, rnd, r.Engine, base, interval))
			r.catchUp(h, r.LastExecuted())
			for range rnd.IntN(3) {
				h.note(h.Advance())
			}
			if rnd.IntN(3) == 0 && h.commit() {
				durable = h.SavedN()
			}
			if rnd.IntN(15) > 0 {
				continue
			}
			p := h.TakeSave()
			if p != nil && rnd.IntN(2) == 0 { // the last thing that it did
				if err := p.Commit(); err != nil {
					t.Fatal(err)
				}
				durable = p.N()
			}
			h.crash()
			crashes++
			if h.loaded.N != durable {
				t.Fatalf("seed %d: state %d after a crash, %d was durable", seed, h.loaded.N, durable)
			}
			if want := r.windows[durable]; !reflect.DeepEqual(h.loaded.Windows, want) && len(want) > 0 {
				t.Fatalf("seed %d: windows at %d: %v, want %v", seed, durable, h.loaded.Windows, want)
			}
			if durable > 0 && *h.loaded.State != r.states[durable] {
				t.Fatalf("seed %d: state %+v, want %+v", seed, h.loaded.State, r.states[durable])
			}
			if rnd.IntN(2) == 0 {
				r.catchUp(h, r.LastExecuted())
			} else if h.LastExecuted() < r.LastExecuted() {
				r.step(h)
			}
		}
		r.catchUp(h, r.LastExecuted())
		r.same(h)
		if h.SavedN() > 0 && h.HistoryFirst() != 1 {
			t.Fatalf("seed %d: the history begins with %d", seed, h.HistoryFirst())
		}
		r.sameHistory(h, h.HistoryFirst())
		for _, from := range []uint64{7, h.SavedN(), h.SavedN() + 1} {
			r.sameHistory(h, max(from, h.HistoryFirst()))
		}
		if crashes == 0 || durable == 0 && cfg.SaveBytes < 3000 {
			t.Fatalf("seed %d: %d crashes, %d durable", seed, crashes, durable)
		}
	}
}
