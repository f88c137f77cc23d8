package pbftclient_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

// submit demands the right result.
func submit(t *testing.T, k *pbftclient.Client, op string) pbftclient.Result {
	t.Helper()
	r, err := k.Submit(deadline(t), []byte(op))
	if err != nil {
		t.Fatal(err)
	}
	if want := string(resultOf([]byte(op))); string(r.Value) != want {
		t.Fatalf("result %q, want %q", r.Value, want)
	}
	return r
}

// lie changes every result.
func lie(m *wire.SessionResponse) bool {
	for i := range m.Blocks {
		m.Blocks[i].Digest[0] ^= 1
		for j := range m.Blocks[i].Results {
			m.Blocks[i].Results[j].Value = []byte("a lie")
		}
	}
	for i := range m.Singles {
		m.Singles[i].Result = crypto.Result{N: 1, Number: m.Singles[i].Result.Number, Status: crypto.StatusOK, Value: []byte("a lie")}
	}
	return true
}

func TestOneLiarIsNotBelieved(t *testing.T) {
	for liar := range 4 {
		t.Run(fmt.Sprint(liar), func(t *testing.T) {
			c := startFakes(t, 4)
			c.replicas[liar].say = lie
			k := c.client(nil)
			for i := range 5 {
				submit(t, k, fmt.Sprint(i))
			}
		})
	}
}

func TestTwoLiarsOfSevenAreNotBelieved(t *testing.T) {
	c := startFakes(t, 7)
	c.replicas[1].say, c.replicas[5].say = lie, lie // the same lie
	k := c.client(nil)
	for i := range 10 {
		submit(t, k, fmt.Sprint(i))
	}
}

func TestOneReplicaIsNotMany(t *testing.T) {
	c := startFakes(t, 4)
	silent := func(m *wire.SessionResponse) bool { return len(m.Blocks)+len(m.Singles) == 0 }
	for _, f := range c.replicas[1:] {
		f.say = silent
	}
	liar := c.replicas[0]
	said := make(chan struct{}, 100)
	liar.say = func(m *wire.SessionResponse) bool {
		lie(m)
		for _, x := range m.Singles { // as every replica, and again
			for i := range 4 {
				x.Replica = i
				m.Singles = append(m.Singles, x)
			}
		}
		for _, b := range m.Blocks {
			m.Blocks = append(m.Blocks, b, b)
		}
		if len(m.Singles) > 0 {
			said <- struct{}{}
		}
		return true
	}
	k := c.client(nil)
	type answer struct {
		r   pbftclient.Result
		err error
	}
	got := make(chan answer, 1)
	k.Go(deadline(t), []byte("x"), func(r pbftclient.Result, err error) { got <- answer{r, err} })
	<-said
	<-said
	c.do(func() { // now the others speak
		for _, f := range c.replicas[1:] {
			f.say = nil
		}
	})
	a := <-got
	if a.err != nil || string(a.r.Value) != "done x" {
		t.Fatalf("%+v, %v", a.r, a.err)
	}
}

