package execution

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

func TestHistoryTellsWhatIsCommitted(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	if l.HistoryFirst() != 0 || l.Committed(1, 9, 9) != nil || l.Body(crypto.Digest{}) != nil {
		t.Fatal("an empty history holds something")
	}
	var want []message.NDigest
	var batches []*message.Batch
	for n := uint64(1); n <= 10; n++ {
		x := l.next(group(t, "a", 1, ops(n)...))
		l.Execute(x)
		want, batches = append(want, message.NDigest{N: n, Digest: x.Digest}), append(batches, x.Batch)
	}
	for _, c := range []struct {
		from, to uint64
		most     int
		want     []message.NDigest
	}{
		{0, 100, 100, want}, {1, 10, 100, want}, {4, 6, 100, want[3:6]}, {4, 100, 2, want[3:5]},
		{10, 10, 1, want[9:]}, {11, 20, 5, nil}, {6, 4, 5, nil}, {1, 10, 0, nil}, {1<<64 - 1, 1<<64 - 1, 5, nil},
	} {
		if got := l.Committed(c.from, c.to, c.most); !slices.Equal(got, c.want) {
			t.Errorf("committed %d to %d, at most %d: %v, want %v", c.from, c.to, c.most, got, c.want)
		}
	}
	for i, d := range want {
		if l.Body(d.Digest) != batches[i] {
			t.Errorf("body of %d is another", d.N)
		}
	}
	if l.Body(crypto.Digest{1}) != nil {
		t.Error("a body of nothing")
	}
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	const limit = 64 << 10
	l := newLab(t, &echo{}, func(c *Config) { c.HistoryBytes = limit })
	first := l.next(group(t, "a", 1, op{0, text(1000)}))
	l.Execute(first)
	for n := range uint64(5000) {
		l.one("a", 1, n+1, text(1000))
		if l.history.bytes > limit {
			t.Fatalf("%d bytes behind batch %d, the limit is %d", l.history.bytes, n, limit)
		}
	}
	held := len(l.history.entries) - l.history.head
	if held < 20 || len(l.history.byDigest) != held || len(l.history.entries) > 2*1024+2*held {
		t.Fatalf("%d batches held, %d by digest, %d places", held, len(l.history.byDigest), len(l.history.entries))
	}
	if got := l.HistoryFirst(); got != l.lastN-uint64(held)+1 {
		t.Fatalf("first is %d, want %d", got, l.lastN-uint64(held)+1)
	}
	if l.Body(first.Digest) != nil {
		t.Fatal("the first body is still there")
	}
	l.one("a", 1, 6000, text(2*limit)) // more than the limit: the newest stays
	if got := l.Committed(0, 1<<60, 10); len(got) != 1 || got[0].N != l.lastN {
		t.Fatalf("got %v", got)
	}
}

func TestLogShowsBatchesDecoded(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.exec(group(t, "a", 1, op{1, "x"}))
	l.exec(group(t, "a", 1, op{1, "x"}, op{2, "y"}), group(t, "a", 2, op{1, "z"}))
	l.Execute(&consensus.Exec{N: 3, View: 5, TimeUS: l.timeUS, Digest: l.cfg.Cluster.NullDigest(0, 3)})
	got := l.Log(2, 10)
	if len(got) != 2 || got[0].Header.N != 2 || got[1].Header.N != 3 || got[1].View != 5 || len(got[1].Requests) != 0 {
		t.Fatalf("got %+v", got)
	}
	var lines []string
	for _, r := range got[0].Requests {
		lines = append(lines, fmt.Sprint(r.Client, r.Session, " ", r.Number, string(r.Op), " ", r.Status, " ", r.Executed))
	}
	want := []string{"a1 1x OK false", "a1 2y OK true", "a2 1z REJECTED false"}
	if !slices.Equal(lines, want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	if got := l.Log(0, 1); len(got) != 1 || got[0].Header.N != 1 {
		t.Fatalf("got %+v", got)
	}
}

func TestDumpListsExecutedRequestsOnce(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	for x := range uint64(10) {
		l.exec(group(t, "a", 1, op{x, fmt.Sprint(x)}))
		l.exec(group(t, "a", 1, op{x, "again"}), group(t, "a", 2, op{x, "other"}))
	}
	for _, limit := range []int{0, 1, 100, 1 << 20} {
		var got []string
		for from, calls := uint64(0), 0; ; calls++ {
			list, next := l.Dump(from, limit)
			for _, d := range list {
				got = append(got, string(d.Op))
			}
			if next == 0 {
				break
			}
			if next <= from || calls > 30 {
				t.Fatalf("limit %d: no progress at %d", limit, from)
			}
			from = next
		}
		if want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; !slices.Equal(got, want) {
			t.Fatalf("limit %d: %q, want %q", limit, got, want)
		}
	}
}

func TestNothingPinsABatchThatTheHistoryDropped(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.HistoryBytes, c.ReplyBytes = 0, 10 })
	batch := func() weak.Pointer[message.Batch] {
		x := l.next(group(t, "a", 1, op{1, text(500)}, op{2, "short"}), group(t, "b", 1, ops(1)...))
		l.Execute(x)
		return weak.Make(x.Batch)
	}()
	l.exec()
	runtime.GC()
	if batch.Value() != nil {
		t.Fatal("the batch is still referred to")
	}
	runtime.KeepAlive(l)
}

func TestRecentKeepsTombstonesWhole(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.ResultCache, c.ReplyBytes = 2000, 150 })
	l.one("a", 7, 1, text(500))
	l.one("a", 7, 2, text(100))
	l.one("a", 7, 3, text(90)) // buries 2
	for x, size := range map[uint64]int{1: 500, 2: 100, 3: 90} {
		r, _ := l.Lookup("a", 7, x)
		wantOutcome(t, r, crypto.StatusOK, x, text(size))
	}
	r, _ := l.Lookup("a", 8, 1)
	wantOutcome(t, r, crypto.StatusRejected, 1, "")
	wantTombstone(t, l.cfg.Cluster, l.one("a", 7, 1, text(500)), 1, text(500)) // in a block the table speaks

	for x := range uint64(3000) {
		l.one("a", 7, 10+x, text(500))
		if l.recent.bytes > 2000 {
			t.Fatalf("%d bytes, the limit is 2000", l.recent.bytes)
		}
	}
	if held := len(l.recent.results); held != 2 || len(l.recent.order) > 2*1024+2 {
		t.Fatalf("%d results, %d places", held, len(l.recent.order))
	}
	r, _ = l.Lookup("a", 7, 3000)
	wantTombstone(t, l.cfg.Cluster, r, r.N, text(500))
	r, _ = l.Lookup("a", 7, 3009)
	wantOutcome(t, r, crypto.StatusOK, r.N, text(500))
}
