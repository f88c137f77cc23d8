package consensus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// One test per rule of docs/protocol.md that the core holds, named after its
// section.

// lab is one replica under test among n; the others' words are put into its
// ear.
type lab struct {
	*node
	t *testing.T
	c *cluster
}

func newLab(t *testing.T, n, self int, edit func(*Config)) *lab {
	c := newCluster(t, n, edit)
	for i, nd := range c.nodes {
		nd.stopped = i != self
	}
	return &lab{node: c.nodes[self], t: t, c: c}
}

// hear steps one message and returns what the replica did, one line each.
func (l *lab) hear(from int, m message.Message) []string {
	return l.do(Input{Kind: InMessage, From: message.ReplicaID(from), Msg: m})
}

func (l *lab) do(in Input) []string {
	var lines []string
	l.c.trace = func(f string, args ...any) {
		if f == "%d: %s" {
			lines = append(lines, args[1].(string))
		}
	}
	l.step(in)
	l.flush()
	l.c.queue = nil
	return lines
}

func (l *lab) ticks(k int) (lines []string) {
	for range k {
		l.c.tick++
		l.c.wallUS += 10_000
		for i := range l.peers {
			l.peers[i].heardAt = l.c.tick // the others speak, of nothing that matters here
		}
		lines = append(lines, l.do(Input{Kind: InTick, Tick: l.c.tick, WallUS: l.c.wallUS})...)
	}
	return lines
}

func (l *lab) batch(n uint64, client string, numbers ...uint64) *message.Batch {
	return message.NewBatch(l.c.id, message.Header{N: n, WallUS: l.c.wallUS}, []crypto.GroupView{makeGroup(client, numbers...)})
}

func has(lines []string, part string) bool {
	for _, l := range lines {
		if strings.Contains(l, part) {
			return true
		}
	}
	return false
}

func (l *lab) want(lines []string, parts ...string) {
	l.t.Helper()
	for _, p := range parts {
		if !has(lines, p) {
			l.t.Fatalf("no %q in:\n%s", p, strings.Join(lines, "\n"))
		}
	}
}

func (l *lab) wantNone(lines []string, parts ...string) {
	l.t.Helper()
	for _, p := range parts {
		if has(lines, p) {
			l.t.Fatalf("unexpected %q in:\n%s", p, strings.Join(lines, "\n"))
		}
	}
}

func TestSection0_Quorums(t *testing.T) {
	f := map[int]int{1: 0, 4: 1, 5: 1, 6: 1, 7: 2, 8: 2, 9: 2, 10: 3, 13: 4}
	q := map[int]int{1: 1, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 13: 9}
	for n := 1; n <= message.MaxReplicas; n++ {
		if want, ok := f[n]; ok && (MaxFaulty(n) != want || Quorum(n) != q[n]) {
			t.Errorf("n=%d: f=%d q=%d, want %d and %d", n, MaxFaulty(n), Quorum(n), want, q[n])
		}
		f, q := MaxFaulty(n), Quorum(n)
		if n < 3*f+1 || 2*q-n < f+1 || q > n-f || q-f < f+1 || 2*(q-f) <= n-f {
			t.Errorf("n=%d: f=%d q=%d break Q1 to Q4", n, f, q)
		}
		if WeakQuorum(n) != f+1 {
			t.Errorf("n=%d: weak quorum %d", n, WeakQuorum(n))
		}
	}
}

func TestSection3_3_Rule1_OnlyThePrimaryOfTheViewProposes(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(2, &message.PrePrepare{Batch: l.batch(1, "a", 1)}), "not_primary")
	l.want(l.hear(0, &message.PrePrepare{View: 4, Batch: l.batch(1, "a", 1)}), "wrong_view")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 1)}), "send all: prepare v0 n1")
}

func TestSection3_3_Rule1_OnlyInStatusNormal(t *testing.T) {
	l := newLab(t, 4, 1, func(c *Config) { c.Fresh = true })
	out := l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 1)})
	l.want(out, "not_ready")
	l.wantNone(out, "prepare v0")
}

func TestSection3_3_Rule2_Watermarks(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(0, "a", 1)}), "outside_window")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(17, "a", 1)}), "outside_window")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(16, "a", 1)}), "prepare v0 n16")
}

