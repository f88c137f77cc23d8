package execution

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// One test per rule of docs/protocol.md that execution holds, named after its
// section.

func TestSection4_5_StrictlyByNumber(t *testing.T) {
	for _, n := range []uint64{0, 2, 3} {
		l := newLab(t, &echo{}, nil)
		l.one("a", 7, 0, "x")
		x := l.next(group(t, "a", 7, ops(1)...))
		if x.N = n; n == 2 {
			l.Execute(x)
			continue
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("batch %d was executed behind 1", n)
				}
			}()
			l.Execute(x)
		}()
	}
}

func TestSection4_5_TheApplicationGetsTheBatchWithoutDuplicates(t *testing.T) {
	app := &echo{}
	l := newLab(t, app, nil)
	l.exec(group(t, "a", 7, op{1, "one"}))
	x := l.next(group(t, "a", 7, op{1, "one"}, op{2, "two"}), group(t, "b", 8, op{1, "uno"}), group(t, "a", 7, op{2, "two"}))
	l.Execute(x)
	b := app.batches[len(app.batches)-1]
	var got []string
	for _, o := range b.Ops {
		got = append(got, fmt.Sprint(o.Client, o.Number, string(o.Data)))
	}
	if want := []string{"a2two", "b1uno"}; !slices.Equal(got, want) || b.N != 2 || b.TimeUS != x.TimeUS || b.Seed != x.Digest {
		t.Fatalf("got %q at n %d, time %d, want %q, %d", got, b.N, b.TimeUS, want, x.TimeUS)
	}
	l.exec(group(t, "a", 7, op{1, "one"}))
	if len(app.batches) != 2 {
		t.Fatal("the application got a batch of duplicates")
	}
	if l.ExecutedRequests() != 3 {
		t.Fatalf("%d requests executed, want 3", l.ExecutedRequests())
	}
}

