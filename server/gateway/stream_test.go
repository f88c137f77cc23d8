package gateway

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// caller is a client's end of a session stream, by the hot codec.
type caller struct {
	t *testing.T
	grpc.ClientStream
	in     wire.SessionResponse // what was received and not looked at yet
	cancel context.CancelFunc
}

func (p *port) session(t *testing.T) *caller {
	t.Helper()
	conn := p.dial(t, wire.DialOptions(64<<20)...)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := conn.NewStream(ctx, desc, pbftv1.ClientService_Session_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, ClientStream: s, cancel: cancel}
	c.receive()
	if c.in.Info == nil || c.in.Info.Replicas != 4 || c.in.Info.Index != 2 {
		t.Fatalf("first message %+v, want the server's info", c.in)
	}
	return c
}

func (c *caller) send(m wire.SessionRequest) {
	c.t.Helper()
	if err := c.SendMsg(&wire.Segments{Parts: [][]byte{m.Append(nil)}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) receive() {
	c.t.Helper()
	if err := c.tryReceive(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) tryReceive() error {
	var raw wire.Raw
	if err := c.RecvMsg(&raw); err != nil {
		return err
	}
	var m wire.SessionResponse
	if err := m.Parse(raw.Data); err != nil {
		return err
	}
	if m.Info != nil {
		c.in.Info = m.Info
	}
	c.in.Blocks = append(c.in.Blocks, m.Blocks...)
	c.in.Singles = append(c.in.Singles, m.Singles...)
	c.in.Refusals = append(c.in.Refusals, m.Refusals...)
	return nil
}

func (c *caller) block() wire.Block {
	c.t.Helper()
	for len(c.in.Blocks) == 0 {
		c.receive()
	}
	b := c.in.Blocks[0]
	c.in.Blocks = c.in.Blocks[1:]
	return b
}

func (c *caller) single() wire.Single {
	c.t.Helper()
	for len(c.in.Singles) == 0 {
		c.receive()
	}
	x := c.in.Singles[0]
	c.in.Singles = c.in.Singles[1:]
	return x
}

func (c *caller) refusal() wire.Refusal {
	c.t.Helper()
	for len(c.in.Refusals) == 0 {
		c.receive()
	}
	r := c.in.Refusals[0]
	c.in.Refusals = c.in.Refusals[1:]
	return r
}

func request(number uint64, op string) crypto.Request {
	return crypto.Request{Number: number, Kind: crypto.KindOperation, Op: []byte(op), ClientTime: crypto.NoClientTime}
}

func group(handle uint32, numbers ...uint64) wire.Group {
	g := wire.Group{Handle: handle}
	for _, n := range numbers {
		g.Requests = append(g.Requests, request(n, fmt.Sprint(n)))
	}
	return g
}

func TestSessionGetsBlocksInFullOrByDigest(t *testing.T) {
	p := start(t)
	c := p.session(t)
	many := make([]uint64, 30)
	for i := range many {
		many[i] = uint64(i + 1)
	}
	c.send(wire.SessionRequest{
		Opens:  []wire.Open{{Handle: 1, Client: "a", Session: 11}, {Handle: 2, Client: "b", Session: 22, Digests: true}},
		Groups: []wire.Group{group(1, 5, 6), group(2, many...)},
	})
	b := c.block()
	if b.Handle != 1 || b.N != 1 || len(b.Results) != 2 || string(b.Results[1].Value) != "1:6" {
		t.Errorf("first block %+v", b)
	}
	b = c.block()
	if b.Handle != 2 || b.N != 2 || b.Results != nil || b.Digest.IsZero() {
		t.Errorf("second block %+v", b)
	}
	var list []byte
	for _, x := range many {
		r := crypto.Result{N: 2, Number: x, Status: crypto.StatusOK, Value: fmt.Append(nil, "2:", x)}
		list = crypto.AppendResult(list, 22, &r)
	}
	if want := p.server.cluster.BlockDigest(list); b.Digest != want {
		t.Errorf("digest %v, want %v", b.Digest, want)
	}
}

func TestSessionGroupsHaveNoOrigin(t *testing.T) {
	p := start(t)
	got := make(chan crypto.GroupView, 1)
	p.locked(func() {
		p.admit = func(g crypto.GroupView) consensus.Reason {
			got <- g
			return consensus.OK
		}
	})
	c := p.session(t)
	g := group(7, 1)
	g.Alone, g.Retry, g.Signature = true, true, make([]byte, 64)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 7, Client: "a", Session: 11}}, Groups: []wire.Group{g}})
	view := <-got
	want := crypto.Group{Client: "a", Session: 11, Requests: g.Requests, Signature: g.Signature}
	if string(view.Raw) != string(want.Append(nil)) {
		t.Errorf("canonical bytes differ: %+v", view)
	}
	p.locked(func() {
		if want := (consensus.Source{Alone: true, Retry: true}); p.sources[0] != want {
			t.Errorf("source %+v, want %+v", p.sources[0], want)
		}
	})
}

