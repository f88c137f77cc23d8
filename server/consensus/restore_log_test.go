package consensus

import (
	"fmt"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// recovered takes records and begins the life of the replica that they make.
func recovered(t *testing.T, at Restored, log ...Record) (*Replica, *Effects) {
	t.Helper()
	cfg := testConfig(4, 1)
	y, err := NewRecovery(cfg, testSigner(crypto.ClusterID{1}, 1), at)
	for i := range log {
		if err == nil {
			err = y.Take(&log[i])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r, out := y.Replica(), &Effects{}
	r.Step(&Input{Kind: InStart}, out)
	return r, out
}

func batchAt(n uint64, op string) *message.Batch {
	g := crypto.Group{Client: "c", Session: 1, Requests: []crypto.Request{{Number: n, Kind: crypto.KindOperation, Op: []byte(op), ClientTime: crypto.NoClientTime}}}
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		panic(err)
	}
	return message.NewBatch(testConfig(4, 1).Cluster, message.Header{N: n, WallUS: int64(n)}, []crypto.GroupView{v})
}

// TestSection5_5_VotesAboveWhatIsCommittedAreBack (I5): with gaps below them, too.
func TestSection5_5_VotesAboveWhatIsCommittedAreBack(t *testing.T) {
	b := batchAt(3, "a")
	r, _ := recovered(
		t, Restored{}, Record{Kind: RecJoined},
		Record{Kind: RecAccept, N: 3, Digest: b.Digest, Batch: b}, Record{Kind: RecPrepared, N: 3, Digest: b.Digest},
	)
	s := r.peek(3)
	if s == nil || !s.accepted || s.digest != b.Digest || !s.prepared {
		t.Fatalf("the slot of 3 is %+v, want accepted and prepared", s)
	}
	r.status = message.Normal
	if why := r.admitBatch(batchAt(3, "b"), false); why != Equivocation {
		t.Errorf("another batch at 3 is %s, want equivocation", why)
	}
}

// TestSection5_5_AMissingBodyIsAskedFor: the crash came between a commit and the
// body that it is about.
func TestSection5_5_AMissingBodyIsAskedFor(t *testing.T) {
	r, _ := recovered(t, Restored{}, Record{Kind: RecJoined}, Record{Kind: RecCommitted, N: 1, Digest: crypto.Digest{1}})
	out := &Effects{}
	r.Step(&Input{Kind: InTick, Tick: 1000}, out)
	for _, s := range out.Sends {
		if f, ok := s.Msg.(*message.FetchBody); ok && f.Digests[0] == (crypto.Digest{1}) {
			return
		}
	}
	t.Errorf("nobody is asked for the body: %v", out.Sends)
}

// TestSection9_1_NobodyIsLateWhoIsNotThere: all were killed, and the others take
// longer to start. What they have is waited for from when they answer: a state
// that is fetched leaves a gap in the history.
func TestSection9_1_NobodyIsLateWhoIsNotThere(t *testing.T) {
	n := testConfig(4, 1).Window
	c := &message.Certificate{Votes: []message.Checkpoint{{N: n}}}
	r, _ := recovered(t, Restored{}, Record{Kind: RecJoined}, Record{Kind: RecStable, N: n, Certificate: c})
	alone := 10 * r.c.Timeout
	ticks := func(from, to uint64) (installs bool) {
		for k := from; k <= to; k++ {
			out := &Effects{}
			r.Step(&Input{Kind: InTick, Tick: k}, out)
			installs = installs || out.Install != nil
		}
		return installs
	}
	if ticks(1, alone) {
		t.Error("fetches a state, and nobody was asked yet")
	}
	r.status = message.Normal
	if soon := r.c.Timeout / 3; ticks(alone+1, alone+soon) {
		t.Errorf("fetches a state within %d ticks of its start", soon)
	}
	if !ticks(alone+r.c.Timeout/3, alone+2*r.c.Timeout) {
		t.Error("never fetches the state that nobody gives the way to")
	}
}

// TestSection6_1_TheLogAloneGivesAStateBack: the state on disk may be many windows
// behind the low watermark, and the votes for all checkpoints in between rest on
// the log.
func TestSection6_1_TheLogAloneGivesAStateBack(t *testing.T) {
	cfg := testConfig(4, 1)
	null := cfg.Cluster.NullDigest(cfg.Epoch, 7)
	last := 4*cfg.Window + 1
	log := []Record{{Kind: RecJoined}}
	for n := uint64(1); n <= last; n++ {
		b := batchAt(n, fmt.Sprint(n))
		accept := Record{Kind: RecAccept, N: n, Digest: b.Digest, Batch: b}
		commit := Record{Kind: RecCommitted, N: n, Digest: b.Digest}
		if n == 7 {
			accept.Digest, accept.Batch, commit.Digest = null, nil, null
		}
		log = append(log, accept, commit)
		if n%cfg.Window == 0 {
			c := &message.Certificate{Votes: []message.Checkpoint{{N: n}}}
			log = append(log, Record{Kind: RecStable, N: n, Certificate: c})
		}
	}
	r, out := recovered(t, Restored{N: 2, LastTimeUS: 2}, log...)
	if r.execSent != last {
		t.Errorf("handed out up to %d, want %d", r.execSent, last)
	}
	for i, x := range out.Execs {
		n := uint64(3 + i)
		if x.N != n || x.Answer || (x.Batch == nil) != (n == 7) || n != 7 && x.TimeUS != int64(n) || x.Checkpoint != (n%cfg.Interval == 0) {
			t.Errorf("execution %d is of %d: %+v", i, x.N, x)
		}
	}
	if got, want := uint64(len(out.Execs)), last-2; got != want {
		t.Errorf("%d batches are executed again, want %d", got, want)
	}
	for _, x := range out.Execs {
		r.Step(&Input{Kind: InExecuted, Executed: &Executed{N: x.N}}, &Effects{})
	}
	if err := r.CheckInvariants(); err != nil || r.lastExec != last {
		t.Errorf("executed %d, %v", r.lastExec, err)
	}
}
