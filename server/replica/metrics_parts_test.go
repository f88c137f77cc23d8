package replica

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// words makes what the core knows of a cluster whose replica 0 is this one.
func words(own, h uint64, executed ...uint64) *consensus.Info {
	i := &consensus.Info{LastExecuted: own, LowWatermark: h, Peers: make([]message.Status, 1+len(executed))}
	for k, n := range executed {
		i.Peers[1+k].LastExecuted = n
	}
	return i
}

func TestLagIsWhatFPlusOnePeersSayOrACertificateProves(t *testing.T) {
	const lie = 1 << 62
	for _, c := range []struct {
		what string
		info *consensus.Info
		f    int
		want uint64
	}{
		{"all alike", words(7, 0, 7, 7, 7), 1, 0},
		{"one liar raises nothing", words(7, 0, lie, 7, 7), 1, 0},
		{"two tell of 9", words(7, 0, 9, 3, 9), 1, 2},
		{"one liar hides nothing", words(7, 0, 0, 9, 9), 1, 2},
		{"the lower of the two highest counts", words(7, 0, 8, lie, 0), 1, 1},
		{"two liars of seven raise nothing", words(7, 0, lie, lie, 7, 7, 7, 7), 2, 0},
		{"three of seven tell of 9", words(7, 0, 9, 9, 9, 0, 0, 0), 2, 2},
		{"the others are behind", words(7, 0, 1, 1, 1), 1, 0},
		{"nothing was heard", words(7, 0, 0, 0, 0), 1, 0},
		{"a certificate", words(7, 20, 7, 7, 7), 1, 13},
		{"alone", words(7, 5), 0, 0},
	} {
		if got := lag(c.info, 0, c.f); got != c.want {
			t.Errorf("%s: lag %d, want %d", c.what, got, c.want)
		}
	}
	low := words(7, 0, 0, 0, 0)
	low.Peers[1].H, low.Peers[2].H = 10, 10 // they have the state, not the log
	if got := lag(low, 0, 1); got != 3 {
		t.Errorf("behind two low watermarks: lag %d, want 3", got)
	}
}

func TestTheWindowClockRunsWhileRequestsWaitForACheckpoint(t *testing.T) {
	var c windowClock
	now := time.Unix(1000, 0)
	step := func(pending int, h, committed uint64) {
		now = now.Add(time.Second)
		c.look(now, &consensus.Info{Pending: pending, LowWatermark: h, LastCommitted: committed}, 10)
	}
	step(1, 0, 10) // the first look knows of no time before
	step(1, 0, 9)
	step(0, 0, 10) // nobody waits
	if c.full != 0 {
		t.Fatalf("full for %s", c.full)
	}
	step(1, 0, 10)
	step(5, 0, 10)
	step(5, 10, 11) // a checkpoint opened it
	if c.full != 2*time.Second {
		t.Errorf("full for %s, want 2s", c.full)
	}
}

func TestBatchSizesFallIntoTheirClass(t *testing.T) {
	for n, want := range map[uint32]int{0: 0, 1: 0, 2: 1, 4: 1, 5: 2, 16: 2, 17: 3, 64: 3, 8192: 7, 1 << 20: 10, 1<<32 - 1: 10} {
		if got := sizeClass(n); got != want {
			t.Errorf("%d requests: class %d, want %d", n, got, want)
		}
	}
	var s batchSizes
	s.note(&consensus.Exec{})
	s.note(&consensus.Exec{Batch: &message.Batch{Header: message.Header{Count: 5}}})
	if s.count() != 2 || s.requests != 5 {
		t.Errorf("%d batches, %d requests", s.count(), s.requests)
	}
}

func TestTheInboxTellsWhatWaitsByClass(t *testing.T) {
	b := newInbox(4)
	b.put(item{from: 1, bytes: 10})
	b.put(item{from: 3, bytes: 20})
	b.put(item{from: fromClient, bytes: 5})
	b.put(item{from: fromSelf})
	want := inboxFigures{peers: load{2, 30}, clients: load{1, 5}, own: 1}
	if got := b.figures(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.swap(nil)
	if got := b.figures(); got != (inboxFigures{}) {
		t.Errorf("after the swap %+v", got)
	}
}

// idle makes a replica that never runs: its loop and executor answer nothing.
func idle(t *testing.T) *Replica {
	var l [2]net.Listener
	for i := range l {
		var err error
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l[i].Close() })
	}
	cfg, err := config.Parse("test", fmt.Append(nil, "durability: memory\nnodes: [{host: 127.0.0.1, port: 1}, {host: 127.0.0.1, port: 2}, {host: 127.0.0.1, port: 3}, {host: 127.0.0.1, port: 4}]"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Config: cfg, PublicListener: l[0], PeerListener: l[1], PeerAddrs: make([]string, 4)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAScrapeOfAStuckReplicaTellsWhatItKnowsAndThatItIsStuck(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(&metrics{r: idle(t), timeout: time.Millisecond})
	got, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range got {
		found[f.GetName()] = true
		if f.GetName() != "pbft_scrape_answered" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetGauge().GetValue() != 0 {
				t.Errorf("answered: %v", m)
			}
		}
	}
	for name, want := range map[string]bool{
		"pbft_view": true, "pbft_status": true, "pbft_inbox_items": true, "pbft_peer_connected": true, "pbft_scrape_answered": true,
		"pbft_last_executed": false, "pbft_lag_batches": false, "pbft_executed_requests_total": false, "pbft_batch_size_requests": false,
	} {
		if found[name] != want {
			t.Errorf("%s: in the scrape: %t, want %t", name, found[name], want)
		}
	}
}

// TestAScrapeKnowsEveryCause fails when a cause is added behind those that
// pbft_view_changes_total shows.
func TestAScrapeKnowsEveryCause(t *testing.T) {
	if last := consensus.Draining; (last + 1).String() != last.String() {
		t.Errorf("there is a cause behind %s: %s", last, last+1)
	}
}