func TestSection4_5_ReportsTheWindowsOfTheBatchsClients(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.exec(group(t, "c", 1, ops(5)...))
	out := l.exec(group(t, "a", 1, ops(0, 3, 64)...), group(t, "b", 1, ops(300)...), group(t, "a", 2, ops(1)...))
	want := []consensus.Window{
		{Client: "a", Low: 0, Bits: []uint64{1<<0 | 1<<1 | 1<<3, 1}},
		{Client: "b", Low: 300 - 127, Bits: []uint64{1 << (300 % 64), 0}},
	}
	if got := out.Executed; got.N != 2 || !reflect.DeepEqual(got.Windows, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestSection4_7_Rule1_ClosedNumbersAreSkippedAsExpiredWithNZero(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.one("a", 7, 5, "x")
	l.one("a", 7, 200, "y") // low is 73
	for _, x := range []uint64{0, 5, 72} {
		wantOutcome(t, l.one("a", 7, x, "z"), crypto.StatusExpired, 0, "")
		r, _ := l.Lookup("a", 7, x)
		wantOutcome(t, r, crypto.StatusExpired, 0, "")
	}
	wantOutcome(t, l.one("a", 7, 73, "z"), crypto.StatusOK, 6, "z")
}

func TestSection4_7_Rule2_RepetitionsGetTheStoredReplyWithItsN(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.one("a", 7, 5, "first")
	out := l.exec(group(t, "a", 7, op{5, "other data"}, op{6, "six"}))
	wantOutcome(t, out.Blocks[0].Results[0], crypto.StatusOK, 1, "first")
	wantOutcome(t, out.Blocks[0].Results[1], crypto.StatusOK, 2, "six")
	if ran := l.ran(); ran[0] || !ran[1] {
		t.Fatal("only the second was executed now")
	}
}

func TestSection4_7_Rule2_AnotherSessionIsRejectedWithTheSameN(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.one("a", 7, 5, "first")
	l.one("a", 7, 6, "more")
	wantOutcome(t, l.one("a", 8, 5, "second"), crypto.StatusRejected, 1, "")
	wantOutcome(t, l.one("a", 7, 5, "first"), crypto.StatusOK, 1, "first")
	r, session := l.Lookup("a", 8, 5)
	wantOutcome(t, r, crypto.StatusRejected, 1, "")
	if session != 7 {
		t.Fatalf("session %d, want 7", session)
	}
	r, _ = l.Lookup("a", 0, 5) // any session
	wantOutcome(t, r, crypto.StatusOK, 1, "first")
	out := l.exec(group(t, "a", 7, ops(9)...), group(t, "a", 8, ops(9)...))
	wantOutcome(t, out.Blocks[1].Results[0], crypto.StatusRejected, 5, "")
}

func TestSection4_7_Rule2_RepetitionsInsideABatchGetItsResult(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	long := text(101) // becomes a tombstone in the table
	g := group(t, "a", 7, op{1, "one"}, op{2, long})
	out := l.exec(g, group(t, "b", 7, ops(1)...), g, g)
	got := out.Blocks[0]
	if len(out.Blocks) != 2 || len(got.Results) != 6 {
		t.Fatalf("%d blocks, %d results", len(out.Blocks), len(got.Results))
	}
	if ran, want := l.ran(), []bool{true, true, true, false, false, false, false}; !slices.Equal(ran, want) {
		t.Fatalf("executed %v, want %v", ran, want)
	}
	for i, r := range got.Results {
		wantOutcome(t, r, crypto.StatusOK, 1, []string{"one", long}[i%2])
	}
}

func TestSection4_7_Rule2_ANumberClosedByALaterRequestOfItsBatchIsAnsweredOnce(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	out := l.exec(group(t, "a", 7, op{1, "one"}), group(t, "a", 7, op{129, "far"}), group(t, "a", 7, op{1, "one"}))
	got := out.Blocks[0].Results
	wantOutcome(t, got[0], crypto.StatusOK, 1, "one")
	wantOutcome(t, got[1], crypto.StatusOK, 1, "far")
	wantOutcome(t, got[2], crypto.StatusExpired, 0, "")
	r, _ := l.Lookup("a", 7, 1)
	wantOutcome(t, r, crypto.StatusExpired, 0, "")
	if low, next := l.ClientInfo("a"); low != 2 || next != 130 {
		t.Fatalf("low %d next %d, want 2 and 130", low, next)
	}
}

func TestSection4_7_Rule3_TheWindowSlidesAndForgets(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.exec(group(t, "a", 7, ops(0, 1, 63, 64, 127)...))
	l.one("a", 7, 128, "x") // low is 1
	want := map[uint64]crypto.Status{0: crypto.StatusExpired, 1: crypto.StatusOK, 2: crypto.StatusNotExecuted, 63: crypto.StatusOK, 127: crypto.StatusOK, 128: crypto.StatusOK, 129: crypto.StatusNotExecuted, 1<<64 - 1: crypto.StatusNotExecuted}
	check := func() {
		t.Helper()
		for x, status := range want {
			if r, _ := l.Lookup("a", 7, x); r.Status != status {
				t.Errorf("%d: %s, want %s", x, r.Status, status)
			}
		}
	}
	check()
	l.one("a", 7, 191, "x") // low is 64
	want[1], want[63], want[64], want[191] = crypto.StatusExpired, crypto.StatusExpired, crypto.StatusOK, crypto.StatusOK
	want[2] = crypto.StatusExpired
	check()
}

func TestSection4_7_Rule3_AJumpIsAllowed(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.one("a", 7, 3, "x")
	wantOutcome(t, l.one("a", 8, crypto.MaxNumber, "y"), crypto.StatusOK, 2, "y")
	if low, next := l.ClientInfo("a"); low != crypto.MaxNumber-127 || next != crypto.MaxNumber+1 {
		t.Fatalf("low %d next %d", low, next)
	}
	wantOutcome(t, l.one("a", 7, 3, "x"), crypto.StatusExpired, 0, "")
}

func TestSection4_7_Rule4_InAnyOrderWithinTheWindow(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	for i := range uint64(128) {
		x := i * 77 % 128 // each once
		wantOutcome(t, l.one("a", 7, x, fmt.Sprint(x)), crypto.StatusOK, i+1, fmt.Sprint(x))
	}
	for x := range uint64(128) {
		r, _ := l.Lookup("a", 7, x)
		if string(r.Value) != fmt.Sprint(x) && !r.Tombstone {
			t.Fatalf("%d: %+v", x, r)
		}
	}
}

func TestSection4_7_ResultsAboveMaxCachedResultAreTombstones(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.ResultCache = 0 })
	wantOutcome(t, l.one("a", 7, 1, text(100)), crypto.StatusOK, 1, text(100))
	wantOutcome(t, l.one("a", 7, 2, text(101)), crypto.StatusOK, 2, text(101)) // the first answer is whole
	wantOutcome(t, l.one("a", 7, 1, text(100)), crypto.StatusOK, 1, text(100))
	wantTombstone(t, l.cfg.Cluster, l.one("a", 7, 2, text(101)), 2, text(101))
	r, _ := l.Lookup("a", 7, 2)
	wantTombstone(t, l.cfg.Cluster, r, 2, text(101))
}