func TestSection3_3_Rule3_NoFreshProposalBelowTop(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.top = 3
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(3, "a", 1)}), "below_top")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(4, "a", 1)}), "prepare v0 n4")
}

func TestSection3_3_Rule4_FirstDigestWins(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 1)})
	out := l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 2)})
	l.want(out, "equivocation of 0 at n1")
	l.wantNone(out, "send")
	l.wantNone(l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 1)}), "send", "persist")
}

func TestSection3_3_Rule5_Epoch(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := message.NewBatch(l.c.id, message.Header{Epoch: 1, N: 1, WallUS: l.c.wallUS}, []crypto.GroupView{makeGroup("a", 1)})
	l.want(l.hear(0, &message.PrePrepare{Batch: b}), "bad_batch")
}

func TestSection3_3_Rule6_ExecutedRequestsAreAllowed(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.commit(1, l.batch(1, "a", 1))
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(2, "a", 1, 2)}), "prepare v0 n2")
	if l.commit(2, l.batch(2, "a", 1, 2)); l.done["a#1"] != 1 || l.done["a#2"] != 1 {
		t.Fatalf("executed %v", l.done)
	}
}

func TestSection3_3_Rule7_ClockDrift(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	for _, us := range []int64{5_000_001, -5_000_001} {
		b := message.NewBatch(l.c.id, message.Header{N: 1, WallUS: l.c.wallUS + us}, []crypto.GroupView{makeGroup("a", 1)})
		l.want(l.hear(0, &message.PrePrepare{Batch: b}), "clock_skew", "clock skew to 0")
	}
}

func TestSection3_3_Rule7_SkippedUnderAmplification(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := message.NewBatch(l.c.id, message.Header{N: 1, WallUS: l.c.wallUS + 1e9}, []crypto.GroupView{makeGroup("a", 1)})
	l.hear(2, &message.Prepare{N: 1, Digest: b.Digest})
	l.hear(3, &message.Prepare{N: 1, Digest: b.Digest})
	l.want(l.ticks(11), "fetch-body")
	l.want(l.hear(3, &message.Body{Batch: b}), "prepare v0 n1")
}

func TestSection3_3_Rule8_FreshDigestsPerNumber(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	s := l.slot(1)
	s.q = []qEntry{{digest: crypto.Digest{1}}, {digest: crypto.Digest{2}}}
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 1)}), "too_many_fresh")
	b := l.batch(1, "a", 2)
	s.q[0].digest = b.Digest
	l.want(l.hear(0, &message.PrePrepare{Batch: b}), "prepare v0 n1")
}

func TestSection3_3_Rule8_BytesOfTheView(t *testing.T) {
	l := newLab(t, 4, 1, func(c *Config) { c.WindowBytes = 150 })
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(1, "a", 1)}), "prepare v0 n1")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(2, "a", 2)}), "prepare v0 n2")
	l.want(l.hear(0, &message.PrePrepare{Batch: l.batch(3, "a", 3)}), "window_bytes")
}

func TestSection3_4_OneVotePerSenderTheHighestViewWins(t *testing.T) {
	votes := make([]ballot, 4)
	d1, d2 := crypto.Digest{1}, crypto.Digest{2}
	for _, step := range []struct {
		v    ballot
		want Reason
	}{{ballot{2, d1}, OK}, {ballot{2, d1}, StaleVote}, {ballot{2, d2}, Equivocation}, {ballot{1, d2}, StaleVote}, {ballot{3, d2}, OK}, {ballot{2, d1}, StaleVote}} {
		if got := store(votes, 1, step.v); got != step.want {
			t.Errorf("%+v: %s, want %s", step.v, got, step.want)
		}
	}
	if votes[1] != (ballot{3, d2}) {
		t.Errorf("kept %+v", votes[1])
	}
}

func TestSection3_4_VotesOfOneSenderCountOnce(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	l.hear(0, &message.PrePrepare{Batch: b})
	for range 5 {
		l.wantNone(l.hear(2, &message.Prepare{N: 1, Digest: b.Digest}), "commit")
	}
	l.want(l.hear(3, &message.Prepare{N: 1, Digest: b.Digest}), "commit v0 n1")
}

