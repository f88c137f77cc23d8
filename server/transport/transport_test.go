package transport

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// everyMessageOf is everyMessage with replies of one replica, which nobody
// else may send.
func everyMessageOf(from int) []message.Message {
	all := everyMessage()
	for _, m := range all {
		if r, ok := m.(*message.Reply); ok {
			r.Replica = message.ReplicaID(from)
		}
	}
	return all
}

func isBody(m message.Message) bool { return classOf(m) == bodies }

func TestFourReplicasExchangeEveryMessage(t *testing.T) {
	nodes := cluster(t, 4)
	for i, n := range nodes {
		for _, m := range everyMessageOf(i) {
			n.Broadcast(m)
		}
	}
	for i, n := range nodes {
		// Order holds within a stream: bodies have their own.
		got, gotBodies := make([][]message.Message, 4), make([][]message.Message, 4)
		for missing := 3 * len(everyMessage()); missing > 0; {
			r := <-n.frames
			for _, m := range r.msgs {
				if isBody(m) {
					gotBodies[r.from] = append(gotBodies[r.from], m)
				} else {
					got[r.from] = append(got[r.from], m)
				}
				missing--
			}
		}
		for j := range nodes {
			if j == i {
				continue
			}
			want := everyMessageOf(j)
			if !reflect.DeepEqual(append(got[j], gotBodies[j]...), sortBodies(want)) {
				t.Errorf("replica %d got other messages from %d than were sent", i, j)
			}
		}
	}
	for _, p := range nodes[0].Peers() {
		if !p.Connected || p.Rejected != 0 || p.Dropped != 0 || p.QueuedBytes != 0 || p.LastError != "" {
			t.Errorf("state of peer %d: %+v", p.Index, p)
		}
	}
}

// sortBodies moves bodies to the end.
func sortBodies(msgs []message.Message) []message.Message {
	slices.SortStableFunc(msgs, func(a, b message.Message) int {
		switch {
		case isBody(a) == isBody(b):
			return 0
		case isBody(a):
			return 1
		}
		return -1
	})
	return msgs
}

func TestLinkComesBackAfterEitherSideRestarts(t *testing.T) {
	lns, addrs := addrsOf(t, 2)
	addrs = append(addrs, "", "")
	nodes := []*node{serve(t, 0, lns[0], addrs), serve(t, 1, lns[1], addrs)}
	for round, restart := range []int{-1, 1, 0} {
		if restart >= 0 {
			other := nodes[1-restart]
			nodes[restart].close(t)
			if peer := <-other.downs; int(peer) != restart {
				t.Fatalf("link to %d broke, want %d", peer, restart)
			}
			nodes[restart] = serve(t, restart, listen(t, addrs[restart]), addrs)
		}
		for i, n := range nodes {
			if peer := <-n.ups; int(peer) != 1-i {
				t.Fatalf("link to %d came up, want %d", peer, 1-i)
			}
		}
		want := &message.Prepare{N: uint64(round), Digest: digestOf("d")}
		for i, n := range nodes {
			n.Send(message.ReplicaID(1-i), want)
		}
		for i, n := range nodes {
			var pending []message.Message
			if got := n.next(t, &pending, message.ReplicaID(1-i)); !reflect.DeepEqual(got, want) {
				t.Errorf("round %d: replica %d got %+v", round, i, got)
			}
		}
	}
}

func TestSendWithoutLinkDropsTheMessage(t *testing.T) {
	lns, addrs := addrsOf(t, 1)
	n := serve(t, 0, lns[0], append(addrs, "", "", ""))
	for to := range message.ReplicaID(10) { // itself and unknown ones, too
		n.Send(to, &message.Prepare{})
	}
	if p := n.Peers()[0]; p.Connected || p.QueuedBytes != 0 {
		t.Errorf("state: %+v", p)
	}
}

func TestSimulatedLossSkipsSingleMessages(t *testing.T) {
	const percent, seed, count = 30, 42, 2000
	nodes := cluster(t, 2, func(o *Options, _ *node) {
		o.Config.LossPercent, o.Seed = percent, seed
	})
	var want []uint64
	chance := rand.New(rand.NewPCG(seed, 0))
	for n := range uint64(count) {
		if chance.Float64()*100 >= percent {
			want = append(want, n)
		}
		nodes[0].Send(1, &message.Commit{N: n})
	}
	if lost := count - len(want); lost < count*percent/100-200 || lost > count*percent/100+200 {
		t.Fatalf("%d of %d lost", lost, count)
	}
	var pending []message.Message
	for _, n := range want {
		if got := nodes[1].next(t, &pending, 0).(*message.Commit).N; got != n {
			t.Fatalf("got %d, want %d", got, n)
		}
	}
}

