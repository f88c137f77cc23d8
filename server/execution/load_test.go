package execution

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
	"github.com/pbft-go/pbft/server/statemachine/kv"
	"github.com/pbft-go/pbft/server/storage/state"
)

// transferred is a ring whose last replica keeps its state on a disk. It executed
// the first own batches; the others have the state at 20, and more batches.
func transferred(t *testing.T, own int) (*ring, *host) {
	r := newRing(t, 20, 5, puts)
	cfg := labConfig()
	cfg.Self, cfg.SaveBytes, cfg.HistoryKeep = 3, 1, -1
	h := newHost(t, cfg, newLabMachine)
	for n := 1; n <= own; n++ {
		h.execute(ringExec(n, n%4 == 0))
		if n == 6 {
			h.settle()
		}
	}
	r.engines[3] = h.Engine
	return r, h
}

func ringExec(n int, checkpoint bool) *consensus.Exec {
	b := puts(n)
	return &consensus.Exec{N: uint64(n), TimeUS: int64(1000 * n), Digest: b.Digest, Batch: b, Checkpoint: checkpoint}
}

func (r *ring) install(n uint64) {
	r.t.Helper()
	r.done, r.queue = nil, nil
	r.engines[3].Install(r.certificate(n), 4)
	r.run(10)
	if r.done == nil || r.done.State.N != n {
		r.t.Fatalf("installed %+v", r.done)
	}
}

