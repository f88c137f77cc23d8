package transport

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// alone starts replica 0 of four, whose peers strangers play.
func alone(t *testing.T, change ...func(*Options, *node)) *node {
	lns, addrs := addrsOf(t, 1)
	return serve(t, 0, lns[0], append(addrs, "", "", ""), change...)
}

func TestStrangersAreRefusedByValue(t *testing.T) {
	n := alone(t)
	for name, c := range map[string]struct {
		change func(h *pbftv1.Hello)
		code   codes.Code
		want   string
	}{
		"version":            {func(h *pbftv1.Hello) { h.Version = 2 }, codes.FailedPrecondition, "version is 2, this replica speaks 1"},
		"cluster":            {func(h *pbftv1.Hello) { h.ClusterId = []byte{0xab} }, codes.PermissionDenied, "cluster_id is ab, ours is 010203"},
		"receiver":           {func(h *pbftv1.Hello) { h.To = 2 }, codes.PermissionDenied, "to is 2, this is replica 0"},
		"index out of range": {func(h *pbftv1.Hello) { h.Index = 4 }, codes.PermissionDenied, "index is 4, peers of replica 0 have the others below 4"},
		"index of itself":    {func(h *pbftv1.Hello) { h.Index = 0 }, codes.PermissionDenied, "index is 0"},
		"incarnation":        {func(h *pbftv1.Hello) { h.Incarnation = 9 }, codes.PermissionDenied, "incarnation of replica 1 is 9, configured is 0"},
		"length of digest":   {func(h *pbftv1.Hello) { h.ConfigDigest = []byte{1} }, codes.InvalidArgument, "config_digest of 1 bytes"},
		"configuration": {func(h *pbftv1.Hello) {
			h.ConfigDigest = make([]byte, 32)
			h.Values[0].Value = "7"
		}, codes.FailedPrecondition, `replicas is 4 here and "7" there`},
	} {
		h := helloOf(t, 1)
		c.change(h)
		for _, bulk := range []bool{false, true} {
			err := end(dialStranger(t, n.addr).open(bulk, frameWith(h)))
			if wantStatus(t, err, c.code, c.want); t.Failed() {
				t.Fatalf("%s, bulk %v", name, bulk)
			}
		}
	}
	if len(n.ups) > 0 || len(n.frames) > 0 {
		t.Error("a stranger got a link")
	}
	if log := n.log.String(); !strings.Contains(log, "stranger on the peer port refused") || !strings.Contains(log, "remote=127.0.0.1:") {
		t.Errorf("log: %s", log)
	}
}

func TestTheLargerIndexDials(t *testing.T) {
	lns, addrs := addrsOf(t, 1)
	n := serve(t, 2, lns[0], append([]string{"", ""}, addrs[0], ""))
	h := helloOf(t, 1)
	h.To = 2
	wantStatus(t, end(dialStranger(t, n.addr).open(false, frameWith(h))), codes.PermissionDenied, "the larger index dials")
}

