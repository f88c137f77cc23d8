package execution

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine/kv"
)

// watched counts what saves write, by table.
type watched struct {
	StateStore
	puts, deletes, bytes map[byte]int
}

func (w *watched) NewSave() (Save, error) {
	s, err := w.StateStore.NewSave()
	w.puts, w.deletes, w.bytes = map[byte]int{}, map[byte]int{}, map[byte]int{}
	return &watchedSave{s, w}, err
}

type watchedSave struct {
	Save
	w *watched
}

func (s *watchedSave) Put(key, value []byte) error {
	s.w.puts[key[0]]++
	s.w.bytes[key[0]] += len(value)
	return s.Save.Put(key, value)
}

func (s *watchedSave) Delete(key []byte) error {
	s.w.deletes[key[0]]++
	return s.Save.Delete(key)
}

// quietHost is a host whose saves are watched.
func quietHost(t *testing.T, edit func(*Config)) (*host, *watched) {
	cfg := persistConfig()
	cfg.ClientWindow, cfg.ReplyBytes, cfg.MaxCachedResult, cfg.MaxClients = 1024, 1<<16, 1<<12, 100
	if edit != nil {
		edit(&cfg)
	}
	h := newHost(t, cfg, newKV)
	w := &watched{StateStore: h.db}
	h.saver.db = w
	return h, w
}

// run executes a batch of one client's commands with a checkpoint, and saves it.
func (h *host) run(client string, number uint64, commands ...string) {
	h.t.Helper()
	var list []op
	for i, c := range commands {
		list = append(list, op{number + uint64(i), c})
	}
	h.execute(h.batch(true, group(h.t, client, 1, list...)))
	h.settle()
}

// batch is the batch behind the last one.
func (h *host) batch(checkpoint bool, groups ...crypto.GroupView) *consensus.Exec {
	n := h.LastExecuted() + 1
	b := message.NewBatch(h.cfg.Cluster, message.Header{N: n, WallUS: int64(n)}, groups)
	return &consensus.Exec{N: n, TimeUS: int64(n), Digest: b.Digest, Batch: b, Checkpoint: checkpoint, Stable: n - 1}
}

// reload crashes, and demands the state that was there.
func (h *host) reload() {
	h.t.Helper()
	want := *h.CheckpointState(h.LastExecuted())
	w, isWatched := h.saver.db.(*watched)
	h.crash()
	if h.loaded.State == nil || *h.loaded.State != want {
		h.t.Fatalf("loaded %+v, want %+v", h.loaded.State, want)
	}
	if isWatched {
		w.StateStore = h.db
		h.saver.db = w
	}
}

func TestASaveWritesWhatChanged(t *testing.T) {
	h, w := quietHost(t, nil)
	var commands []string
	for i := range 250 {
		commands = append(commands, fmt.Sprintf("put key%d %d", i, i))
	}
	h.run("a", 0, commands...)
	h.run("b", 0, "put other 1")
	for name, restart := range map[string]func(){"going on": func() {}, "after a restart": h.reload} {
		restart()
		h.run("b", h.clients.byName["b"].high, "put key7 x", "delete key8", "delete key9", "put key9 x")
		if w.puts[tableBuckets]+w.deletes[tableBuckets] > 3 || w.puts[tableClients] != 1 || w.puts[tablePages] != 1 {
			t.Fatalf("%s: puts %v, deletes %v for three keys and one client", name, w.puts, w.deletes)
		}
		if w.puts[tableHistory] != 1 || w.puts[tableBodies] != 1 || w.puts[tablePosition] != 1 {
			t.Fatalf("%s: puts %v for one batch", name, w.puts)
		}
	}
	h.reload()
	if v, ok := h.store.Get([]byte("key7")); !ok || string(v) != "x" {
		t.Fatalf("key7 is %q", v)
	}
	if _, ok := h.store.Get([]byte("key8")); ok {
		t.Fatal("key8 is there")
	}
}

