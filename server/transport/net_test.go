package transport

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pbft-go/pbft/config"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is one call of Receive.
type received struct {
	from message.ReplicaID
	msgs []message.Message
}

// node is a transport with a handler that records.
type node struct {
	*Transport
	addr   string
	log    *logBuffer
	frames chan received
	ups    chan message.ReplicaID // links that came up
	downs  chan message.ReplicaID
	gate   chan struct{} // not nil: Receive waits until it is closed
	served chan error
}

func (n *node) Receive(from message.ReplicaID, msgs []message.Message, _ int) {
	if n.gate != nil {
		<-n.gate
	}
	n.frames <- received{from, msgs}
}

func (n *node) Connected(peer message.ReplicaID, up bool) {
	if up {
		n.ups <- peer
	} else {
		n.downs <- peer
	}
}

// next is the next message of a peer; of others none may come before it.
func (n *node) next(t *testing.T, pending *[]message.Message, from message.ReplicaID) message.Message {
	t.Helper()
	for len(*pending) == 0 {
		r := <-n.frames
		if r.from != from {
			t.Fatalf("message of replica %d, want one of %d", r.from, from)
		}
		*pending = r.msgs
	}
	m := (*pending)[0]
	*pending = (*pending)[1:]
	return m
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testConfig is that of four replicas, with extra lines of YAML.
func testConfig(t testing.TB, extra string) *config.Config {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "cluster_id: %s\nnodes:\n", hex.EncodeToString(testCluster[:]))
	for i := range 4 {
		fmt.Fprintf(&b, "  - {host: localhost, port: %d}\n", 30000+i)
	}
	c, err := config.Parse("test", []byte(b.String()+extra))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// addrsOf opens n listeners.
func addrsOf(t testing.TB, n int) (lns []net.Listener, addrs []string) {
	for range n {
		ln := listen(t, "127.0.0.1:0")
		lns, addrs = append(lns, ln), append(addrs, ln.Addr().String())
	}
	return lns, addrs
}

// serve runs the transport of replica i. Options may be changed before.
func serve(t testing.TB, i int, ln net.Listener, addrs []string, change ...func(*Options, *node)) *node {
	t.Helper()
	n := &node{
		addr: ln.Addr().String(), log: &logBuffer{}, frames: make(chan received, 4096),
		ups: make(chan message.ReplicaID, 64), downs: make(chan message.ReplicaID, 64), served: make(chan error, 1),
	}
	o := Options{
		Config: testConfig(t, ""), Index: i, Verifier: testVerifier(), Limits: testLimits, Addrs: addrs,
		Logger: slog.New(slog.NewTextHandler(n.log, nil)),
	}
	for _, f := range change {
		f(&o, n)
	}
	var err error
	if n.Transport, err = New(o, n); err != nil {
		t.Fatal(err)
	}
	go func() { n.served <- n.Serve(ln) }()
	n.Start()
	t.Cleanup(func() { n.close(t) })
	return n
}

// close stops a node, once.
func (n *node) close(t testing.TB) {
	if n.served == nil {
		return
	}
	n.Stop()
	if err := <-n.served; err != nil {
		t.Errorf("serving: %v", err)
	}
	n.served = nil
}

// cluster runs the first n of four replicas and waits for all their links.
func cluster(t testing.TB, n int, change ...func(*Options, *node)) []*node {
	t.Helper()
	lns, addrs := addrsOf(t, n)
	addrs = append(addrs, make([]string, 4-n)...)
	var nodes []*node
	for i := range n {
		nodes = append(nodes, serve(t, i, lns[i], addrs, change...))
	}
	for _, node := range nodes {
		for range n - 1 {
			<-node.ups
		}
	}
	return nodes
}

// stranger speaks to a peer port by hand.
type stranger struct {
	t      *testing.T
	conn   *grpc.ClientConn
	client pbftv1.PeerServiceClient
	ctx    context.Context
}

// dialStranger opens a connection that lasts as long as the test.
func dialStranger(t *testing.T, addr string) *stranger {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, append(wire.PeerDialOptions(64<<20),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &stranger{t: t, conn: conn, client: pbftv1.NewPeerServiceClient(conn), ctx: t.Context()}
}

// open opens a stream and sends a first frame.
func (s *stranger) open(bulk bool, first []byte) stream {
	s.t.Helper()
	var call stream
	var err error
	if bulk {
		call, err = s.client.Bulk(s.ctx)
	} else {
		call, err = s.client.Connect(s.ctx)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(call, first)
	return call
}

func (s *stranger) send(call stream, frame []byte) {
	s.t.Helper()
	if err := call.SendMsg(&wire.Raw{Data: frame}); err != nil {
		s.t.Fatal(err)
	}
}

// connect opens a stream under an identity that is accepted.
func (s *stranger) connect(bulk bool, h *pbftv1.Hello) stream {
	s.t.Helper()
	call := s.open(bulk, frameWith(h))
	if _, err := readHello(call); err != nil {
		s.t.Fatal(err)
	}
	return call
}

// end reads a stream to its end.
func end(call stream) error {
	for {
		if err := call.RecvMsg(&wire.Raw{}); err != nil {
			return err
		}
	}
}

// helloOf is what replica from says to replica 0.
func helloOf(t testing.TB, from int) *pbftv1.Hello {
	return newHello(&Options{Config: testConfig(t, ""), Index: from}, 0)
}

func frameWith(h *pbftv1.Hello) []byte {
	b, err := helloFrame(h)
	if err != nil {
		panic(err)
	}
	return b
}