func TestSection3_4_VotesOutsideTheWindowAreRefused(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(2, &message.Prepare{N: 17}), "outside_window")
	l.want(l.hear(2, &message.Commit{N: 1 << 60}), "outside_window")
}

func TestSection3_4_HigherViewIsStoredNotActedUpon(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	l.hear(0, &message.PrePrepare{Batch: b})
	l.hear(2, &message.Prepare{View: 1, N: 1, Digest: b.Digest})
	l.wantNone(l.hear(3, &message.Prepare{View: 1, N: 1, Digest: b.Digest}), "commit")
}

func TestSection3_FromSelfIsRefused(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(1, &message.Prepare{N: 1}), "from_self")
	l.want(l.hear(7, &message.Prepare{N: 1}), "from_self")
}

func TestSection4_1_2_ExecutedRequestIsAnsweredNotOrderedAgain(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.commit(1, l.batch(1, "a", 1))
	out := l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Source: Source{Alone: true, JSON: true}, Ticket: 9})
	l.want(out, "resend a#1 ticket=9", "admitted ticket=9 ok", "send all: relay a#1 count=1 watch=false answer=true")
	if l.pend.requests != 0 {
		t.Fatal("queued an executed request")
	}
}

func TestSection4_1_2_ClosedNumberIsAnswered(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.commit(1, l.batch(1, "a", 500))
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 3), Ticket: 9}), "resend a#3")
}

func TestSection4_1_3_PendingRequestIsNotQueuedTwice(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Source: Source{Alone: true}})
	out := l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Source: Source{Alone: true}})
	l.want(out, "relay a#1 count=1 watch=true")
	if l.pend.requests != 1 {
		t.Fatalf("%d requests pending", l.pend.requests)
	}
}

func TestSection4_1_4_ClientWindow(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 10), Ticket: 1})
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 74), Ticket: 2}), "admitted ticket=2 window_exceeded")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 73), Ticket: 3}), "admitted ticket=3 ok")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("b", 74), Ticket: 4}), "admitted ticket=4 ok")
}

func TestSection4_1_4_Quotas(t *testing.T) {
	l := newLab(t, 4, 1, func(c *Config) { c.MaxPending = 8; c.ClientPendingBytes = 120 })
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Ticket: 1}), "ok")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 2), Ticket: 2}), "ok")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 3), Ticket: 3}), "client_quota")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("b", 1), Ticket: 4}), "overloaded") // a backup admits one share
	l.hear(2, &message.Relay{Group: makeGroup("c", 1, 2)})
	l.want(l.hear(2, &message.Relay{Group: makeGroup("c", 3)}), "peer_quota")
	l.wantNone(l.hear(3, &message.Relay{Group: makeGroup("d", 3)}), "peer_quota")
}

func TestSection4_1_4_GroupThatFitsNoBatchIsRefused(t *testing.T) {
	l := newLab(t, 4, 0, func(c *Config) { c.Limits.MaxBatchBytes = message.BodySize(ptr(makeGroup("a", 1))) })
	large := makeGroup("a", 1, 2)
	l.want(l.hear(2, &message.Relay{Group: large}), "bad_request")
	l.want(l.do(Input{Kind: InRequest, Group: large, Ticket: 1}), "admitted ticket=1 bad_request")
	if l.lastProposed != 0 {
		t.Fatal("proposed what every backup must refuse")
	}
	l.want(l.hear(2, &message.Relay{Group: makeGroup("a", 1)}), "pre-prepare v0 n1")
}

func ptr[T any](v T) *T { return &v }

func TestSection4_1_5_BackupRelaysWhatCameToItAlone(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Source: Source{Alone: true}}), "send 0: relay a#1 count=1 watch=false")
	l.wantNone(l.do(Input{Kind: InRequest, Group: makeGroup("a", 2)}), "relay")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 3), Source: Source{Retry: true}}), "send 0: relay a#3", "send all: relay a#3 count=1 watch=true")
}