// TestSection5_2_NoVoteRestsOnAStateThatThisDiskCannotGiveBack: after a transfer
// the log does not lead from the saved state to the own one.
func TestSection5_2_NoVoteRestsOnAStateThatThisDiskCannotGiveBack(t *testing.T) {
	r, h := transferred(t, 10)
	h.settle()
	if h.SavedN() != 8 || len(h.reported) != 2 {
		t.Fatalf("saved %d, reported %v", h.SavedN(), h.reported)
	}
	r.install(20)
	clear(h.reported)
	for n := 21; n <= 40; n++ {
		h.execute(ringExec(n, n%4 == 0))
		if n%3 == 0 {
			h.note(h.Advance())
		}
	}
	h.advance()
	if len(h.reported) > 0 || h.Underway() {
		t.Fatalf("reported before the state is durable: %v, and more is to do: %v", h.reported, h.Underway())
	}
	p := h.TakeSave()
	if p == nil || p.N() != 20 {
		t.Fatalf("to save: %+v", p)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if s := h.Advance(); s != nil {
		t.Fatalf("reported before the engine knows: %+v", s)
	}
	h.Saved(p)
	var order []uint64
	for h.Underway() {
		if s := h.Advance(); s != nil {
			order = append(order, s.N)
		}
	}
	if !slices.Equal(order, []uint64{24, 28, 32, 36, 40}) {
		t.Fatalf("reported %v", order)
	}
}

// TestSection5_2_NoVoteRestsOnALogThatMayGo: the others were faster than the
// transfer of their state.
func TestSection5_2_NoVoteRestsOnALogThatMayGo(t *testing.T) {
	_, h := transferred(t, 10)
	h.settle()
	clear(h.reported)
	h.OweSave(20)
	for n := 11; n <= 26; n++ {
		h.execute(ringExec(n, n%4 == 0))
		if n == 18 {
			h.advance()
			p := h.TakeSave()
			if p == nil || p.N() != 12 || p.Commit() != nil {
				t.Fatalf("to save: %+v", p)
			}
			h.Saved(p)
		}
	}
	h.advance()
	if len(h.reported) > 0 || h.SavedN() != 12 {
		t.Fatalf("saved %d, reported %v", h.SavedN(), h.reported)
	}
	h.settle()
	if h.SavedN() != 20 || len(h.reported) != 4 {
		t.Fatalf("saved %d, reported %v", h.SavedN(), h.reported)
	}
}

func TestACrashBeforeATransferredStateIsSavedGivesTheOldOneBack(t *testing.T) {
	r, h := transferred(t, 10)
	h.settle()
	old := *h.CheckpointState(8)
	r.install(20)
	for n := 21; n <= 30; n++ {
		h.execute(ringExec(n, n == 24))
	}
	h.advance()
	h.crash()
	if *h.loaded.State != old {
		t.Fatalf("loaded %+v, want %+v", h.loaded.State, old)
	}
	h.execute(ringExec(9, false))
	r.engines[3] = h.Engine
	r.install(20)
	r.same(21, puts)
}

func TestATransferredStateIsSavedWhole(t *testing.T) {
	for name, prepare := range map[string]func(h *host){
		"with nothing under way": func(h *host) { h.settle() },
		"while one is gathered": func(h *host) {
			if h.saver.now == nil || h.saver.now.out == nil {
				t.Fatal("none is")
			}
		},
		"while one is on its way":     func(h *host) { h.advance() },
		"while one is on its way too": func(h *host) { h.settle(); h.execute(ringExec(11, false)); h.execute(ringExec(12, true)); h.advance() },
	} {
		t.Run(name, func(t *testing.T) {
			r, h := transferred(t, 10)
			prepare(h)
			last := h.LastExecuted()
			first := h.TakeSave()
			r.install(20)
			for n := 21; n <= 22; n++ {
				h.execute(ringExec(n, false))
			}
			h.advance()
			if first != nil {
				if err := first.Commit(); err != nil {
					t.Fatal(err)
				}
				h.Saved(first)
			}
			h.settle()
			if h.SavedN() != 20 || len(h.saver.stray) > 0 {
				t.Fatalf("saved %d, %d stray batches", h.SavedN(), len(h.saver.stray))
			}
			h.crash()
			if *h.loaded.State != *r.engines[0].CheckpointState(20) || len(h.loaded.Windows) != 7 {
				t.Fatalf("loaded %+v", h.loaded)
			}
			if len(h.Log(20, 10)) != 0 {
				t.Fatal("the batch at 20 came from nowhere")
			}
			for n := 21; n <= 30; n++ {
				h.execute(ringExec(n, n == 24))
			}
			h.settle()
			// The own batches and those after the transfer are there.
			var numbers []uint64
			for _, x := range h.Log(0, 100) {
				numbers = append(numbers, x.Header.N)
			}
			var want []uint64
			for n := uint64(1); n <= 30; n++ {
				if n <= last || n > 20 {
					want = append(want, n)
				}
			}
			if !slices.Equal(numbers, want) {
				t.Fatalf("the log has %v, want %v", numbers, want)
			}
			h.crash()
			if h.loaded.N != 24 || len(h.Log(0, 100)) != len(want)-6 || h.HistoryFirst() != 1 {
				t.Fatalf("loaded %d, %d batches from %d on", h.loaded.N, len(h.Log(0, 100)), h.HistoryFirst())
			}
		})
	}
}

// TestALoadedStateIsServed: to a replica that has nobody else to ask.
func TestALoadedStateIsServed(t *testing.T) {
	r := newRing(t, 20, 5, puts)
	cfg := labConfig()
	cfg.Self, cfg.SaveBytes = 1, 1
	h := newHost(t, cfg, newLabMachine)
	for n := 1; n <= 20; n++ {
		h.execute(ringExec(n, n == 20))
	}
	h.settle()
	h.crash()
	r.engines[1] = h.Engine
	r.lie = func(from int, m message.Message) message.Message {
		if from == 0 || from == 2 {
			return nil
		}
		return m
	}
	r.engines[3].Install(r.certificate(20), 4)
	r.run(20 * answerTicks)
	if r.done == nil || *r.done.State != *r.engines[0].CheckpointState(20) {
		t.Fatalf("installed %+v", r.done)
	}
	r.same(21, puts)
}

// TestTheHistoryInMemoryHasNoGap, though that on disk has one.
func TestTheHistoryInMemoryHasNoGap(t *testing.T) {
	r, h := transferred(t, 18)
	r.install(20)
	for n := 21; n <= 24; n++ {
		h.execute(ringExec(n, n == 24))
		h.settle()
	}
	h.crash()
	held := h.history.from(0)
	if h.loaded.N != 24 || len(held) != 4 || held[0].Header.N != 21 {
		t.Fatalf("loaded %d, %d batches in memory", h.loaded.N, len(held))
	}
	var numbers []uint64
	for _, x := range h.Log(16, 100) {
		numbers = append(numbers, x.Header.N)
	}
	if !slices.Equal(numbers, []uint64{16, 17, 18, 21, 22, 23, 24}) {
		t.Fatalf("the log has %v", numbers)
	}
}

func TestASecondTransferTakesThePlaceOfTheFirst(t *testing.T) {
	r, h := transferred(t, 10)
	r.install(20)
	h.execute(ringExec(21, false))
	for n := 26; n <= 40; n++ {
		for _, e := range r.engines[:3] {
			e.Execute(ringExec(n, n == 40))
			e.finishCheckpoint()
		}
	}
	h.Advance()
	r.install(40)
	h.settle()
	if h.SavedN() != 40 {
		t.Fatalf("saved %d", h.SavedN())
	}
	var numbers []uint64
	for _, x := range h.Log(0, 100) {
		numbers = append(numbers, x.Header.N)
	}
	if !slices.Equal(numbers, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 21}) {
		t.Fatalf("the log has %v", numbers)
	}
	h.crash()
	if *h.loaded.State != *r.engines[0].CheckpointState(40) {
		t.Fatalf("loaded %+v", h.loaded.State)
	}
	r.engines[3] = h.Engine
	r.same(41, puts)
}

