package pbftclient_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/server/replica/replicatest"
)

func dial(t *testing.T, c *replicatest.Cluster) *pbftclient.Client {
	t.Helper()
	o := pbftclient.FromConfig(c.Config)
	o.Retry = 200 * time.Millisecond
	k, err := pbftclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestSubmitReturnsTheResultThatReplicasAgreeOn(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	k := dial(t, c)
	for i := range 5 {
		r, err := k.Submit(deadline(t), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Value) != strconv.Itoa(i) {
			t.Fatalf("result %q, want %d: the position in the log", r.Value, i)
		}
	}
}

// many submits requests of several client ids concurrently and demands that
// all live replicas list the same ones, each once.
func many(t *testing.T, c *replicatest.Cluster, live []int, clients, each int) {
	t.Helper()
	k := dial(t, c)
	ctx := deadline(t)
	var wg sync.WaitGroup
	for i := range clients {
		s, err := k.Session(fmt.Sprintf("client-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		for j := range each {
			wg.Add(1)
			s.Go(ctx, fmt.Appendf(nil, "%d/%d", i, j), func(_ pbftclient.Result, err error) {
				defer wg.Done()
				if err != nil {
					t.Errorf("client %d, operation %d: %v", i, j, err)
				}
			})
		}
	}
	wg.Wait()
	sameDumps(t, c, live, clients*each)
}

func sameDumps(t *testing.T, c *replicatest.Cluster, live []int, want int) {
	t.Helper()
	var first []string
	for _, i := range live {
		var lines []string
		var seen map[string]bool
		for waited := false; ; waited = true {
			lines, seen = lines[:0], map[string]bool{}
			for _, e := range c.Dump(i) {
				lines = append(lines, fmt.Sprintf("%s#%d %s", e.GetClient(), e.GetNumber(), e.GetOp()))
				seen[lines[len(lines)-1]] = true
			}
			if len(lines) >= want || waited && t.Context().Err() != nil || deadline(t).Err() != nil {
				break
			}
			c.Status(i) // the replica is catching up; asking passes the time
		}
		if len(lines) != want || len(seen) != want {
			t.Fatalf("replica %d lists %d requests, %d of them different; %d were submitted", i, len(lines), len(seen), want)
		}
		if first == nil {
			first = append([]string(nil), lines...)
		}
		for j := range lines {
			if lines[j] != first[j] {
				t.Fatalf("replica %d has %q at %d, replica %d has %q", i, lines[j], j, live[0], first[j])
			}
		}
	}
}

func TestManyRequestsOfManyClients(t *testing.T) {
	many(t, replicatest.Start(t, 4, ""), []int{0, 1, 2, 3}, 50, 40)
}

func TestLossLosesNothing(t *testing.T) {
	many(t, replicatest.Start(t, 4, "loss%: 5\nsync_interval: 0.2\n"), []int{0, 1, 2, 3}, 20, 25)
}

func TestOverloadIsPushedBackAndLosesNothing(t *testing.T) {
	// Far more is outstanding than replicas let wait: they refuse, the client
	// comes again.
	c := replicatest.Start(t, 4, "max_pending: 1024\n")
	many(t, c, []int{0, 1, 2, 3}, 40, 200)
	for _, x := range c.Status(0).GetCounters() {
		if x.GetName() == "refused:overloaded" && x.GetValue() > 0 {
			return
		}
	}
	t.Fatalf("the primary refused nothing: %v", c.Status(0).GetCounters())
}

func TestAPrimaryThatStopsHandsOver(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	many(t, c, []int{0, 1, 2, 3}, 5, 5)
	c.StopReplica(0)
	k := dial(t, c)
	for range 20 {
		if _, err := k.Submit(deadline(t), []byte("after")); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Status(1); s.GetView() == 0 {
		t.Fatalf("still in view 0: %v", s)
	}
}

func TestOneBackupIsDispensable(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	many(t, c, []int{0, 1, 2, 3}, 5, 5)
	c.StopReplica(2)
	k := dial(t, c)
	for range 20 {
		if _, err := k.Submit(deadline(t), []byte("after")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutcomeUnknownWhenTimeIsUp(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	c.StopReplica(0)
	c.StopReplica(1) // no quorum is left
	k := dial(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := k.Submit(ctx, []byte("x"))
	if !errors.Is(err, pbftclient.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
}

func TestNumberReusedAndOutcome(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	one, two := dial(t, c), dial(t, c)
	s, _ := one.Session("shared")
	r, err := s.SubmitNumber(deadline(t), 7, []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.SubmitNumber(deadline(t), 7, []byte("first"))
	if err != nil || again.N != r.N || string(again.Value) != string(r.Value) {
		t.Fatalf("again: %+v %v, first %+v", again, err, r)
	}
	other, _ := two.Session("shared")
	if _, err := other.SubmitNumber(deadline(t), 7, []byte("second")); !errors.Is(err, pbftclient.ErrNumberReused) {
		t.Fatalf("error %v", err)
	}
	o, err := other.Outcome(deadline(t), 7)
	if err != nil || !o.Executed || o.N != r.N {
		t.Fatalf("outcome %+v %v", o, err)
	}
	if o, err = other.Outcome(deadline(t), 8); err != nil || o.Executed || o.Status != "NOT_EXECUTED" {
		t.Fatalf("outcome of a number never used: %+v %v", o, err)
	}
	if _, err := s.SubmitNumber(deadline(t), 7000, []byte("far ahead")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SubmitNumber(deadline(t), 8, []byte("too late")); !errors.Is(err, pbftclient.ErrExpired) {
		t.Fatalf("error %v", err)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	c.StopReplica(0)
	c.StopReplica(1)
	k := dial(t, c)
	s, _ := k.Session("a")
	got := make(chan error, 1)
	s.Go(t.Context(), []byte("x"), func(_ pbftclient.Result, err error) { got <- err })
	_ = k.Close()
	if err := <-got; !errors.Is(err, pbftclient.ErrClosed) {
		t.Fatalf("error %v", err)
	}
	if _, err := k.Submit(t.Context(), []byte("x")); !errors.Is(err, pbftclient.ErrClosed) {
		t.Fatalf("error %v", err)
	}
}