func TestSection4_1_5_WatchedRelayIsPassedOnOnceAndWatched(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(2, &message.Relay{Group: makeGroup("a", 1), Watch: true}), "send 0: relay a#1 count=1 watch=false")
	l.wantNone(l.hear(3, &message.Relay{Group: makeGroup("a", 1), Watch: true}), "relay")
	if l.pend.watched.Len() != 1 {
		t.Fatal("not watched")
	}
	l.hear(2, &message.Relay{Group: makeGroup("b", 1)})
	if l.pend.watched.Len() != 1 {
		t.Fatal("a relay without the flag is watched")
	}
}

func TestSection4_1_5_RelayOfExecutedRequestIsAnswered(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.commit(1, l.batch(1, "a", 1))
	l.want(l.hear(2, &message.Relay{Group: makeGroup("a", 1)}), "resend a#1 ticket=0 peer=2")
}

func TestSection4_2_OneBatchGathersWhileOneIsOnItsWay(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 1)}), "pre-prepare v0 n1")
	l.wantNone(l.do(Input{Kind: InRequest, Group: makeGroup("a", 2)}), "pre-prepare")
	l.wantNone(l.do(Input{Kind: InRequest, Group: makeGroup("b", 1)}), "pre-prepare")
	d := l.slot(1).digest
	for _, from := range []int{1, 2} {
		l.hear(from, &message.Prepare{N: 1, Digest: d})
	}
	l.hear(1, &message.Commit{N: 1, Digest: d})
	l.want(l.hear(2, &message.Commit{N: 1, Digest: d}), "pre-prepare v0 n2", "count=2")
}

func TestSection4_2_FullBatchesGoUpToThePipeline(t *testing.T) {
	l := newLab(t, 4, 0, func(c *Config) { c.Limits.MaxBatch = 1; c.Pipeline = 3 })
	for x := range uint64(6) {
		l.do(Input{Kind: InRequest, Group: makeGroup("a", x)})
	}
	if l.lastProposed != 3 {
		t.Fatalf("proposed up to %d, pipeline is 3", l.lastProposed)
	}
}

func TestSection4_2_PrimaryVotesExplicitlyOnceDurable(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	l.c.manual = true
	l.step(Input{Kind: InRequest, Group: makeGroup("a", 1)})
	l.step(Input{Kind: InFlush})
	out := l.out
	lines := out.Describe()
	l.want(lines, "send all: pre-prepare v0 n1", "send all: prepare v0 n1")
	for _, s := range out.Sends {
		if _, vote := s.Msg.(*message.Prepare); vote && (s.After != out.K || s.Gen == 0) {
			t.Fatalf("prepare leaves after k%d, the record is k%d", s.After, out.K)
		}
	}
	l.slot(1).prepares[1], l.slot(1).prepares[2] = ballot{1, l.slot(1).digest}, ballot{1, l.slot(1).digest}
	if l.isPrepared(l.slot(1)) {
		t.Fatal("own prepare counts before its record is durable")
	}
}

// TestSection4_2_UrgedFirstWithinTheirClient: among clients it is turn by turn,
// whatever they urge. (Found by the simulator, L7.)
func TestSection4_2_UrgedFirstWithinTheirClient(t *testing.T) {
	l := newLab(t, 4, 0, func(c *Config) { c.Limits.MaxBatch, c.ClientWindow = 300, 1024 })
	l.do(Input{Kind: InRequest, Group: makeGroup("x", 1)}) // in flight
	for x := range uint64(200) {
		l.step(Input{Kind: InRequest, Group: makeGroup("flood", x), Source: Source{Retry: true}})
	}
	l.step(Input{Kind: InRequest, Group: makeGroup("a", 1)})
	l.step(Input{Kind: InRequest, Group: makeGroup("a", 2), Source: Source{Retry: true}})
	l.step(Input{Kind: InRequest, Group: makeGroup("b", 1)})
	l.lastCommitted = l.lastProposed // as if it were
	var out Effects
	l.Replica.out = &out
	place := map[string]int{}
	for i, g := range l.gather() {
		if name := fmt.Sprint(string(g.Client), g.FirstNumber()); place[name] == 0 {
			place[name] = i + 1
		}
	}
	if place["a2"] == 0 || place["a2"] > place["a1"] {
		t.Fatalf("urged 2 at %d, 1 at %d", place["a2"], place["a1"])
	}
	if last := place["flood199"]; place["b1"] == 0 || place["b1"] > last {
		t.Fatalf("b at %d, the end of the flood at %d", place["b1"], last)
	}
}