// damagedHost has a bit of everything on its disk.
func damagedHost(t *testing.T) *host {
	h, _ := quietHost(t, nil)
	h.run("a", 0, "put k1 short", "put "+crowded()[0]+" "+text(300), "put "+crowded()[1]+" "+text(400))
	h.run("b", 0, "put k2 short", "get k1")
	return h
}

// TestWhatIsNotAsItWasSavedIsNotLoaded: whatever changed on disk, the error names
// what it belongs to.
func TestWhatIsNotAsItWasSavedIsNotLoaded(t *testing.T) {
	h := damagedHost(t)
	type entry struct{ key, value []byte }
	var entries []entry
	if err := h.db.Scan([]byte{0}, []byte{255}, func(key, value []byte) error {
		entries = append(entries, entry{bytes.Clone(key), bytes.Clone(value)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	names := map[byte]string{
		tableBuckets: "application", tableValues: "application", tableClients: "clients", tablePages: "clients",
		tableHistory: "history", tableBodies: "history", tablePosition: "",
	}
	seen := map[byte]bool{}
	for _, e := range entries {
		for at := -1; at < len(e.value); at += 1 + len(e.value)/12 {
			if e.key[0] == tableHistory && at >= 0 && at < 16 {
				continue // view and time are in no digest; Pebble's checksums hold for all
			}
			change := func(s Save) error { return s.Delete(e.key) }
			if at >= 0 {
				value := bytes.Clone(e.value)
				value[at] ^= 1 << (at % 8)
				change = func(s Save) error { return s.Put(e.key, value) }
			}
			if e.key[0] == tablePosition && at < 0 {
				continue // then there is no state at all
			}
			db := h.altered(change)
			_, _, err := Open(h.cfg, kv.New(), db)
			_, inspected := Inspect(h.cfg, db)
			if inspected == nil {
				t.Fatalf("key %x, byte %d of %d: nobody sees it", e.key, at, len(e.value))
			}
			isHistory := e.key[0] == tableHistory || e.key[0] == tableBodies
			if err == nil && !isHistory {
				t.Fatalf("key %x, byte %d of %d: it is loaded", e.key, at, len(e.value))
			}
			if names[e.key[0]] != "" && !errors.Is(inspected, ErrDamaged) || !strings.Contains(inspected.Error(), names[e.key[0]]) {
				t.Fatalf("key %x, byte %d of %d: %v", e.key, at, len(e.value), inspected)
			}
			seen[e.key[0]] = true
			closed(t, db)
		}
	}
	if len(seen) != len(names) {
		t.Fatalf("changed %v", seen)
	}
}

// altered is a copy of the host's disk with one change.
func (h *host) altered(change func(s Save) error) *state.DB {
	h.t.Helper()
	db, err := state.Open(state.Options{FS: h.fs.CrashClone(vfs.CrashCloneCfg{}), Dir: "db", Small: true})
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := db.NewSave()
	if err == nil {
		err = errors.Join(change(s), s.Commit())
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return db
}

func TestWhatDoesNotBelongThereIsNotLoaded(t *testing.T) {
	h := damagedHost(t)
	for name, change := range map[string]func(s Save) error{
		"application: bucket 77":  func(s Save) error { return s.Put(valueKey(nil, 77, digestOf(text(999))), []byte(text(999))) },
		"application: long value": func(s Save) error { return s.Put(valueKey(nil, 78, digestOf(text(999))), []byte(text(999))) },
		"application: batch": func(s Save) error {
			return s.Put(bucketKey(nil, 3), crypto.AppendString(crypto.AppendString(nil, "k"), "v"))
		},
		"clients: page":      func(s Save) error { return s.Put(pageKey(nil, 99, 0), nil) },
		"clients: client 99": func(s Save) error { return s.Put(keyOf(nil, tableClients, 99), nil) },
	} {
		db := h.altered(change)
		if _, _, err := Open(h.cfg, kv.New(), db); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Fatalf("%s: %v", name, err)
		}
		closed(t, db)
	}
}

func digestOf(value string) []byte {
	d := testCluster.ValueDigest([]byte(value))
	return d[:]
}

func TestASavedStateOfAnotherClusterOrConfigurationIsRefused(t *testing.T) {
	h := damagedHost(t)
	for want, edit := range map[string]func(c *Config){
		"cluster":       func(c *Config) { c.Cluster[5] ^= 1 },
		"client window": func(c *Config) { c.ClientWindow = 64 },
		"2 clients":     func(c *Config) { c.MaxClients = 1 },
	} {
		cfg := h.cfg
		edit(&cfg)
		if _, _, err := Open(cfg, kv.New(), h.db); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: %v", want, err)
		}
	}
}

// TestDamageThatAQuestionMeetsHaltsTheReplica: by the next save.
func TestDamageThatAQuestionMeetsHaltsTheReplica(t *testing.T) {
	h := damagedHost(t)
	h.cfg.HistoryBytes = 1
	db := h.altered(func(s Save) error { return s.Delete(keyOf(nil, tableBodies, 1)) })
	defer closed(t, db)
	e, _, err := Open(h.cfg, kv.New(), db)
	if err != nil {
		t.Fatal(err)
	}
	if log := e.Log(1, 10); len(log) != 1 {
		t.Fatalf("%d batches", len(log)) // that in memory
	}
	if p := e.TakeSave(); p == nil || !errors.Is(p.Commit(), ErrDamaged) || e.TakeSave() != nil {
		t.Fatalf("%+v", p)
	}
}

// refuser is an application that takes no state but an empty one.
type refuser struct {
	statemachine.StateMachine
	restored []uint64
}

func (r *refuser) Restored(n uint64, st statemachine.State) error {
	r.restored = append(r.restored, n)
	if _, ok := st.Get([]byte("k1")); ok != (n > 0) {
		return fmt.Errorf("k1 at %d: %v", n, ok)
	}
	if n > 0 {
		return errors.New("too old for it")
	}
	return nil
}

func TestTheApplicationHearsOfTheLoadedState(t *testing.T) {
	h := damagedHost(t)
	sm := &refuser{StateMachine: kv.New()}
	if _, _, err := Open(h.cfg, sm, h.db); err == nil || !strings.Contains(err.Error(), "too old for it") || !slices.Equal(sm.restored, []uint64{2}) {
		t.Fatalf("%v, told of %v", err, sm.restored)
	}
}

// opened is another engine with what h has on disk.
func opened(t *testing.T, h *host) *Engine {
	t.Helper()
	e, _, err := Open(h.cfg, kv.New(), h.db)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestADataDirectoryIsLookedAtOffline(t *testing.T) {
	h := newHost(t, persistConfig(), newKV)
	if s, err := Inspect(h.cfg, h.db); err != nil || s != (Summary{}) {
		t.Fatalf("empty: %+v, %v", s, err)
	}
	if out, next := opened(t, h).Dump(1, 100); out != nil || next != 0 {
		t.Fatalf("empty: %v %d", out, next)
	}
	for i := range 20 {
		h.run("a", uint64(10*i), "put k"+fmt.Sprint(i%5)+" "+text(300), "get k1", "delete k9")
	}
	h.execute(h.batch(false, group(t, "a", 1, op{1000, "get k1"}))) // only in memory
	s, err := Inspect(h.cfg, h.db)
	if want := (Summary{N: 20, State: s.State, Keys: 5, KeyBytes: 5 * 302, Clients: 1, HistoryFirst: 1, HistoryLast: 20, HistoryBatches: 20, HistoryBytes: s.HistoryBytes}); err != nil || s != want || *s.State != *h.CheckpointState(20) {
		t.Fatalf("%+v, %v", s, err)
	}
	var all []DumpEntry
	e := opened(t, h)
	for next := uint64(1); next > 0; {
		var some []DumpEntry
		some, next = e.Dump(next, 500)
		all = append(all, some...)
	}
	want, _ := h.Dump(1, 1<<30)
	if want = want[:60]; !slices.EqualFunc(all, want, func(a, b DumpEntry) bool {
		return a.Client == b.Client && a.Number == b.Number && a.N == b.N && bytes.Equal(a.Op, b.Op)
	}) {
		t.Fatalf("%d requests, want %d", len(all), len(want))
	}
}