// A peer that does not read costs the sender a bounded queue and nothing else.
func TestPeerThatDoesNotReadFillsABoundedQueue(t *testing.T) {
	gate := make(chan struct{})
	nodes := cluster(t, 2, func(o *Options, n *node) {
		if o.Index == 1 {
			n.gate = gate
		}
	})
	batch := testBatch(1, strings.Repeat("x", 1<<20-1024))
	const count = 200 // MiB, far above what queue, windows and frames hold
	for range count {
		nodes[0].Send(1, &message.PrePrepare{Batch: batch})
	}
	s := nodes[0].Peers()[0]
	if s.Dropped == 0 || s.QueuedBytes > maxQueued[proposals] {
		t.Errorf("%d messages dropped, %d bytes queued of at most %d", s.Dropped, s.QueuedBytes, maxQueued[proposals])
	}
	last := &message.Prepare{N: 1 << 40}
	nodes[0].Send(1, last) // votes have a queue of their own
	close(gate)
	var pending []message.Message
	for got := 0; ; got++ {
		m := nodes[1].next(t, &pending, 0)
		if _, ok := m.(*message.PrePrepare); ok {
			continue
		}
		if !reflect.DeepEqual(m, last) {
			t.Fatalf("got %+v", m)
		}
		if dropped := nodes[0].Peers()[0].Dropped; uint64(got)+dropped != count {
			t.Errorf("%d came, %d were dropped, %d were sent", got, dropped, count)
		}
		return
	}
}

func TestMessageTooLargeToSendIsDroppedAndCounted(t *testing.T) {
	nodes := cluster(t, 2)
	reply := &message.Reply{Client: "c", Result: crypto.Result{Status: crypto.StatusOK, Value: make([]byte, 2<<20)}}
	vote := &message.Prepare{N: 1}
	nodes[0].Send(1, reply, vote)
	var pending []message.Message
	if got := nodes[1].next(t, &pending, 0); !reflect.DeepEqual(got, vote) {
		t.Errorf("got %+v", got)
	}
	if s := nodes[0].Peers()[0]; s.Dropped != 1 || !strings.Contains(nodes[0].log.String(), "too large to send") {
		t.Errorf("%d dropped, log: %s", s.Dropped, nodes[0].log)
	}
}

// One liar must not stop a replica; f+1 that say the same cannot all lie. Both
// ends of a link learn that they differ, so it does not matter who dials.
func TestConfigMismatchIsReportedOnceEnoughPeersAgree(t *testing.T) {
	for name, odd := range map[string]int{"the one that dials": 3, "the one that is dialled": 0} {
		t.Run(name, func(t *testing.T) {
			type report struct {
				digest    crypto.Digest
				differing []string
			}
			reports := make(chan report, 1)
			lns, addrs := addrsOf(t, 4)
			for i := range 4 {
				serve(t, i, lns[i], addrs, func(o *Options, _ *node) {
					o.ConfigMismatch = func(crypto.Digest, []string) { t.Errorf("replica %d heard of one liar and believed it", i) }
					if i == odd {
						o.Config = testConfig(t, "ckpt_interval: 64\nmax_batch: 1000\n")
						o.ConfigMismatch = func(d crypto.Digest, s []string) { reports <- report{d, s} }
					}
				})
			}
			r := <-reports
			if r.digest != testConfig(t, "").Digest() {
				t.Errorf("reported %s, want the others' digest", r.digest)
			}
			if got := strings.Join(r.differing, "; "); !strings.Contains(got, `ckpt_interval is 64 here and "128" there`) ||
				!strings.Contains(got, `max_batch is 1000 here and "8192" there`) {
				t.Errorf("differing: %s", got)
			}
		})
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	o := Options{Config: testConfig(t, ""), Index: 4, Verifier: testVerifier(), Limits: testLimits}
	if _, err := New(o, nil); err == nil {
		t.Error("index out of range")
	}
	o.Index, o.Addrs = 0, []string{"a"}
	if _, err := New(o, nil); err == nil {
		t.Error("one address for four replicas")
	}
}

func TestStopBeforeServe(t *testing.T) {
	ln := listen(t, "127.0.0.1:0")
	n, err := New(Options{Config: testConfig(t, ""), Index: 0, Verifier: testVerifier(), Limits: testLimits}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.Stop()
	if err := n.Serve(ln); err != nil {
		t.Error(err)
	}
}

// wantStatus checks the status that a stream ended with.
func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, code, text)
	}
}
