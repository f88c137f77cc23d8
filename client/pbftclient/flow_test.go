package pbftclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

func TestTheClusterIsTheOneThatMoreThanFReplicasName(t *testing.T) {
	c := startFakes(t, 4)
	c.replicas[1].introduce = func(i *wire.ServerInfo) { i.Cluster = crypto.ClusterID{9} }
	k := c.client(func(o *pbftclient.Options) { o.ClusterID = nil })
	for i := range 3 {
		submit(t, k, fmt.Sprint(i))
	}
}

func TestRequestsGoToThePrimaryThatMoreThanFReplicasName(t *testing.T) {
	c := startFakes(t, 4)
	c.info.View = 2
	c.replicas[0].introduce = func(i *wire.ServerInfo) { i.View = 1 << 40 } // one liar moves nobody
	k := c.client(func(o *pbftclient.Options) { o.Retry = 0 })
	c.connected()
	submit(t, k, "x")
	if m := c.replicas[2].next(deadline(t), hasGroups); m.Groups[0].Alone || m.Groups[0].Retry {
		t.Errorf("group %+v", m.Groups[0])
	}
}

func TestWithoutThePrimaryAnotherReplicaIsAskedToRelay(t *testing.T) {
	c := startFakes(t, 4)
	c.replicas[0].stop()
	k := c.client(func(o *pbftclient.Options) { o.Retry = 0 })
	c.connected()
	submit(t, k, "x")
	if m := c.replicas[1].next(deadline(t), hasGroups); !m.Groups[0].Alone || m.Groups[0].Retry {
		t.Errorf("group %+v", m.Groups[0])
	}
}

func TestNoAnswerSendsARequestToAll(t *testing.T) {
	c := startFakes(t, 4)
	for _, f := range c.replicas {
		f.say = func(*wire.SessionResponse) bool { return false }
	}
	k := c.client(nil)
	got := make(chan error, 1)
	k.Go(deadline(t), []byte("x"), func(_ pbftclient.Result, err error) { got <- err })
	for range 2 {
		for _, f := range c.replicas {
			if m := f.next(deadline(t), hasRetry); string(m.Groups[0].Requests[0].Op) != "x" {
				t.Errorf("replica %d got %+v", f.index, m.Groups)
			}
		}
	}
	c.do(func() {
		for _, f := range c.replicas {
			f.say = nil
		}
	})
	if err := <-got; err != nil {
		t.Error(err)
	}
	if n := c.executed(); n != 1 {
		t.Errorf("executed %d times", n)
	}
}

func TestAReplicaThatComesBackGetsWhatIsOutstanding(t *testing.T) {
	c := startFakes(t, 4)
	silence := func(*wire.SessionResponse) bool { return false }
	for _, f := range c.replicas {
		f.ignore, f.say = true, silence
	}
	k := c.client(func(o *pbftclient.Options) { o.Retry = 0 })
	c.connected()
	got := make(chan error, 2)
	for range 2 {
		k.Go(deadline(t), []byte("x"), func(_ pbftclient.Result, err error) { got <- err })
	}
	c.replicas[0].next(deadline(t), hasGroups)
	c.replicas[0].stop()
	for _, f := range c.replicas[1:] { // the others hear of it at once
		f.next(deadline(t), hasRetry)
	}
	c.replicas[0].start()
	opened := false
	c.replicas[0].next(deadline(t), func(m *wire.SessionRequest) bool {
		opened = opened || len(m.Opens) > 0
		return hasRetry(m)
	})
	if !opened {
		t.Error("a group came before its session was opened again")
	}
	c.do(func() {
		for _, f := range c.replicas {
			f.ignore, f.say = false, nil
		}
	})
	c.replicas[0].stop() // and once more, with others that listen
	c.replicas[0].start()
	for range 2 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}