func TestSection3_3_APrimaryProposesAgainWhereItMayAcceptNoOther(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	var last crypto.Digest
	for view := range uint64(2) { // two batches at 1 that were not ordered
		l.do(Input{Kind: InRequest, Group: makeGroup("a", view+1)})
		s := l.slot(1)
		last = s.digest
		s.leaveView()
		l.freshBytes, l.lastProposed = 0, 0
		l.view, l.views.asked = 4*(view+1), 4*(view+1)
	}
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 3)}), fmt.Sprintf("send all: pre-prepare v8 n1 %s", last))
	if s := l.slot(1); s.fresh() != M {
		t.Fatalf("%d fresh digests", s.fresh())
	}
}

func TestSection4_2_AFloodingClientDelaysNobodyElse(t *testing.T) {
	l := newLab(t, 4, 0, func(c *Config) { c.Limits.MaxBatch, c.ClientWindow = 300, 1024 })
	l.do(Input{Kind: InRequest, Group: makeGroup("x", 1)}) // in flight
	for x := range uint64(900) {
		l.step(Input{Kind: InRequest, Group: makeGroup("flood", x)})
	}
	for i := range 20 {
		l.step(Input{Kind: InRequest, Group: makeGroup(fmt.Sprint("client ", i), 1)})
	}
	var batches []map[string]int
	var out Effects
	l.Replica.out = &out
	for range 2 {
		l.lastCommitted = l.lastProposed // as if it were
		clients := map[string]int{}
		for _, g := range l.gather() {
			clients[string(g.Client)]++
		}
		batches = append(batches, clients)
		l.lastProposed++
	}
	if len(batches[0]) != 21 || batches[0]["flood"] != 280 {
		t.Fatalf("the next batch holds %d of the flood and %d clients, want all 21", batches[0]["flood"], len(batches[0]))
	}
	if batches[1]["flood"] != 300 {
		t.Fatalf("then %v, want what is left of the flood", batches[1])
	}
}

func TestSection4_3_BodyIsRecordedBeforeThePrepare(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.c.manual = true
	b := l.batch(1, "a", 1)
	l.step(Input{Kind: InMessage, From: 0, Msg: &message.PrePrepare{Batch: b}})
	rec := l.out.Records[0]
	if rec.Kind != RecAccept || rec.Batch != b || l.out.Sends[0].After != l.out.K || l.out.K == 0 {
		t.Fatalf("effects: %v", l.out.Describe())
	}
}

func TestSection4_4_CommitLeavesAfterItsRecord(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	l.hear(0, &message.PrePrepare{Batch: b})
	l.hear(0, &message.Prepare{N: 1, Digest: b.Digest})
	l.c.manual = true
	l.step(Input{Kind: InMessage, From: 2, Msg: &message.Prepare{N: 1, Digest: b.Digest}})
	out := &l.out
	if last := out.Records[len(out.Records)-1]; last.Kind != RecPrepared || len(out.Sends) != 1 || out.Sends[0].After != out.K {
		t.Fatalf("effects: %v", out.Describe())
	}
}

func TestSection4_4_OwnCommitCountsOnceDurable(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	l.hear(0, &message.PrePrepare{Batch: b})
	l.hear(0, &message.Prepare{N: 1, Digest: b.Digest})
	l.c.manual = true
	l.step(Input{Kind: InMessage, From: 2, Msg: &message.Prepare{N: 1, Digest: b.Digest}})
	l.step(Input{Kind: InMessage, From: 0, Msg: &message.Commit{N: 1, Digest: b.Digest}})
	l.step(Input{Kind: InMessage, From: 2, Msg: &message.Commit{N: 1, Digest: b.Digest}})
	if l.slot(1).committed {
		t.Fatal("committed with an own commit that a crash could undo")
	}
	l.step(Input{Kind: InDurable, K: l.out.K})
	if !l.slot(1).committed {
		t.Fatal("not committed with a durable quorum")
	}
}