func TestRepliesGoToEveryStreamOfTheSession(t *testing.T) {
	p := start(t)
	a, b := p.session(t), p.session(t)
	open := wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Outcomes: []wire.OutcomeQuery{{Handle: 1, Number: 9}}}
	b.send(open)
	b.single() // it is open there
	open.Groups = []wire.Group{group(1, 1)}
	a.send(open)
	if x, y := a.block(), b.block(); x.N != y.N {
		t.Errorf("blocks %+v and %+v", x, y)
	}
}

func TestOutcomeQueries(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Groups: []wire.Group{group(1, 5)}})
	c.block()
	for _, x := range []struct {
		query   wire.OutcomeQuery
		status  crypto.Status
		session uint64
	}{
		{wire.OutcomeQuery{Handle: 1, Number: 5}, crypto.StatusOK, 11},
		{wire.OutcomeQuery{Handle: 1, Number: 5, Session: 11}, crypto.StatusOK, 11},
		{wire.OutcomeQuery{Handle: 1, Number: 5, Session: 12}, crypto.StatusRejected, 12},
		{wire.OutcomeQuery{Handle: 1, Number: 6, Session: 11}, crypto.StatusNotExecuted, 11},
	} {
		c.send(wire.SessionRequest{Outcomes: []wire.OutcomeQuery{x.query}})
		s := c.single()
		if s.Result.Status != x.status || s.Session != x.session || s.Replica != 2 || s.Client != "a" || s.Result.Number != x.query.Number {
			t.Errorf("%+v: %+v", x.query, s)
		}
	}
	for _, q := range []wire.OutcomeQuery{{Handle: 3, Number: 1}, {Handle: 1, Number: 1 << 53}} {
		c.send(wire.SessionRequest{Outcomes: []wire.OutcomeQuery{q}})
		if r := c.refusal(); r.First != q.Number || r.Reason != pbftv1.RefusalReason_REFUSAL_REASON_INVALID {
			t.Errorf("%+v: %+v", q, r)
		}
	}
}

func TestOwnRepliesReachTheSession(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Outcomes: []wire.OutcomeQuery{{Handle: 1, Number: 1}}})
	c.single() // it is open
	m := message.Reply{View: 3, Client: "a", Session: 11, Replica: 1, Result: crypto.Result{N: 9, Number: 4, Status: crypto.StatusOK, Value: []byte("x")}}
	p.server.DeliverReply(&m) // another replica's: its stream is elsewhere
	m.Replica = 2
	p.server.DeliverReply(&m)
	if s := c.single(); s.Replica != 2 || s.View != 3 || s.Result.N != 9 || string(s.Result.Value) != "x" {
		t.Errorf("%+v", s)
	}
}

func TestSessionRefusals(t *testing.T) {
	p := start(t)
	c := p.session(t)
	open := []wire.Open{{Handle: 1, Client: "a", Session: 11}, {Handle: 2, Client: "admin", Session: 1}}
	c.send(wire.SessionRequest{Opens: open})
	invalid := pbftv1.RefusalReason_REFUSAL_REASON_INVALID
	with := func(change func(*crypto.Request)) wire.Group {
		g := group(1, 7)
		change(&g.Requests[0])
		return g
	}
	for _, x := range []struct {
		name        string
		in          wire.SessionRequest
		first, last uint64
		want        string
	}{
		{"unknown handle", wire.SessionRequest{Groups: []wire.Group{group(9, 7, 8)}}, 7, 8, "handle 9"},
		{"reserved client", wire.SessionRequest{Groups: []wire.Group{group(2, 7)}}, 7, 7, `"admin"`},
		{"no request", wire.SessionRequest{Groups: []wire.Group{{Handle: 1}}}, 0, 0, "0 requests"},
		{"numbers fall", wire.SessionRequest{Groups: []wire.Group{group(1, 8, 7)}}, 8, 7, "number 7 behind 8"},
		{"number too large", wire.SessionRequest{Groups: []wire.Group{group(1, 1<<53)}}, 1 << 53, 1 << 53, "9007199254740992"},
		{"read", wire.SessionRequest{Groups: []wire.Group{with(func(r *crypto.Request) { r.Kind = crypto.KindRead })}}, 7, 7, "REQUEST_KIND_READ"},
		{"large operation", wire.SessionRequest{Groups: []wire.Group{with(func(r *crypto.Request) { r.Op = make([]byte, 1044481) })}}, 7, 7, "1044481"},
		{"foreign URL", wire.SessionRequest{Groups: []wire.Group{with(func(r *crypto.Request) { r.ReplyURL = []byte("http://example.com") })}}, 7, 7, "example.com"},
		{"signature", wire.SessionRequest{Groups: []wire.Group{{Handle: 1, Requests: group(1, 7).Requests, Signature: make([]byte, 5)}}}, 7, 7, "5 bytes"},
		{"open without client", wire.SessionRequest{Opens: []wire.Open{{Handle: 3, Session: 1}}}, 0, 0, "0 bytes"},
		{"open without session", wire.SessionRequest{Opens: []wire.Open{{Handle: 3, Client: "x"}}}, 0, 0, "session is 0"},
		{"open with odd signature", wire.SessionRequest{Opens: []wire.Open{{Handle: 3, Client: "x", Session: 1, Signature: []byte("s")}}}, 0, 0, "1 bytes"},
	} {
		c.send(x.in)
		r := c.refusal()
		if r.Reason != invalid || r.First != x.first || r.Last != x.last || !strings.Contains(r.Message, x.want) || r.RetryAfter != 0 {
			t.Errorf("%s: %+v", x.name, r)
		}
	}
	c.send(wire.SessionRequest{Groups: []wire.Group{group(1, 7)}})
	if b := c.block(); b.Results[0].Status != crypto.StatusOK {
		t.Errorf("afterwards: %+v", b)
	}
}