func TestSection4_7_LowestNumbersBecomeTombstonesFirst(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.ResultCache, c.ReplyBytes = 0, 250 })
	l.one("a", 7, 70, text(100))
	l.one("a", 7, 2, text(100))
	l.one("a", 7, 9, "")        // empty: nothing to bury
	l.one("a", 7, 30, text(51)) // 251 bytes: 2 goes
	l.one("b", 7, 1, text(100)) // another client's bytes
	tombs := func(want ...uint64) {
		t.Helper()
		for x, size := range map[uint64]int{70: 100, 2: 100, 9: 0, 30: 51} {
			r, _ := l.Lookup("a", 7, x)
			if r.Tombstone != slices.Contains(want, x) || !r.Tombstone && len(r.Value) != size {
				t.Errorf("%d: tombstone %v, %d bytes", x, r.Tombstone, len(r.Value))
			}
		}
	}
	tombs(2)
	l.one("a", 7, 1, text(100)) // the newcomer itself is the lowest
	tombs(2)
	if r, _ := l.Lookup("a", 7, 1); !r.Tombstone {
		t.Error("1 is kept above its client's bytes")
	}
	l.one("a", 7, 100, text(100)) // 30 goes, 70 stays
	tombs(2, 30)
	if got := l.clients.byName["a"].bytes; got != 200 {
		t.Errorf("%d bytes counted, want 200", got)
	}
}

func TestSection4_7_SmallestLastExecutionThenIDIsEvicted(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.MaxClients = 3 })
	gone := func(out *Output) (names []string) {
		for _, w := range out.Executed.Windows {
			if w.Gone {
				names = append(names, w.Client)
			}
		}
		return names
	}
	l.exec(group(t, "z", 1, ops(1)...), group(t, "m", 1, ops(1)...), group(t, "b", 1, ops(1)...))
	l.exec(group(t, "b", 1, ops(2)...)) // b is younger now
	l.exec(group(t, "m", 1, ops(1)...)) // a repetition is no execution
	if got := gone(l.exec(group(t, "n1", 1, ops(1)...))); !slices.Equal(got, []string{"m"}) {
		t.Fatalf("evicted %q, want m before z", got)
	}
	if got := gone(l.exec(group(t, "n2", 1, ops(1)...), group(t, "n3", 1, ops(1)...))); !slices.Equal(got, []string{"z", "b"}) {
		t.Fatalf("evicted %q, want z, b", got)
	}
	if l.Clients() != 3 {
		t.Fatalf("%d clients, want 3", l.Clients())
	}
	r, _ := l.Lookup("z", 1, 1)
	wantOutcome(t, r, crypto.StatusNotExecuted, 0, "")
}

