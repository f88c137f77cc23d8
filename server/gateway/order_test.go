package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// cutResults lets all replicas drop a result's last byte.
func cutResults(m message.Reply, to func(message.Reply)) {
	m.Result.Value = m.Result.Value[:len(m.Result.Value)-1]
	for i := range 4 {
		m.Replica = message.ReplicaID(i)
		to(m)
	}
}

// only lets the given replicas reply.
func only(replicas ...message.ReplicaID) func(message.Reply, func(message.Reply)) {
	return func(m message.Reply, to func(message.Reply)) {
		for _, i := range replicas {
			m.Replica = i
			to(m)
		}
	}
}

func TestAcceptedIsAnsweredAtOnce(t *testing.T) {
	p := start(t)
	p.locked(func() { p.stuck = true })
	a := p.curl(t, "/request", `{"id":[1,7],"client_url":"http://localhost:1/reply","timestamp":1700000000.5,"data":"x"}`)
	if a.status != 200 || strings.TrimSpace(a.body) != `{"id":[1,7],"status":"ACCEPTED","index":2}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.locked(func() {
		if want := (consensus.Source{Alone: true, JSON: true}); !slices.Equal(p.sources, []consensus.Source{want}) {
			t.Errorf("sources %+v", p.sources)
		}
	})
}

func TestReplyHostsThatAreAllowed(t *testing.T) {
	p := start(t)
	for i, url := range []string{
		"http://localhost:1/", "http://LOCALHOST/", "http://127.0.0.1:1/", "http://127.9.9.9/", "http://[::1]:1/", "http://[::ffff:127.0.0.1]/",
		"https://client.example/x", "http://Client.Example:99/", "http://replies.example/reply?x=1",
	} {
		p.locked(func() { p.stuck = true })
		a := p.curl(t, "/request", fmt.Sprintf(`{"id":[1,%d],"client_url":%q,"data":"x"}`, i, url))
		if a.status != 200 {
			t.Errorf("%s: %d %s", url, a.status, a.body)
		}
	}
}

func TestNumberThatWasUsedOrClosed(t *testing.T) {
	p := start(t)
	p.curl(t, "/request", `{"id":[1,7],"data":"x"}`)
	p.locked(func() { p.low = 5 })
	for _, c := range []struct {
		body   string
		status int
		code   string
	}{
		{`{"id":[1,7],"data":"y"}`, 409, "ALREADY_EXISTS"},
		{`{"id":[1,7],"client_url":"http://localhost/","data":"y"}`, 409, "ALREADY_EXISTS"},
		{`{"id":[1,4],"data":"y"}`, 410, "OUT_OF_RANGE"},
		{`{"id":[1,4],"client_url":"http://localhost/","data":"y"}`, 410, "OUT_OF_RANGE"},
	} {
		a := p.curl(t, "/request", c.body)
		if a.status != c.status || a.field(t, "code") != c.code {
			t.Errorf("%s: %d %s", c.body, a.status, a.body)
		}
	}
}

func TestRefusalsByTheCore(t *testing.T) {
	p := start(t)
	for _, c := range []struct {
		reason consensus.Reason
		status int
		code   string
		retry  string
		want   string
	}{
		{consensus.NotReady, 503, "UNAVAILABLE", "1", "does not take part"},
		{consensus.WindowExceeded, 429, "RESOURCE_EXHAUSTED", "1", "1024"},
		{consensus.ClientQuota, 429, "RESOURCE_EXHAUSTED", "1", "client_pending_bytes"},
		{consensus.Overloaded, 429, "RESOURCE_EXHAUSTED", "1", "max_pending"},
		{consensus.BadSignature, 401, "UNAUTHENTICATED", "", "signature"},
		{consensus.NotSupported, 501, "UNIMPLEMENTED", "", "not served"},
		{consensus.BadRequest, 400, "INVALID_ARGUMENT", "", "bad_request"},
	} {
		p.locked(func() { p.admit = func(crypto.GroupView) consensus.Reason { return c.reason } })
		for _, url := range []string{"", `"client_url":"http://localhost/",`} {
			a := p.curl(t, "/request", `{"id":[1,7],`+url+`"data":"x"}`)
			if a.status != c.status || a.field(t, "code") != c.code || a.header.Get("Retry-After") != c.retry || !strings.Contains(a.body, c.want) {
				t.Errorf("%v: %d, Retry-After %q, %s", c.reason, a.status, a.header.Get("Retry-After"), a.body)
			}
			if hint := strings.Contains(a.body, "google.rpc.RetryInfo"); hint != (c.retry != "") {
				t.Errorf("%v: RetryInfo %v", c.reason, hint)
			}
		}
	}
	if n := p.server.collector.waiting(); n != 0 {
		t.Errorf("%d callers left behind", n)
	}
}

func TestFullInboxIsOverload(t *testing.T) {
	p := start(t)
	p.locked(func() { p.full = true })
	if a := p.curl(t, "/request", `{"id":[1,7],"data":"x"}`); a.status != 429 || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestWithoutAQuorumNothingIsOrdered(t *testing.T) {
	p := start(t)
	p.locked(func() { p.ready = errors.New("replica 2 reaches 2 of 4 replicas") })
	for _, url := range []string{"", `"client_url":"http://localhost/",`} {
		a := p.curl(t, "/request", `{"id":[1,7],`+url+`"data":"x"}`)
		if a.status != 503 || a.field(t, "code") != "UNAVAILABLE" || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "2 of 4") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	p.locked(func() {
		if p.next != 0 {
			t.Error("something was ordered")
		}
	})
}

func TestDeadlineLeavesTheOutcomeUnknown(t *testing.T) {
	p := start(t)
	p.locked(func() { p.stuck = true })
	a := p.curl(t, "/request", `{"id":[1,7],"data":"x"}`, "Grpc-Timeout", "20m")
	if a.status != 504 || a.field(t, "code") != "DEADLINE_EXCEEDED" || !strings.Contains(a.body, "outcome is unknown") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := p.curl(t, "/request", `{"id":[1,7],"data":"x"}`, "Grpc-Timeout", "soon"); a.status != 400 {
		t.Errorf("odd timeout: %d %s", a.status, a.body)
	}
}

func TestOneReplicaIsNotEnough(t *testing.T) {
	p := start(t)
	p.locked(func() { p.replies = only(2, 2, 2) })
	a := p.curl(t, "/request", `{"id":[1,7],"data":"x"}`, "Grpc-Timeout", "20m")
	if a.status != 504 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestALiarDoesNotDecide(t *testing.T) {
	p := start(t)
	p.locked(func() {
		p.replies = func(m message.Reply, to func(message.Reply)) {
			lie := m
			lie.Replica, lie.Result.Value = 0, []byte("lie")
			to(lie)
			lie.Replica, lie.Session = 9, m.Session // no such replica
			to(lie)
			only(1, 3)(m, to)
		}
	})
	a := p.curl(t, "/request", `{"id":[1,7],"data":"x"}`)
	if a.status != 200 || a.field(t, "result") != "1:x" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestCallerAsksAllReplicasAgain(t *testing.T) {
	p := start(t, func(c *config.Config) { c.ClientRetry = time.Millisecond })
	lost := 3
	p.locked(func() {
		p.replies = func(m message.Reply, to func(message.Reply)) {
			if lost--; lost >= 0 {
				return
			}
			only(0, 1)(m, to)
		}
	})
	a := p.curl(t, "/request", `{"id":[1,7],"data":"x"}`)
	if a.status != 200 || a.field(t, "result") != "1:x" {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.locked(func() {
		if p.relayed == 0 || p.asked == 0 {
			t.Errorf("relayed %d times, asked %d times", p.relayed, p.asked)
		}
	})
}

func TestStopTellsCallersThatWait(t *testing.T) {
	p := start(t)
	entered := make(chan struct{})
	p.locked(func() {
		p.stuck = true
		p.admit = func(crypto.GroupView) consensus.Reason {
			close(entered)
			return consensus.OK
		}
	})
	got := make(chan answered, 1)
	go func() {
		a, err := p.try("POST", "/request", strings.NewReader(`{"id":[1,7],"data":"x"}`))
		if err != nil {
			a.body = err.Error()
		}
		got <- a
	}()
	<-entered
	if err := p.server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.status != 503 || !strings.Contains(a.body, "stopping") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSubmitByStub(t *testing.T) {
	p := start(t)
	c := pbftv1.NewClientServiceClient(p.dial(t))
	in := &pbftv1.SubmitRequest{Client: "alice", Number: 3, Op: []byte("x\xff")}
	out, err := c.Submit(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := &pbftv1.SubmitResponse{
		Client: "alice", Session: p.server.cluster.SessionOfData(in.Op), Number: 3,
		Status: pbftv1.ReplyStatus_REPLY_STATUS_OK, N: 1, Result: []byte("1:x\xff"), Replicas: out.GetReplicas(),
	}
	if !proto.Equal(out, want) || len(out.GetReplicas()) != 2 {
		t.Errorf("got %v, want %v", out, want)
	}
	in.Session, in.Op = 77, []byte("y")
	if _, err := c.Submit(t.Context(), in); status.Code(err) != codes.AlreadyExists {
		t.Errorf("number reused: %v", err)
	}
	got, err := c.GetOutcome(t.Context(), &pbftv1.GetOutcomeRequest{Client: "alice", Number: 3})
	if err != nil || got.GetSession() != want.GetSession() || string(got.GetResult()) != "1:x\xff" {
		t.Errorf("outcome %v, %v", got, err)
	}
	got, err = c.GetOutcome(t.Context(), &pbftv1.GetOutcomeRequest{Client: "alice", Number: 3, Session: 77})
	if err != nil || got.GetStatus() != pbftv1.ReplyStatus_REPLY_STATUS_REJECTED {
		t.Errorf("outcome under another session %v, %v", got, err)
	}
}

func TestSubmitRefusesBadFields(t *testing.T) {
	p := start(t)
	c := pbftv1.NewClientServiceClient(p.dial(t))
	for _, x := range []struct {
		field string
		code  codes.Code
		want  string
		in    *pbftv1.SubmitRequest
	}{
		{"client", codes.InvalidArgument, "0 bytes", &pbftv1.SubmitRequest{}},
		{"client", codes.InvalidArgument, "65 bytes", &pbftv1.SubmitRequest{Client: strings.Repeat("c", 65)}},
		{"client", codes.InvalidArgument, "reserved", &pbftv1.SubmitRequest{Client: "admin"}},
		{"client", codes.InvalidArgument, "reserved", &pbftv1.SubmitRequest{Client: "member/2"}},
		{"number", codes.InvalidArgument, "9007199254740992", &pbftv1.SubmitRequest{Client: "c", Number: 1 << 53}},
		{"kind", codes.Unimplemented, "REQUEST_KIND_READ", &pbftv1.SubmitRequest{Client: "c", Kind: pbftv1.RequestKind_REQUEST_KIND_READ}},
		{"kind", codes.InvalidArgument, "77", &pbftv1.SubmitRequest{Client: "c", Kind: 77}},
		{"op", codes.InvalidArgument, "1044481", &pbftv1.SubmitRequest{Client: "c", Op: make([]byte, 1044481)}},
		{"signature", codes.InvalidArgument, "63 bytes", &pbftv1.SubmitRequest{Client: "c", Signature: make([]byte, 63)}},
		{"client_time", codes.InvalidArgument, "NaN", &pbftv1.SubmitRequest{Client: "c", ClientTime: proto.Float64(math.NaN())}},
		{"reply_url", codes.InvalidArgument, "ftp", &pbftv1.SubmitRequest{Client: "c", ReplyUrl: "ftp://localhost"}},
		{"reply_url", codes.PermissionDenied, "example.com", &pbftv1.SubmitRequest{Client: "c", ReplyUrl: "http://example.com"}},
	} {
		_, err := c.Submit(t.Context(), x.in)
		s := status.Convert(err)
		if s.Code() != x.code || !strings.Contains(s.Message(), x.want) {
			t.Errorf("%s: %v", x.field, err)
			continue
		}
		bad, ok := s.Details()[0].(*errdetails.BadRequest)
		if !ok || bad.GetFieldViolations()[0].GetField() != x.field {
			t.Errorf("%s: details %v", x.field, s.Details())
		}
	}
	if _, err := c.Submit(t.Context(), &pbftv1.SubmitRequest{Client: "c", Number: 1, Signature: make([]byte, 64)}); err != nil {
		t.Errorf("a signature of 64 bytes: %v", err)
	}
}