func TestEverythingConnectsAgain(t *testing.T) {
	c := startFakes(t, 4)
	k := c.client(nil)
	submit(t, k, "before")
	for _, f := range c.replicas {
		f.stop()
	}
	got := make(chan error, 1)
	k.Go(deadline(t), []byte("x"), func(_ pbftclient.Result, err error) { got <- err })
	for _, f := range c.replicas {
		f.start()
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	submit(t, k, "after")
}

func TestGroupsKeepTheClustersLimits(t *testing.T) {
	c := startFakes(t, 4)
	var mu sync.Mutex
	var sizes []int
	c.replicas[0].refuse = func(g *wire.Group) *wire.Refusal {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(g.Requests))
		canonical := crypto.Group{Client: "c", Requests: g.Requests}
		if n := len(canonical.Append(nil)); len(g.Requests) > 1 && n > 4096 {
			t.Errorf("group of %d bytes", n)
		}
		for i := 1; i < len(g.Requests); i++ {
			if g.Requests[i].Number <= g.Requests[i-1].Number {
				t.Errorf("number %d behind %d", g.Requests[i].Number, g.Requests[i-1].Number)
			}
		}
		return nil
	}
	k := c.client(func(o *pbftclient.Options) { o.ClientID = "c" })
	s, err := k.Session("c")
	if err != nil {
		t.Fatal(err)
	}
	c.connected()
	var wg sync.WaitGroup
	var calls []*pbftclient.Call
	for i := range 64 {
		op := []byte(strings.Repeat("x", i*i%3000)) // some fill a group alone
		wg.Add(1)
		calls = append(calls, &pbftclient.Call{Op: op, Tag: i, Done: func(call *pbftclient.Call) {
			defer wg.Done()
			if call.Err != nil || string(call.Result.Value) != string(resultOf(call.Op)) {
				t.Errorf("operation %d: %v", call.Tag, call.Err)
			}
		}})
	}
	s.Start(deadline(t), calls...)
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most := slices.Max(sizes); most > 16 || len(sizes) > 40 {
		t.Errorf("groups of %v requests", sizes)
	}
}

func TestOperationsThatNoReplicaTakesAreRefusedAtOnce(t *testing.T) {
	c := startFakes(t, 4)
	k := c.client(nil)
	var refused *pbftclient.RefusedError
	if _, err := k.Submit(deadline(t), make([]byte, 10_001)); !errors.As(err, &refused) || refused.Message != "operation of 10001 bytes, the most allowed is 10000" {
		t.Errorf("error %v", err)
	}
	s, _ := k.Session("a")
	if _, err := s.SubmitNumber(deadline(t), 1<<53, nil); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Outcome(deadline(t), 1<<53); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	submit(t, k, "x") // the client is in order
}

func TestOutstandingNumbersStayWithinTheWindow(t *testing.T) {
	c := startFakes(t, 4)
	c.info.ClientWindow = 4
	hold := true
	c.replicas[0].refuse = func(g *wire.Group) *wire.Refusal { return nil }
	for _, f := range c.replicas {
		f.say = func(m *wire.SessionResponse) bool { return !hold }
	}
	k := c.client(nil)
	s, _ := k.Session("a")
	got := make(chan error, 10)
	started := make(chan struct{})
	go func() {
		defer close(started)
		for range 10 {
			s.Go(deadline(t), []byte("x"), func(_ pbftclient.Result, err error) { got <- err })
		}
	}()
	c.replicas[1].next(deadline(t), func(m *wire.SessionRequest) bool { // a retry of a full window
		return hasRetry(m) && len(m.Groups[0].Requests) == 4
	})
	if n := c.executed(); n != 4 {
		t.Errorf("%d requests were sent, the window is 4", n)
	}
	c.do(func() { hold = false })
	for range 10 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	<-started
}