func TestSection4_4_AmplificationNeedsFPlus1(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	l.hear(2, &message.Prepare{N: 1, Digest: b.Digest})
	l.wantNone(l.ticks(15), "fetch-body")
	l.hear(3, &message.Prepare{N: 1, Digest: b.Digest})
	l.want(l.ticks(11), "send 2: fetch-body")
	l.want(l.ticks(11), "send 3: fetch-body")
	l.want(l.hear(3, &message.Body{Batch: b}), "persist", "prepare v0 n1")
}

func TestSection4_4_UnsolicitedBodyIsRefused(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(3, &message.Body{Batch: l.batch(1, "a", 1)}), "unsolicited")
}

func TestSection4_4_CommittedA_WithoutBeingPrepared(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	for _, from := range []int{0, 2, 3} {
		l.hear(from, &message.Commit{N: 1, Digest: b.Digest})
	}
	l.want(l.ticks(11), "fetch-body")
	l.want(l.hear(0, &message.Body{Batch: b}), "execute n1")
}

func TestSection4_4_CommittedA_NeedsOneViewAndOneDigest(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.hear(0, &message.Commit{N: 1, Digest: crypto.Digest{1}})
	l.hear(2, &message.Commit{N: 1, Digest: crypto.Digest{2}})
	l.hear(3, &message.Commit{View: 1, N: 1, Digest: crypto.Digest{1}})
	if l.slot(1).committed {
		t.Fatal("committed by votes that do not match")
	}
}

func TestSection4_4_CommittedB_NeedsFPlus1DistinctReplicas(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	b := l.batch(1, "a", 1)
	claim := &message.Committed{Entries: []message.NDigest{{N: 1, Digest: b.Digest}}}
	l.hear(3, claim)
	l.hear(3, claim)
	if l.slot(1).committed {
		t.Fatal("committed on one replica's word")
	}
	l.hear(2, claim)
	if !l.slot(1).committed {
		t.Fatal("not committed on f+1 statements")
	}
}

func TestSection4_5_StrictlyInOrder(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.commit(2, l.batch(2, "a", 2))
	if len(l.executed) != 0 {
		t.Fatal("executed over a gap")
	}
	l.commit(1, l.batch(1, "a", 1))
	if len(l.executed) != 2 || l.executed[0].N != 1 || l.executed[1].N != 2 {
		t.Fatalf("executed %v", l.executed)
	}
}

func TestSection4_5_ContradictionHalts(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.commit(1, l.batch(1, "a", 1))
	other := &message.Committed{Entries: []message.NDigest{{N: 1, Digest: crypto.Digest{9}}}}
	l.hear(2, other)
	out := l.hear(3, other)
	l.want(out, "halt: agreement violated at 1")
	l.wantNone(l.hear(0, &message.PrePrepare{Batch: l.batch(2, "a", 2)}), "send")
}

func TestSection4_6_TimeIsMonotoneWhateverPrimariesPropose(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	for i, us := range []int64{5, 3, 3, 9} {
		n := uint64(i + 1)
		l.commit(n, message.NewBatch(l.c.id, message.Header{N: n, WallUS: us}, []crypto.GroupView{makeGroup("a", n)}))
	}
	l.commit(5, message.NewBatch(l.c.id, message.Header{N: 5, WallUS: 99}, nil))
	for i, want := range []int64{5, 6, 7, 9, 9} {
		if got := l.executed[i].TimeUS; got != want {
			t.Errorf("time of batch %d is %d, want %d", i+1, got, want)
		}
	}
}

func TestSection4_9_NullBatchNeedsNoBody(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	null := l.c.id.NullDigest(0, 1)
	for _, from := range []int{0, 2, 3} {
		l.hear(from, &message.Commit{N: 1, Digest: null})
	}
	if len(l.executed) != 1 || l.executed[0].Batch != nil {
		t.Fatalf("executed %v", l.executed)
	}
}