func TestAnswersForAnotherSessionDoNotCount(t *testing.T) {
	c := startFakes(t, 4)
	for _, f := range c.replicas {
		f.say = func(m *wire.SessionResponse) bool {
			for i := range m.Singles {
				m.Singles[i].Session++
			}
			return len(m.Blocks) == 0
		}
	}
	k := c.client(nil)
	ctx, cancel := context.WithCancel(deadline(t))
	got := make(chan error, 1)
	k.Go(ctx, []byte("x"), func(_ pbftclient.Result, err error) { got <- err })
	for range 2 { // retransmissions, to which all answer
		c.replicas[2].next(ctx, hasRetry)
	}
	cancel()
	if err := <-got; !errors.Is(err, pbftclient.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}

func TestDigestsWithoutResultsMoveToAnotherSource(t *testing.T) {
	c := startFakes(t, 4)
	for _, f := range c.replicas {
		f.say = func(m *wire.SessionResponse) bool { // digests only, for ever, of blocks
			return len(m.Blocks) == 0 || m.Blocks[0].Results == nil
		}
	}
	k := c.client(nil)
	source := c.connected()
	submit(t, k, "x") // by singles
	next := c.replicas[(source+1)%4]
	m := next.next(deadline(t), func(m *wire.SessionRequest) bool { return len(m.Opens) > 0 && !m.Opens[0].Digests })
	if len(m.Outcomes) == 0 {
		t.Error("results that came before are not asked for")
	}
}

// connected waits until the client's session is open at all running replicas:
// these order faster than opens travel. It returns the replica that was asked
// for results.
func (c *fakes) connected() (source int) {
	source = -1
	for _, f := range c.replicas {
		if f.server == nil {
			continue
		}
		m := f.next(deadline(c.t), func(m *wire.SessionRequest) bool { return len(m.Opens) > 0 })
		if !m.Opens[0].Digests {
			source = f.index
		}
	}
	return source
}

func TestASilentSourceIsReplaced(t *testing.T) {
	c := startFakes(t, 4)
	k := c.client(nil)
	source := c.replicas[c.connected()]
	submit(t, k, "first")
	c.do(func() { source.say = func(*wire.SessionResponse) bool { return false } })
	for i := range 3 {
		submit(t, k, fmt.Sprint(i))
	}
	source.stop()
	for i := range 3 {
		submit(t, k, fmt.Sprint("gone ", i))
	}
}

func TestInventedBatchesSpoilOnlyTheLiarsOwnWord(t *testing.T) {
	c := startFakes(t, 4)
	c.replicas[3].say = func(m *wire.SessionResponse) bool {
		for _, b := range m.Blocks {
			for i := range uint64(200) {
				b.N, b.Digest, b.Results = b.N+i+1, crypto.Digest{9}, nil
				m.Blocks = append(m.Blocks, b)
			}
		}
		return true
	}
	k := c.client(nil)
	for i := range 20 {
		submit(t, k, fmt.Sprint(i))
	}
}

func TestRefusalsThatPassAreTriedAgain(t *testing.T) {
	for _, reason := range []pbftv1.RefusalReason{
		pbftv1.RefusalReason_REFUSAL_REASON_WINDOW, pbftv1.RefusalReason_REFUSAL_REASON_CLIENT_QUOTA,
		pbftv1.RefusalReason_REFUSAL_REASON_OVERLOADED, pbftv1.RefusalReason_REFUSAL_REASON_NOT_READY,
	} {
		c := startFakes(t, 4)
		left := 3
		c.replicas[0].refuse = func(g *wire.Group) *wire.Refusal {
			if left--; left < 0 {
				return nil
			}
			if g.Retry {
				t.Errorf("%v: sent to all before the primary had a chance", reason)
			}
			return &wire.Refusal{Reason: reason, RetryAfter: 1}
		}
		k := c.client(func(o *pbftclient.Options) { o.Retry = 0 })
		c.connected()
		submit(t, k, "x")
	}
}

func TestAPrimaryThatAlwaysRefusesIsPassedOver(t *testing.T) {
	c := startFakes(t, 4)
	c.replicas[0].refuse = func(*wire.Group) *wire.Refusal {
		return &wire.Refusal{Reason: pbftv1.RefusalReason_REFUSAL_REASON_OVERLOADED, RetryAfter: 1}
	}
	submit(t, c.client(nil), "x") // the others order what comes with retry
}

func refuseAll(*wire.Group) *wire.Refusal {
	return &wire.Refusal{Reason: pbftv1.RefusalReason_REFUSAL_REASON_INVALID, Message: "op of 1 byte, allowed are 2"}
}

func TestOneRefusalForGoodDoesNotCount(t *testing.T) {
	c := startFakes(t, 4)
	c.replicas[0].refuse = refuseAll
	submit(t, c.client(nil), "x")
}

func TestRefusalsOfMoreThanFReplicasCount(t *testing.T) {
	c := startFakes(t, 4)
	for _, f := range c.replicas {
		f.refuse = refuseAll
	}
	_, err := c.client(nil).Submit(deadline(t), []byte("x"))
	var refused *pbftclient.RefusedError
	if !errors.As(err, &refused) || refused.Reason != "INVALID" || refused.Message != "op of 1 byte, allowed are 2" {
		t.Fatalf("error %v", err)
	}
}

// lines is a log that tests wait on.
type lines chan string

// Write implements io.Writer.
func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

func TestWhoIsNotTheReplicaIsNotTalkedTo(t *testing.T) {
	for want, change := range map[string]func(*wire.ServerInfo){
		"it says that it is replica 2":              func(i *wire.ServerInfo) { i.Index = 2 },
		"it says that its cluster has 7 replicas":   func(i *wire.ServerInfo) { i.Replicas = 7 },
		"it belongs to cluster 09000000":            func(i *wire.ServerInfo) { i.Cluster = crypto.ClusterID{9} },
		"its limits make no sense: window 16777216": func(i *wire.ServerInfo) { i.ClientWindow = 1 << 24 },
	} {
		c := startFakes(t, 4)
		c.do(func() { c.replicas[0].introduce = change })
		log := make(lines, 100)
		k := c.client(func(o *pbftclient.Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		submit(t, k, "x") // by the others
		for line := ""; !strings.Contains(line, want); {
			select {
			case line = <-log:
			case <-deadline(t).Done():
				t.Fatalf("the log does not say that %s", want)
			}
		}
		if n := len(c.replicas[0].got); n > 0 {
			t.Errorf("%s: it got %d messages", want, n)
		}
	}
}