func TestSessionHearsTheCoresReasons(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}})
	for reason, want := range map[consensus.Reason]pbftv1.RefusalReason{
		consensus.WindowExceeded: pbftv1.RefusalReason_REFUSAL_REASON_WINDOW,
		consensus.ClientQuota:    pbftv1.RefusalReason_REFUSAL_REASON_CLIENT_QUOTA,
		consensus.Overloaded:     pbftv1.RefusalReason_REFUSAL_REASON_OVERLOADED,
		consensus.NotReady:       pbftv1.RefusalReason_REFUSAL_REASON_NOT_READY,
		consensus.BadRequest:     pbftv1.RefusalReason_REFUSAL_REASON_INVALID,
		consensus.BadSignature:   pbftv1.RefusalReason_REFUSAL_REASON_UNAUTHENTICATED,
	} {
		p.locked(func() { p.admit = func(crypto.GroupView) consensus.Reason { return reason } })
		c.send(wire.SessionRequest{Groups: []wire.Group{group(1, 7, 9)}})
		r := c.refusal()
		hint := want != pbftv1.RefusalReason_REFUSAL_REASON_INVALID && want != pbftv1.RefusalReason_REFUSAL_REASON_UNAUTHENTICATED
		if r.Reason != want || r.First != 7 || r.Last != 9 || (r.RetryAfter > 0) != hint {
			t.Errorf("%v: %+v", reason, r)
		}
	}
	p.locked(func() { p.full = true })
	c.send(wire.SessionRequest{Groups: []wire.Group{group(1, 7)}})
	if r := c.refusal(); r.Reason != pbftv1.RefusalReason_REFUSAL_REASON_OVERLOADED || r.RetryAfter == 0 {
		t.Errorf("full inbox: %+v", r)
	}
}

func TestClosedHandleGetsNothing(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}, {Handle: 2, Client: "a", Session: 12}}})
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 2, Client: "b", Session: 13}}, Closes: []uint32{1, 99}})
	c.send(wire.SessionRequest{Groups: []wire.Group{group(1, 1), group(2, 1)}})
	if r := c.refusal(); r.Handle != 1 {
		t.Errorf("%+v", r)
	}
	if b := c.block(); b.Handle != 2 {
		t.Errorf("%+v", b)
	}
	p.server.sessions.each(sessionKey{"a", 12}, func(subscriber) { t.Error("a replaced session is still open") })
	if streams, open := p.server.sessions.size(); streams != 1 || open != 1 {
		t.Errorf("%d streams, %d sessions, want one of each", streams, open)
	}
}

func TestOpeningAgainChangesTheForm(t *testing.T) {
	p := start(t)
	c := p.session(t)
	next := uint64(0)
	send := func(digests bool, requests int) {
		g := group(1)
		for range requests {
			next++
			g.Requests = append(g.Requests, group(1, next).Requests...)
		}
		c.send(wire.SessionRequest{
			Opens:  []wire.Open{{Handle: 1, Client: "a", Session: 11, Digests: digests}},
			Groups: []wire.Group{g},
		})
	}
	for _, digests := range []bool{false, true, false} {
		send(digests, 30)
		if b := c.block(); (b.Results == nil) != digests {
			t.Errorf("digests %v: %+v", digests, b)
		}
	}
	send(true, 3)
	if b := c.block(); len(b.Results) != 3 {
		t.Errorf("a digest is all that came of three short results: %+v", b)
	}
	if _, n := p.server.sessions.size(); n != 1 {
		t.Errorf("%d sessions open, want 1", n)
	}
}