// TestALongValueIsWrittenOnce: a neighbour's change leaves it alone, in however
// many entries of the bucket it stands.
func TestALongValueIsWrittenOnce(t *testing.T) {
	h, w := quietHost(t, nil)
	keys, number := crowded(), uint64(0)
	run := func(values, deleted int, commands ...string) {
		t.Helper()
		h.run("a", number, commands...)
		number += uint64(len(commands))
		if w.puts[tableValues] != values || w.deletes[tableValues] != deleted {
			t.Fatalf("%d batches: %d values were written and %d deleted, want %d and %d", number, w.puts[tableValues], w.deletes[tableValues], values, deleted)
		}
		h.reload()
	}
	long, longer := text(4000), text(5000)
	run(2, 0, "put "+keys[0]+" "+long, "put "+keys[1]+" "+long, "put "+keys[2]+" "+longer)
	run(0, 0, "put "+keys[3]+" short")
	run(0, 0, "delete "+keys[0])
	run(0, 0, "put "+keys[0]+" "+longer, "put "+keys[4]+" "+long)
	run(0, 1, "delete "+keys[0], "delete "+keys[2])
	run(1, 1, "put "+keys[1]+" "+longer, "put "+keys[4]+" 1")
	run(0, 1, "delete "+keys[1])
	run(0, 0, "put "+keys[5]+" 1")
	if h.saver.large.has(bucketOf([]byte(keys[0]))) {
		t.Fatal("the bucket counts as one with long values")
	}
}

// TestEqualLongValuesAreApartOnceLoaded: one stands for them on disk.
func TestEqualLongValuesAreApartOnceLoaded(t *testing.T) {
	h, _ := quietHost(t, nil)
	keys := crowded()
	h.run("a", 0, "put "+keys[0]+" "+text(400), "put "+keys[1]+" "+text(400))
	h.reload()
	h.run("a", 2, "put "+keys[0]+" short")
	h.run("a", 3, "get k") // lets the old value go
	h.run("a", 4, "put "+keys[2]+" "+strings.Repeat("w", 400))
	if v, ok := h.store.Get([]byte(keys[1])); !ok || string(v) != text(400) {
		t.Fatalf("%q", v)
	}
	h.reload()
}

func TestOnlyPagesThatChangedAreWritten(t *testing.T) {
	h, w := quietHost(t, nil)
	for i := range uint64(16) {
		h.run("a", 64*i, "get k")
	}
	h.run("a", 64*15+1, "get k")
	if w.puts[tablePages] != 1 || w.deletes[tablePages] != 0 {
		t.Fatalf("%d pages written and %d deleted, want 1 and 0", w.puts[tablePages], w.deletes[tablePages])
	}
	h.reload()
	h.run("a", 64*18+5, "get k") // closes 0 to 133
	if w.puts[tablePages] != 1 || w.deletes[tablePages] != 3 {
		t.Fatalf("%d pages written and %d deleted, want 1 and 3", w.puts[tablePages], w.deletes[tablePages])
	}
	h.reload()
	h.run("a", 1_000_000, "get k")
	h.reload()
	if got := h.clients.byName["a"].held(1_000_000 / pageSize); got == nil {
		t.Fatal("the page is not there")
	}
	pages := 0
	if err := scanTable(h.db, tablePages, func(_, _ []byte) error { pages++; return nil }); err != nil || pages != 1 {
		t.Fatalf("%d pages on disk, %v", pages, err)
	}
}