// commit makes a batch committed at the lab's replica by the others' votes.
func (l *lab) commit(n uint64, b *message.Batch) {
	for from := range l.Replica.c.N {
		if from != int(l.Replica.c.Self) {
			l.hear(from, &message.Commit{N: n, Digest: b.Digest})
		}
	}
	if s := l.peek(n); s != nil && s.body(b.Digest) == nil {
		l.hear(0, &message.Body{Batch: b})
	}
}

// vote signs a checkpoint vote of another replica.
func (l *lab) vote(from int, n uint64, d crypto.Digest) *message.Checkpoint {
	m := &message.Checkpoint{Replica: message.ReplicaID(from), Incarnation: 1, N: n, Digest: d}
	m.Signature = testSigner(l.c.id, from)(crypto.TagCheckpoint, m.AppendSigned(nil))
	return m
}

func (l *lab) run(from, to uint64) {
	for n := from; n <= to; n++ {
		l.commit(n, l.batch(n, "a", n))
	}
}

func TestSection6_1_CheckpointVoteAtEachInterval(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	var lines []string
	l.run(1, 3)
	l.c.trace = func(string, ...any) {}
	l.commit(4, l.batch(4, "a", 4))
	v := l.ckpt.at(4)
	if v.own == nil || v.votes[1] != v.own {
		t.Fatalf("no own vote at 4: %v", lines)
	}
}

func TestSection6_2_StableAtAQuorumOfEqualVotes(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.run(1, 5)
	d := l.ckpt.at(4).own.Digest
	l.hear(2, l.vote(2, 4, d))
	l.hear(2, l.vote(2, 4, d))
	l.hear(0, l.vote(0, 4, crypto.Digest{8}))
	if l.h != 0 {
		t.Fatal("stable without a quorum of equal votes")
	}
	l.want(l.hear(3, l.vote(3, 4, d)), "persist", "stable n4")
	if l.h != 4 || l.peek(4) != nil || l.peek(5) == nil {
		t.Fatalf("h=%d, slot 4 %v, slot 5 %v", l.h, l.peek(4), l.peek(5))
	}
	if c := l.Certificate(); len(c.Votes) != 3 || c.N() != 4 {
		t.Fatalf("certificate %+v", c)
	}
}

func TestSection6_2_NoVoteBetweenBoundaries(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.want(l.hear(2, l.vote(2, 3, crypto.Digest{1})), "not_boundary")
}

func TestSection6_3_OwnStateThatDiffersStopsAnswersAndVotes(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.run(1, 4)
	for _, i := range []int{0, 2} {
		l.hear(i, l.vote(i, 4, crypto.Digest{7}))
	}
	l.want(l.hear(3, l.vote(3, 4, crypto.Digest{7})), "diverged")
	l.commit(5, l.batch(5, "a", 5))
	if x := l.executed[4]; x.Answer {
		t.Fatal("a diverged replica answers clients")
	}
	if s := l.slot(5); !s.committed {
		t.Fatal("a diverged replica stopped learning")
	}
}

func TestSection6_3_SplitIsReported(t *testing.T) {
	l := newLab(t, 4, 1, nil)
	l.run(1, 4)
	l.hear(0, l.vote(0, 4, crypto.Digest{1}))
	l.want(l.hear(2, l.vote(2, 4, crypto.Digest{2})), "split at n4")
}

func TestSection6_6_PrimaryStopsAtTheHighWatermark(t *testing.T) {
	l := newLab(t, 4, 0, func(c *Config) { c.Limits.MaxBatch = 1; c.Pipeline = 12 })
	for n := uint64(1); n <= 20; n++ {
		l.do(Input{Kind: InRequest, Group: makeGroup("a", n)})
		if s := l.peek(n); s != nil && s.accepted {
			for _, from := range []int{1, 2, 3} {
				l.hear(from, &message.Commit{N: n, Digest: s.digest})
			}
		}
	}
	if l.lastProposed != 16 || l.lastExec != 16 {
		t.Fatalf("proposed %d, executed %d, high watermark is 16", l.lastProposed, l.lastExec)
	}
}