func TestSection4_7_AnEvictedClientStartsAnew(t *testing.T) {
	l := newLab(t, &echo{}, func(c *Config) { c.MaxClients = 1 })
	a, b := group(t, "a", 1, op{1, "x"}), group(t, "b", 1, op{1, "y"})
	out := l.exec(a, b, a) // evicted and back in one batch
	wantOutcome(t, out.Blocks[0].Results[1], crypto.StatusOK, 1, "x")
	var got []string
	for _, w := range out.Executed.Windows {
		got = append(got, fmt.Sprint(w.Client, w.Gone))
	}
	if want := []string{"atrue", "btrue", "afalse"}; !slices.Equal(got, want) {
		t.Fatalf("windows %q, want %q", got, want)
	}
	if !l.ran()[2] {
		t.Fatal("not executed again")
	}
}

func TestSection4_9_TheNullBatchChangesHistoryAndNumberOnly(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	before := l.exec(group(t, "a", 1, ops(1)...)).State
	out := l.Execute(&consensus.Exec{N: 2, TimeUS: l.timeUS, Digest: l.cfg.Cluster.NullDigest(0, 2), Checkpoint: true})
	after := *out.State
	if len(out.Blocks) != 0 || len(out.Executed.Windows) != 0 || out.Executed.N != 2 {
		t.Fatalf("got %+v", out)
	}
	if after.HistoryRoot == before.HistoryRoot || after.N != 2 || after.HistorySize != 2 {
		t.Fatalf("got %+v behind %+v", after, before)
	}
	after.N, after.HistoryRoot, after.HistorySize = before.N, before.HistoryRoot, before.HistorySize
	if after != *before {
		t.Fatalf("got %+v behind %+v", after, before)
	}
}

func TestSection4_9_TheEmptyBatchLeavesTime(t *testing.T) {
	app := &echo{}
	l := newLab(t, app, nil)
	before := l.exec(group(t, "a", 1, ops(1)...)).State
	x := l.next()
	out := l.Execute(x)
	if s := out.State; s.LastTimeUS != before.LastTimeUS || s.HistoryRoot == before.HistoryRoot || len(out.Blocks) != 0 || len(app.batches) != 1 {
		t.Fatalf("got %+v behind %+v", s, before)
	}
}