func TestFirstFrameMustBeAHello(t *testing.T) {
	n := alone(t)
	vote := frameOf(testEpoch, &message.Prepare{N: 1})
	both, err := proto.Marshal(&pbftv1.ConnectRequest{Frame: &pbftv1.PeerFrame{
		Hello: helloOf(t, 1), Messages: []*pbftv1.PeerMessage{generatedForm(&message.Prepare{N: 1})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for want, first := range map[string][]byte{
		"a hello and nothing else": vote,
		"and nothing else":         both,
		"hello":                    nil,
		"first frame: proto":       []byte("\xff\xff\xff"),
		"a hello has at most":      make([]byte, maxHello+1),
	} {
		wantStatus(t, end(dialStranger(t, n.addr).open(false, first)), codes.InvalidArgument, want)
	}
	if len(n.frames) > 0 {
		t.Error("a message came before the hello")
	}
}

func TestGarbageOnThePeerPortIsClosedAndLogged(t *testing.T) {
	nodes := cluster(t, 2)
	for _, garbage := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01", strings.Repeat("\x00", 1<<16),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 100),
	} {
		c, err := net.Dial("tcp", nodes[0].addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // until the other end closes
		c.Close()
	}
	vote := &message.Prepare{N: 1}
	nodes[1].Send(0, vote)
	var pending []message.Message
	nodes[0].next(t, &pending, 1)
	if log := nodes[0].log.String(); !strings.Contains(log, "no replica introduced itself") {
		t.Errorf("log: %s", log)
	}
}

func TestClientsAreToldTheirPort(t *testing.T) {
	n := alone(t)
	conn := dialStranger(t, n.addr)
	_, err := pbftv1.NewClientServiceClient(conn.conn).GetOutcome(t.Context(), &pbftv1.GetOutcomeRequest{})
	wantStatus(t, err, codes.Unimplemented, "this port is for replicas, clients use port 30000")
}

func TestSecondConnectionIsRefusedWhileTheFirstLives(t *testing.T) {
	nodes := cluster(t, 2)
	err := end(dialStranger(t, nodes[0].addr).open(false, frameWith(helloOf(t, 1))))
	wantStatus(t, err, codes.AlreadyExists, "replica 1 is connected from 127.0.0.1:")
	nodes[1].Send(0, &message.Prepare{N: 7})
	var pending []message.Message
	if m := nodes[0].next(t, &pending, 1); m.(*message.Prepare).N != 7 || len(nodes[0].downs) > 0 {
		t.Errorf("got %+v; %d links broke", m, len(nodes[0].downs))
	}
}

func TestSecondConnectionReplacesOneThatDoesNotAnswer(t *testing.T) {
	n := alone(t)
	dead := dialStranger(t, n.addr).connect(false, helloOf(t, 1)) // never reads the ping
	second := dialStranger(t, n.addr)
	call := second.connect(false, helloOf(t, 1))
	wantStatus(t, end(dead), codes.Aborted, "another one takes its place")
	second.send(call, frameOf(testEpoch, &message.Prepare{N: 7}))
	var pending []message.Message
	n.next(t, &pending, 1)
	if a, down, b := <-n.ups, <-n.downs, <-n.ups; a != 1 || down != 1 || b != 1 {
		t.Errorf("up %d, down %d, up %d", a, down, b)
	}
}

func TestPingIsAnsweredBeforeEverythingElse(t *testing.T) {
	n := alone(t)
	s := dialStranger(t, n.addr)
	call := s.connect(false, helloOf(t, 1))
	<-n.ups
	ping, err := proto.Marshal(&pbftv1.ConnectRequest{Frame: &pbftv1.PeerFrame{Epoch: testEpoch, Messages: []*pbftv1.PeerMessage{
		{Message: &pbftv1.PeerMessage_Ping{Ping: &pbftv1.Ping{Nonce: 5}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s.send(call, ping)
	var raw wire.Raw
	if err := call.RecvMsg(&raw); err != nil {
		t.Fatal(err)
	}
	w := &pbftv1.ConnectResponse{}
	if err := proto.Unmarshal(raw.Data, w); err != nil || w.GetFrame().GetMessages()[0].GetPong().GetNonce() != 5 {
		t.Errorf("%v, %v", w, err)
	}
}

func TestBulkBelongsToTheConnectionOfItsLink(t *testing.T) {
	n := alone(t)
	const want = "needs Connect first, then one Bulk on the same connection"
	first, other := dialStranger(t, n.addr), dialStranger(t, n.addr)
	wantStatus(t, end(first.open(true, frameWith(helloOf(t, 1)))), codes.FailedPrecondition, want)
	first.connect(false, helloOf(t, 1))
	wantStatus(t, end(other.open(true, frameWith(helloOf(t, 1)))), codes.FailedPrecondition, want)
	bulk := first.connect(true, helloOf(t, 1))
	wantStatus(t, end(first.open(true, frameWith(helloOf(t, 1)))), codes.FailedPrecondition, want)
	first.send(bulk, frameOf(testEpoch, &message.Body{Batch: testBatch(1, "x")}))
	var pending []message.Message
	n.next(t, &pending, 1)
}

func TestOversizedFrameEndsTheStreamAndIsCounted(t *testing.T) {
	n := alone(t)
	s := dialStranger(t, n.addr)
	call := s.connect(false, helloOf(t, 1))
	s.send(call, make([]byte, maxReceived(testLimits)+1))
	wantStatus(t, end(call), codes.ResourceExhausted, "larger than max")
	<-n.downs
	if p := n.Peers()[0]; p.Reasons[TooLarge] != 1 {
		t.Errorf("state: %+v", p)
	}
}

func TestBrokenFrameEndsTheStream(t *testing.T) {
	n := alone(t)
	s := dialStranger(t, n.addr)
	call := s.connect(false, helloOf(t, 1))
	s.send(call, frameWith(helloOf(t, 1))) // a second hello
	wantStatus(t, end(call), codes.InvalidArgument, "out of place")
}

func TestReplyOfAnotherReplicaEndsTheLink(t *testing.T) {
	n := alone(t)
	s := dialStranger(t, n.addr)
	call := s.connect(false, helloOf(t, 1))
	s.send(call, frameOf(testEpoch, &message.Reply{Client: "c", Replica: 2, Result: crypto.Result{Status: crypto.StatusOK}}))
	wantStatus(t, end(call), codes.ResourceExhausted, "reply of replica 2 from replica 1")
}

func TestPeerThatSendsTooMuchInvalidIsKeptOut(t *testing.T) {
	n := alone(t)
	s := dialStranger(t, n.addr)
	call := s.connect(false, helloOf(t, 1))
	<-n.ups
	s.send(call, frameOf(testEpoch, &message.Prepare{N: 1}))
	bad := frameOf(testEpoch, &message.FetchReply{}) // of no client
	for range maxInvalid + 1 {
		s.send(call, bad)
	}
	wantStatus(t, end(call), codes.ResourceExhausted, "come back in 1s")
	<-n.downs
	wantStatus(t, end(s.open(false, frameWith(helloOf(t, 1)))), codes.ResourceExhausted, "come back in")
	if p := n.Peers()[0]; p.Rejected != maxInvalid+1 || p.Reasons[Malformed] != maxInvalid+1 || !strings.Contains(p.LastError, "come back") {
		t.Errorf("state: %+v", p)
	}
	s.connect(false, helloOf(t, 2)) // others come in
	if peer := <-n.ups; peer != 2 {
		t.Errorf("replica %d came in", peer)
	}
}

// The pause doubles with each time, and is forgotten in the end.
func TestPenaltyGrowsAndIsForgotten(t *testing.T) {
	p := &peer{rejected: make(map[Reason]uint64)}
	now := time.Unix(1_700_000_000, 0)
	fill := func() (ban time.Duration) {
		for range maxInvalid {
			if ban := p.count(BadSignature, "", now); ban != 0 {
				t.Fatal("kept out too early")
			}
		}
		return p.count(BadSignature, "", now)
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if ban := fill(); ban != want*time.Second {
			t.Errorf("kept out for %v, want %ds", ban, want)
		}
	}
	now = now.Add(penaltyMost + penaltyMemory + time.Second)
	if ban := fill(); ban != penaltyFirst {
		t.Errorf("kept out for %v after long", ban)
	}
	for i := range 3 * maxInvalid { // seldom enough
		now = now.Add(invalidWindow/maxInvalid + time.Millisecond)
		if ban := p.count(BadSignature, "", now); ban != 0 {
			t.Fatalf("kept out at message %d", i)
		}
	}
	for range 3 * maxInvalid { // no fault
		if ban := p.count(NotSupported, "", now) + p.count(WrongEpoch, "", now); ban != 0 {
			t.Fatal("kept out for what is no fault")
		}
	}
	if ban := p.count(WrongSender, "", now); ban == 0 {
		t.Error("speaks for others and may stay")
	}
}

func TestHelloMustComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		tr := &Transport{ctx: t.Context()}
		_, err := tr.awaitHello(&silent{r: r})
		wantStatus(t, err, codes.DeadlineExceeded, "no hello within 5s")
		_ = w.Close()
		tr.wg.Wait()
	})
}

// silent is a stream whose end says nothing until it is closed.
type silent struct {
	stream
	r io.Reader
}

func (s *silent) RecvMsg(any) error {
	_, err := bufio.NewReader(s.r).ReadByte()
	return err
}

func TestConnectionsOfThePeerPortAreBounded(t *testing.T) {
	n := alone(t)
	n.conns.mu.Lock()
	n.conns.limit = 2
	n.conns.mu.Unlock()
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", n.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	if _, err := conns[2].Read(make([]byte, 1)); err == nil {
		t.Error("the third connection was served")
	}
	conns[0].Close()
	for { // a place is free as soon as the other end sees that
		c, err := net.Dial("tcp", n.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil { // HTTP/2 settings
			return
		}
	}
}

func TestConnectionWithoutLinkExpires(t *testing.T) {
	n := alone(t)
	idle, linked := dialStranger(t, n.addr), dialStranger(t, n.addr)
	err := end(idle.open(false, nil))
	wantStatus(t, err, codes.InvalidArgument, "hello")
	call := linked.connect(false, helloOf(t, 1))
	<-n.ups
	n.conns.mu.Lock()
	var open []*conn
	for _, c := range n.conns.open {
		open = append(open, c)
	}
	n.conns.mu.Unlock()
	if len(open) != 2 {
		t.Fatalf("%d connections", len(open))
	}
	for _, c := range open {
		c.expire()
	}
	linked.send(call, frameOf(testEpoch, &message.Prepare{}))
	var pending []message.Message
	n.next(t, &pending, 1)
	n.conns.mu.Lock()
	defer n.conns.mu.Unlock()
	if len(n.conns.open) != 1 {
		t.Errorf("%d connections stay", len(n.conns.open))
	}
}