// TestAnEvictedClientIsGoneFromDisk, also if it comes back between two saves.
func TestAnEvictedClientIsGoneFromDisk(t *testing.T) {
	h, _ := quietHost(t, func(c *Config) { c.MaxClients = 2 })
	h.run("a", 0, "get k")
	h.run("b", 0, "get k")
	for i, name := range []string{"c", "a", "b", "b", "d", "a"} {
		h.execute(h.batch(false, group(t, name, 1, op{uint64(i), "get k"})))
		if i%2 == 1 {
			h.run("a", uint64(100+i), "get k")
			h.reload()
		}
	}
	count := map[byte]int{}
	for _, table := range []byte{tableClients, tablePages} {
		if err := scanTable(h.db, table, func(_, _ []byte) error { count[table]++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if count[tableClients] != 2 || count[tablePages] > 4 || h.clients.nextID < 5 {
		t.Fatalf("on disk: %v, next id %d", count, h.clients.nextID)
	}
}

func TestTheHistoryOnDiskIsTrimmed(t *testing.T) {
	const keep = 100_000
	h, _ := quietHost(t, func(c *Config) { c.HistoryKeep, c.SaveBytes = keep, 2000 })
	for i := range 400 {
		h.run("a", uint64(i), "put k "+text(900))
		first := h.HistoryFirst()
		total := int64(0)
		for _, s := range h.saver.disk.history {
			total += s.bytes
		}
		if spans := len(h.saver.disk.history); total > keep || spans > 2*spansMost {
			t.Fatalf("batch %d: %d bytes in %d spans", i, total, spans)
		}
		if i%50 == 49 {
			h.crash()
			for h.LastExecuted() < uint64(i+1) {
				h.execute(h.batch(false, group(t, "a", 1, op{h.LastExecuted(), "put k " + text(900)})))
			}
		}
		if log := h.Log(0, 1<<20); log[0].Header.N != first || len(log) != int(h.LastExecuted()-first)+1 {
			t.Fatalf("batch %d: the log begins with %d and has %d, the history begins with %d", i, log[0].Header.N, len(log), first)
		}
	}
	if first := h.HistoryFirst(); first < 250 || first > 350 {
		t.Fatalf("the history begins with %d", first)
	}
	s, err := Inspect(h.cfg, h.db)
	if err != nil || s.HistoryFirst != h.HistoryFirst() || s.HistoryLast != h.SavedN() || s.N != h.SavedN() || s.Keys != 1 || s.Clients != 1 || s.KeyBytes != 901 {
		t.Fatalf("%+v, %v", s, err)
	}
}

const spansMost = spans

// TestTheHistoryInMemoryKeepsWhatIsNotSaved, however small it is to be.
func TestTheHistoryInMemoryKeepsWhatIsNotSaved(t *testing.T) {
	h, _ := quietHost(t, func(c *Config) { c.HistoryBytes, c.SaveBytes = 1, 30_000 })
	for i := range 200 {
		h.execute(h.batch(i%7 == 0, group(t, "a", 1, op{uint64(i), "put k " + text(300)})))
		if i%10 == 0 {
			h.advance()
			h.commit()
		}
		held := h.history.from(0)
		if first := held[0].Header.N; first > h.SavedN()+1 {
			t.Fatalf("batch %d: memory begins with %d, the disk ends with %d", i+1, first, h.SavedN())
		}
		if len(held) > 150 {
			t.Fatalf("batch %d: %d batches in memory", i+1, len(held))
		}
		if log := h.Log(0, 1000); len(log) != i+1 {
			t.Fatalf("batch %d: the log has %d", i+1, len(log))
		}
	}
	if h.saves < 3 {
		t.Fatalf("%d saves", h.saves)
	}
}

// TestASaveIsOfTheStateWhenItBegan: batches that change everything while it is
// gathered, piece by piece, are not in it.
func TestASaveIsOfTheStateWhenItBegan(t *testing.T) {
	h, _ := quietHost(t, func(c *Config) { c.SaveBytes = 500_000 })
	fill := func(round int, checkpoint bool) {
		var groups []crypto.GroupView
		for c := range 5 {
			var list []op
			for i := range 40 {
				size := (round*13 + i*7) % 300
				list = append(list, op{uint64(round*40 + i), fmt.Sprintf("put %s%d %s%d", []string{"k", crowded()[i]}[i%2], c, text(size), round)})
			}
			groups = append(groups, group(t, fmt.Sprint("c", c), 1, list...))
		}
		h.execute(h.batch(checkpoint, groups...))
	}
	for round := range 20 {
		fill(round, round%10 == 9)
	}
	if h.saver.now == nil {
		t.Fatal("no save was begun")
	}
	at := h.saver.now.from.state.N
	for round := 20; h.saver.pending == nil; round++ {
		h.saver.gather(1 + round%3)
		h.finishCheckpoint()
		if round < 60 {
			fill(round, false)
		}
	}
	p := h.TakeSave()
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if h.LastExecuted() < at+10 {
		t.Fatalf("%d batches while it was gathered", h.LastExecuted()-at)
	}
	want := *h.CheckpointState(at)
	h.Saved(p)
	h.crash()
	if *h.loaded.State != want {
		t.Fatalf("loaded %+v, want %+v", h.loaded.State, want)
	}
}

// TestASaveWaitsForItsDigest: the roots are part of it.
func TestASaveWaitsForItsDigest(t *testing.T) {
	h, _ := quietHost(t, nil)
	var list []op
	for i := range uint64(250) {
		list = append(list, op{i, fmt.Sprintf("put key%d v", i)})
	}
	h.execute(h.batch(true, group(t, "a", 1, list...)))
	for range 3 {
		h.saver.gather(1 << 20)
	}
	if h.saver.pending != nil || h.underway == nil {
		t.Fatal("it did not wait")
	}
	h.settle()
	if h.SavedN() != 1 {
		t.Fatalf("saved %d", h.SavedN())
	}
	h.reload()
}

// TestASaveLetsMemoryGo: what it held for its snapshot.
func TestASaveLetsMemoryGo(t *testing.T) {
	h, _ := quietHost(t, nil)
	for i := range 60 {
		h.execute(h.batch(i%5 == 4, group(t, "a", 1, op{uint64(i), fmt.Sprintf("put k%d %s", i%9, text(300))})))
		if i%4 == 0 {
			h.settle()
		}
	}
	h.settle()
	if n := len(h.store.past.periods); n > len(h.checkpoints) || n > 2 {
		t.Fatalf("%d periods of buckets are held", n)
	}
	if n := len(h.clients.periods); n > len(h.checkpoints) {
		t.Fatalf("%d periods of clients are held", n)
	}
	if h.saver.now != nil || h.saver.pending != nil || len(h.saver.stray) > 0 || h.saves < 5 {
		t.Fatalf("%+v", h.saver)
	}
	h.execute(h.batch(true))
	h.settle()
	if live, _ := h.store.values.count(); live != 9 {
		t.Fatalf("%d long values are held, 9 are there", live)
	}
}

// TestTheDirectoryStaysSmall: saves of the same keys, over and over.
func TestTheDirectoryStaysSmall(t *testing.T) {
	h, _ := quietHost(t, func(c *Config) { c.HistoryKeep = 50_000 })
	value := bytes.Repeat([]byte("0123456789"), 40)
	most := uint64(0)
	for round := range 60 {
		var list []op
		for k := range 200 {
			list = append(list, op{uint64(200*round + k), fmt.Sprintf("put key%d %s%d", k, value, round)})
		}
		h.execute(h.batch(true, group(t, "a", 1, list...)))
		h.settle()
		most = max(most, h.db.DiskUsage())
	}
	if h.saves != 60 {
		t.Fatalf("%d saves", h.saves)
	}
	// The state has 100 KB, the history 50 KB and a batch of as much; some saves
	// wait for the compaction behind them.
	if most > 4<<20 {
		t.Fatalf("%d bytes on disk", most)
	}
	h.reload()
}

func TestWithoutADiskNothingIsSaved(t *testing.T) {
	l := newLab(t, kv.New(), func(c *Config) { c.SaveBytes = 1 })
	for i := range uint64(10) {
		l.exec(group(t, "a", 1, op{i, "put k v"}))
		if l.TakeSave() != nil || l.Underway() || l.SavedN() != 0 {
			t.Fatal("a save")
		}
	}
	if l.clients.nextID > 0 || l.store.unsaved != nil {
		t.Fatal("notes are taken for saves")
	}
}

// TestAnErrorOfGatheringIsThatOfTheCommit: the host hears of it and halts.
func TestAnErrorOfGatheringIsThatOfTheCommit(t *testing.T) {
	h, w := quietHost(t, nil)
	w.StateStore = failing{h.db}
	h.execute(h.batch(true, group(t, "a", 1, op{1, "put k v"})))
	h.advance()
	p := h.TakeSave()
	if p == nil || p.Commit() == nil || h.TakeSave() != nil || h.Underway() {
		t.Fatalf("%+v", p)
	}
}

type failing struct{ StateStore }

func (f failing) NewSave() (Save, error) { return nil, errPut }

var errPut = fmt.Errorf("no room")

// TestReplicasSaveInTurns: what a save costs is not seen where a quorum goes on
// without who bears it.
func TestReplicasSaveInTurns(t *testing.T) {
	var all [4][]uint64 // checkpoints that are saved, by replica
	for self := range all {
		h, _ := quietHost(t, func(c *Config) { c.Self, c.SaveBytes = message.ReplicaID(self), 40*(batchOverhead+100) })
		for number := range uint64(140) {
			before := h.SavedN()
			h.run("c", number, "put k "+text(40))
			if n := h.SavedN(); n != before {
				all[self] = append(all[self], n)
			}
		}
	}
	for self, saved := range all {
		if len(saved) < 3 || slices.Contains(all[(self+1)%4], saved[0]) {
			t.Fatalf("replica %d saves at %d, the next one at %d", self, saved, all[(self+1)%4])
		}
		for other := range self {
			if i := slices.IndexFunc(saved, func(n uint64) bool { return slices.Contains(all[other], n) }); i >= 0 {
				t.Errorf("replicas %d and %d both save at %d", self, other, saved[i])
			}
		}
	}
}