func TestAFullWindowWaitsForItsContext(t *testing.T) {
	c := startFakes(t, 4)
	c.info.ClientWindow = 1
	for _, f := range c.replicas {
		f.say = func(*wire.SessionResponse) bool { return false }
	}
	k := c.client(nil)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	k.Go(t.Context(), []byte("first"), func(_ pbftclient.Result, err error) { got <- err })
	c.replicas[1].next(deadline(t), hasRetry)
	cancel()
	if _, err := k.Submit(ctx, []byte("second")); !errors.Is(err, pbftclient.ErrNotSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	_ = k.Close()
	if err := <-got; !errors.Is(err, pbftclient.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestAnUnknownOutcomeUsesItsNumberUp(t *testing.T) {
	c := startFakes(t, 4)
	silent := true
	for _, f := range c.replicas {
		f.say = func(*wire.SessionResponse) bool { return !silent }
	}
	k := c.client(func(o *pbftclient.Options) { o.ClientID = "me" })
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 1)
	go func() {
		_, err := k.Submit(ctx, []byte("first"))
		errs <- err
	}()
	c.replicas[2].next(deadline(t), hasRetry)
	cancel()
	var unknown *pbftclient.UnknownError
	if err := <-errs; !errors.As(err, &unknown) || !errors.Is(err, pbftclient.ErrOutcomeUnknown) || unknown.Client != "me" {
		t.Fatalf("error %v", err)
	}
	c.do(func() { silent = false })
	if r := submit(t, k, "second"); r.Number <= unknown.Number {
		t.Errorf("number %d behind %d", r.Number, unknown.Number)
	}
	s, _ := k.Session("me")
	o, err := s.Outcome(deadline(t), unknown.Number)
	if err != nil || !o.Executed || string(o.Value) != "done first" {
		t.Errorf("outcome %+v, %v", o, err)
	}
	if o, err = s.Outcome(deadline(t), 3); err != nil || o.Executed || o.Status != "NOT_EXECUTED" {
		t.Errorf("outcome of a number never used: %+v, %v", o, err)
	}
}

func TestANumberOfAnotherProgramIsNotAnswered(t *testing.T) {
	c := startFakes(t, 4)
	one, _ := c.client(nil).Session("shared")
	two, _ := c.client(nil).Session("shared")
	if _, err := one.SubmitNumber(deadline(t), 7, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if r, err := one.SubmitNumber(deadline(t), 7, []byte("first")); err != nil || string(r.Value) != "done first" {
		t.Errorf("again: %+v, %v", r, err)
	}
	if _, err := two.SubmitNumber(deadline(t), 7, []byte("second")); !errors.Is(err, pbftclient.ErrNumberReused) {
		t.Errorf("error %v", err)
	}
}

func TestResultsThatAreGoneAreVouchedForByDigest(t *testing.T) {
	c := startFakes(t, 4)
	stone := func(r *crypto.Result) {
		*r = crypto.Result{N: r.N, Number: r.Number, Status: r.Status, Tombstone: true, Digest: c.id.ValueDigest(r.Value), Size: uint64(len(r.Value))}
	}
	for _, f := range c.replicas {
		f.say = func(m *wire.SessionResponse) bool {
			for i := range m.Singles {
				if r := &m.Singles[i].Result; r.Status == crypto.StatusOK && (f.index != 2 || r.N > 1) {
					stone(r)
				}
			}
			return len(m.Blocks) == 0
		}
	}
	k := c.client(nil)
	r, err := k.Submit(deadline(t), []byte("x"))
	for err == nil && !r.Gone { // replica 2 may be among the f+1 for the first batch
		if string(r.Value) != "done x" {
			t.Fatalf("result %q", r.Value)
		}
		r, err = k.Submit(deadline(t), []byte("x"))
	}
	if err != nil || r.Size != 6 || r.Digest != c.id.ValueDigest([]byte("done x")) || r.Value != nil {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestNothingIsSentWithoutMoreThanFReplicas(t *testing.T) {
	c := startFakes(t, 4)
	for _, f := range c.replicas[1:] {
		f.stop()
	}
	k := c.client(nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for limit := deadline(t); c.streams(0) == 0 && limit.Err() == nil; {
			_, _ = k.Session("passes the time")
		}
	}()
	_, err := k.Submit(ctx, []byte("x"))
	if !errors.Is(err, pbftclient.ErrNotSent) || !strings.Contains(err.Error(), "of 4 replicas connected, 2 needed") {
		t.Errorf("error %v", err)
	}
	if c.executed() != 0 {
		t.Error("a request was executed")
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for want, o := range map[string]pbftclient.Options{
		"0 replicas, allowed are 1 and 4 to 64":      {},
		"3 replicas, allowed are 1 and 4 to 64":      {Replicas: []string{"a:1", "b:1", "c:1"}},
		"replicas 1 and 3 have the same address b:1": {Replicas: []string{"a:1", "b:1", "c:1", "b:1"}},
		"client id of 65 bytes, allowed are 1 to 64": {Replicas: []string{"a:1"}, ClientID: strings.Repeat("x", 65)},
	} {
		if _, err := pbftclient.New(o); err == nil || err.Error() != "pbftclient: "+want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestRequestsThatEndUnsentLeaveNothingBehind(t *testing.T) {
	c := startFakes(t, 4)
	k := c.client(nil)
	submit(t, k, "introduces the cluster")
	for _, f := range c.replicas {
		f.stop()
	}
	s, _ := k.Session("a")
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		s.Go(ctx, []byte("never sent"), func(_ pbftclient.Result, err error) { got <- err })
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	}
	for _, f := range c.replicas {
		f.start()
	}
	submit(t, k, "x")
	if n := c.executed(); n != 2 {
		t.Errorf("%d requests were executed, want 2", n)
	}
}

func TestAReplicaThatOnlyListensIsNotAskedToRelay(t *testing.T) {
	c := startFakes(t, 4)
	c.replicas[0].stop()
	c.replicas[1].introduce = func(i *wire.ServerInfo) { i.Normal = false }
	k := c.client(func(o *pbftclient.Options) { o.Retry = 0 })
	c.connected()
	submit(t, k, "x")
	c.replicas[2].next(deadline(t), hasGroups)
}