func TestSection3_5_OneBlockPerClientAndSessionInOrderOfFirstAppearance(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	l.one("b", 1, 1, "old")
	out := l.exec(
		group(t, "b", 2, op{2, "p"}), group(t, "a", 1, op{5, "q"}), group(t, "b", 1, op{1, "old"}, op{3, "r"}),
		group(t, "b", 2, op{4, "s"}), group(t, "a", 1, op{4, "t"}),
	)
	var got []string
	for _, b := range out.Blocks {
		line := fmt.Sprint(b.Client, b.Session, ":")
		list := []byte{}
		for i, r := range b.Results {
			line += fmt.Sprint(" ", r.Number, string(r.Value))
			list = crypto.AppendResult(list, b.Session, &b.Results[i])
		}
		if b.Digest != l.cfg.Cluster.BlockDigest(list) {
			t.Errorf("%s: the digest is not that of the list", line)
		}
		got = append(got, line)
	}
	if want := []string{"b2: 2p 4s", "a1: 5q 4t", "b1: 1old 3r"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestSection3_5_SinglesGoElsewhereThanToTheStreams(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	const url = "http://localhost/reply"
	g := crypto.Group{Client: "a", Session: 1, Origin: 3, Requests: []crypto.Request{
		{Number: 1, Kind: crypto.KindOperation, Op: []byte("x"), ClientTime: 9, ReplyURL: []byte(url)},
	}}
	posted := crypto.Group{Client: "a", Session: 1, Requests: []crypto.Request{
		{Number: 0, Kind: crypto.KindOperation, Op: []byte("y")},
		{Number: 1, Kind: crypto.KindOperation, Op: []byte("x"), ReplyURL: []byte(url)},
	}}
	singles := l.exec(view(t, &g), view(t, &posted)).Blocks[0].Singles
	if len(singles) != 2 {
		t.Fatalf("%+v, want one of each group", singles)
	}
	if x := singles[0]; x.Result != 0 || x.Origin != 3 || string(x.URL) != url || string(x.Op) != "x" || x.ClientTime != 9 || !x.Executed {
		t.Fatalf("got %+v", x)
	}
	if x := singles[1]; x.Result != 2 || x.Origin != 0 || string(x.URL) != url || x.Executed {
		t.Fatalf("got %+v", x)
	}
}

func TestOriginChangesNoStateButTheHistory(t *testing.T) {
	var roots [2]message.State
	for i := range roots {
		l := newLab(t, &echo{}, nil)
		g := group(t, "a", 1, ops(1)...)
		v, err := crypto.ParseGroup(g.WithOrigin(uint16(i)))
		if err != nil {
			t.Fatal(err)
		}
		roots[i] = *l.exec(v).State
		roots[i].HistoryRoot = crypto.Digest{} // the origin is in the batch digest
	}
	if roots[0] != roots[1] {
		t.Fatalf("got %+v and %+v", roots[0], roots[1])
	}
}

func TestOtherKindsUseTheirNumberUpWithoutTheApplication(t *testing.T) {
	app := &echo{}
	l := newLab(t, app, nil)
	g := crypto.Group{Client: "a", Session: 1}
	for i, k := range []crypto.Kind{crypto.KindRead, crypto.KindConfig, crypto.KindOperation, crypto.KindRejoin} {
		g.Requests = append(g.Requests, crypto.Request{Number: uint64(i), Kind: k, Op: []byte("x")})
	}
	for range 2 {
		out := l.exec(view(t, &g), view(t, &g))
		for i, r := range out.Blocks[0].Results {
			want, value := crypto.StatusRejected, ""
			if i%4 == 2 {
				want, value = crypto.StatusOK, "x"
			}
			wantOutcome(t, r, want, 1, value)
		}
	}
	if len(app.batches) != 1 || len(app.batches[0].Ops) != 1 || l.ExecutedRequests() != 1 {
		t.Fatal("the application got more than the operation")
	}
	if list, _ := l.Dump(0, 1000); len(list) != 1 {
		t.Fatalf("%d dumped, want 1", len(list))
	}
}

func TestWhatIsLookedUpOutlivesLaterBatches(t *testing.T) {
	l := newLab(t, &echo{}, nil)
	executed := l.exec(group(t, "a", 1, op{1, "first"})).Executed
	looked, _ := l.Lookup("a", 1, 1)
	for x := range uint64(1000) {
		l.one("a", 1, x+2, text(int(x%100)))
	}
	wantOutcome(t, looked, crypto.StatusOK, 1, "first")
	if w := executed.Windows; len(w) != 1 || w[0].Client != "a" || w[0].Low != 0 || w[0].Bits[0] != 2 {
		t.Errorf("windows of the first batch: %+v", w)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, edit := range []func(*Config){
		func(c *Config) { c.ClientWindow = 0 },
		func(c *Config) { c.ClientWindow = 65 },
		func(c *Config) { c.MaxClients = 0 },
		func(c *Config) { c.ReplyBytes = -1 },
		func(c *Config) { c.ReplyBytes = maxReplyBytes + 1 },
		func(c *Config) { c.MaxCachedResult = -1 },
	} {
		c := newLab(t, &echo{}, nil).cfg
		edit(&c)
		if _, err := New(c, &echo{}); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}