func TestSection5_6_NewReplicaTakesPartOnceAQuorumSawNoVoteOfIt(t *testing.T) {
	l := newLab(t, 4, 1, func(c *Config) { c.Fresh = true })
	l.want(l.ticks(12), "send 0: status", "starting")
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Ticket: 1}), "not_ready")
	l.wantNone(l.hear(0, &message.Status{Status: message.Normal}), "event status")
	l.want(l.hear(2, &message.Status{Status: message.Normal}), "event status normal")
}

func TestSection5_6_ReplicaThatWasSeenVotingStaysSilent(t *testing.T) {
	l := newLab(t, 4, 1, func(c *Config) { c.Fresh = true })
	l.hear(0, &message.Status{SeenYou: true})
	l.want(l.hear(3, &message.Status{SeenYou: true}), "event status learner")
	b := l.batch(1, "a", 1)
	l.wantNone(l.hear(0, &message.PrePrepare{Batch: b}), "send", "persist")
	l.commit(1, b)
	if len(l.executed) != 1 || l.executed[0].Answer {
		t.Fatal("a learner follows, and answers nobody")
	}
}

func TestSection5_6_OneLiarRetiresNobody(t *testing.T) {
	l := newLab(t, 4, 1, func(c *Config) { c.Fresh = true })
	l.hear(0, &message.Status{SeenYou: true})
	l.hear(2, &message.Status{})
	l.want(l.hear(3, &message.Status{}), "event status normal")
}

func TestSection7_2_SoftExpiryRepeatsAtDoublingIntervals(t *testing.T) {
	l := newLab(t, 4, 1, nil) // timeout 200 ticks, first repetition 10, at most 50
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 1), Source: Source{Alone: true}})
	var at []uint64
	for range 300 {
		if has(l.ticks(1), "fetch-committed") {
			at = append(at, l.c.tick)
		}
	}
	want := []uint64{100, 110, 130, 170, 220, 270}
	if len(at) != len(want) {
		t.Fatalf("soft expiries at %v, want %v", at, want)
	}
	for i := range want {
		if at[i] != want[i] {
			t.Fatalf("soft expiries at %v, want %v", at, want)
		}
	}
}

// TestSection5_2_NoProposalBeforeTheMarkIsDurable: not even when a peer's status
// says that it lacks it. (Found by the simulator, seed 2.)
func TestSection5_2_NoProposalBeforeTheMarkIsDurable(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	l.c.manual = true
	l.want(l.do(Input{Kind: InRequest, Group: makeGroup("a", 1)}), "send all: pre-prepare v0 n1", "after k1")
	l.wantNone(l.hear(2, &message.Status{Status: message.Normal}), "pre-prepare")
	l.do(Input{Kind: InDurable, K: 1})
	l.want(l.hear(3, &message.Status{Status: message.Normal}), "send 3: pre-prepare v0 n1")
}

func TestSection3_9_StatusIsAnsweredWithWhatThePeerLacks(t *testing.T) {
	l := newLab(t, 4, 0, nil)
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 1)})
	d := l.slot(1).digest
	l.want(l.hear(2, &message.Status{Status: message.Normal}), "send 2: pre-prepare v0 n1", "send 2: prepare v0 n1")
	l.hear(1, &message.Prepare{N: 1, Digest: d})
	l.hear(3, &message.Prepare{N: 1, Digest: d})
	out := l.hear(2, &message.Status{Status: message.Normal, HasBody: 1, Prepared: 1})
	l.want(out, "send 2: commit v0 n1")
	l.wantNone(out, "pre-prepare", "send 2: prepare")
	l.hear(1, &message.Commit{N: 1, Digest: d})
	l.hear(3, &message.Commit{N: 1, Digest: d})
	l.want(l.hear(2, &message.Status{Status: message.Normal, HasBody: 1, Prepared: 1}), "send 2: committed 1:")
}

func TestSection3_9_AnswersStayWithinTheBudget(t *testing.T) {
	l := newLab(t, 4, 0, func(c *Config) { c.StatusBudget = 100 })
	l.do(Input{Kind: InRequest, Group: makeGroup("a", 1)})
	l.want(l.hear(2, &message.Status{}), "pre-prepare")
	l.wantNone(l.hear(2, &message.Status{}), "pre-prepare")
	l.ticks(60)
	l.want(l.hear(2, &message.Status{}), "pre-prepare")
}