func TestSessionIsOpenOnFewStreams(t *testing.T) {
	p := start(t)
	oldest := p.session(t)
	open := wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Outcomes: []wire.OutcomeQuery{{Handle: 1, Number: 1}}}
	oldest.send(open)
	oldest.single()
	for range maxSubscribers {
		c := p.session(t)
		c.send(open)
		c.single()
	}
	if r := oldest.refusal(); r.Reason != pbftv1.RefusalReason_REFUSAL_REASON_CLIENT_QUOTA || r.Handle != 1 {
		t.Errorf("%+v", r)
	}
	if _, n := p.server.sessions.size(); n != maxSubscribers {
		t.Errorf("%d sessions open, want %d", n, maxSubscribers)
	}
}

func TestInfoComesAgainWhenTheViewChanges(t *testing.T) {
	p := start(t)
	c := p.session(t)
	p.locked(func() { p.info.View, p.info.Normal = 5, false })
	p.server.Changed()
	for c.in.Info.View != 5 {
		c.receive()
	}
	if c.in.Info.Normal {
		t.Error("the replica is said to take part")
	}
}

func TestMalformedStreamIsClosed(t *testing.T) {
	p := start(t)
	c := p.session(t)
	if err := c.SendMsg(&wire.Raw{Data: []byte{0x0a, 0xff}}); err != nil {
		t.Fatal(err)
	}
	if err := c.tryReceive(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestOversizedMessageIsRefused(t *testing.T) {
	p := start(t)
	c := p.session(t)
	if err := c.SendMsg(&wire.Raw{Data: make([]byte, 5<<20)}); err != nil {
		t.Fatal(err)
	}
	if err := c.tryReceive(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "5242880") {
		t.Errorf("got %v", err)
	}
	client := pbftv1.NewClientServiceClient(p.dial(t))
	_, err := client.Submit(t.Context(), &pbftv1.SubmitRequest{Client: "a", Op: make([]byte, 5<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

func TestStreamWhoseClientDoesNotReadIsClosed(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Outcomes: []wire.OutcomeQuery{{Handle: 1, Number: 1}}})
	c.single()
	big := make([]byte, 4<<20)
	for range 1 + outboxBytes/len(big) + 16<<20/len(big) { // the outbox, and what the connection takes
		p.server.DeliverReply(&message.Reply{Client: "a", Session: 11, Replica: 2, Result: crypto.Result{N: 1, Number: 1, Status: crypto.StatusOK, Value: big}})
	}
	var err error
	for err == nil {
		err = c.tryReceive()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

func TestStopEndsStreams(t *testing.T) {
	p := start(t)
	c := p.session(t)
	if err := p.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.tryReceive(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestStreamThatEndsLeavesNothingBehind(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Groups: []wire.Group{group(1, 1)}})
	c.block()
	c.cancel()
	if err := c.tryReceive(); status.Code(err) != codes.Canceled {
		t.Fatalf("got %v", err)
	}
	if err := p.server.Stop(t.Context()); err != nil { // waits for the readers
		t.Fatal(err)
	}
	if streams, open := p.server.sessions.size(); streams != 0 || open != 0 {
		t.Errorf("%d streams, %d sessions left", streams, open)
	}
}

func TestHalfClosedStreamStillGetsReplies(t *testing.T) {
	p := start(t)
	c := p.session(t)
	c.send(wire.SessionRequest{Opens: []wire.Open{{Handle: 1, Client: "a", Session: 11}}, Groups: []wire.Group{group(1, 1)}})
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if b := c.block(); b.N != 1 {
		t.Errorf("%+v", b)
	}
}

func TestSessionByGeneratedStub(t *testing.T) {
	p := start(t)
	s, err := pbftv1.NewClientServiceClient(p.dial(t)).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Send(&pbftv1.SessionRequest{
		Opens:  []*pbftv1.Open{{Handle: 4, Client: "a", Session: 11}},
		Groups: []*pbftv1.Group{{Handle: 4, Requests: []*pbftv1.Request{{Number: 1, Op: []byte("x")}, {Number: 2, Op: []byte("y")}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var info *pbftv1.ServerInfo
	var blocks []*pbftv1.BlockReply
	for len(blocks) == 0 {
		in, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if in.GetInfo() != nil {
			info = in.GetInfo()
		}
		blocks = in.GetBlocks()
	}
	if info.GetIndex() != 2 || info.GetMaxOperationBytes() != 1044480 {
		t.Errorf("info %v", info)
	}
	if r := blocks[0].GetResults(); blocks[0].GetHandle() != 4 || len(r) != 2 || string(r[1].GetResult()) != "1:y" {
		t.Errorf("blocks %v", blocks)
	}
}
