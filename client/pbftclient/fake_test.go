package pbftclient_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakes are replicas that agree by sharing one log, over real sockets. Each
// may be told to lie, to refuse or to be silent.
type fakes struct {
	t        *testing.T
	id       crypto.ClusterID
	info     wire.ServerInfo // what all of them say of the cluster
	replicas []*fake

	mu  sync.Mutex
	n   uint64                    // batches ordered
	log map[requestID]orderedItem // what was executed
}

type requestID struct {
	client string
	number uint64
}

type orderedItem struct {
	session uint64
	result  crypto.Result
}

// fake is one replica.
type fake struct {
	pbftv1.UnimplementedClientServiceServer
	c     *fakes
	index int
	addr  string
	got   chan wire.SessionRequest // every message, in order; overflow is dropped

	server *grpc.Server
	served chan struct{}

	// The cluster's lock guards these; they may be set at any time.
	introduce func(*wire.ServerInfo)           // changes what it says of itself
	say       func(*wire.SessionResponse) bool // changes what it says; false: says nothing
	refuse    func(*wire.Group) *wire.Refusal
	ignore    bool // does not order what it gets
	streams   map[*fakeStream]bool
}

// fakeStream is one client's stream to a replica.
type fakeStream struct {
	out   chan []byte
	opens map[uint32]wire.Open
}

// op is the result of every operation.
func resultOf(op []byte) []byte { return append([]byte("done "), op...) }

func startFakes(t *testing.T, n int) *fakes {
	c := &fakes{t: t, id: crypto.ClusterID{1, 2, 3}, log: map[requestID]orderedItem{}}
	c.info = wire.ServerInfo{
		Replicas: n, Cluster: c.id, ClientWindow: 64, MaxGroup: 16, MaxGroupBytes: 4096, MaxOperationBytes: 10_000, Normal: true,
	}
	for i := range n {
		f := &fake{c: c, index: i, addr: "127.0.0.1:0", got: make(chan wire.SessionRequest, 4096), streams: map[*fakeStream]bool{}}
		c.replicas = append(c.replicas, f)
		f.start()
	}
	t.Cleanup(func() {
		for _, f := range c.replicas {
			f.stop()
		}
	})
	return c
}

// start listens, where it listened before if it did.
func (f *fake) start() {
	ln, err := net.Listen("tcp", f.addr)
	if err != nil {
		f.c.t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	f.server = grpc.NewServer(wire.ServerOptions(4 << 20)...)
	pbftv1.RegisterClientServiceServer(f.server, f)
	f.served = make(chan struct{})
	go func() {
		defer close(f.served)
		_ = f.server.Serve(ln) // until stop
	}()
}

func (f *fake) stop() {
	if f.server != nil {
		f.server.Stop()
		<-f.served
		f.server = nil
	}
}

func (c *fakes) addrs() (all []string) {
	for _, f := range c.replicas {
		all = append(all, f.addr)
	}
	return all
}

// client connects to all fakes.
func (c *fakes) client(change func(*pbftclient.Options)) *pbftclient.Client {
	o := pbftclient.Options{Replicas: c.addrs(), ClusterID: &c.id, Retry: 40 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	k, err := pbftclient.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = k.Close() })
	return k
}

// do changes the fakes under their lock.
func (c *fakes) do(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// Session serves a stream: a reader, and a writer with a queue between.
func (f *fake) Session(g grpc.BidiStreamingServer[pbftv1.SessionRequest, pbftv1.SessionResponse]) error {
	s := &fakeStream{out: make(chan []byte, 4096), opens: map[uint32]wire.Open{}}
	f.c.do(func() {
		f.streams[s] = true
		info := f.c.info
		info.Index = f.index
		if f.introduce != nil {
			f.introduce(&info)
		}
		s.send(&wire.SessionResponse{Info: &info})
	})
	defer f.c.do(func() { delete(f.streams, s) })
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	go func() {
		defer cancel()
		for {
			var raw wire.Raw
			var in wire.SessionRequest
			if g.RecvMsg(&raw) != nil || in.Parse(raw.Data) != nil {
				return
			}
			f.take(s, &in)
		}
	}()
	for {
		select {
		case b := <-s.out:
			if err := g.SendMsg(&wire.Raw{Data: b}); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *fakeStream) send(m *wire.SessionResponse) {
	select {
	case s.out <- m.Append(nil):
	default: // nobody reads: as if lost
	}
}

// take does what a replica does, in short.
func (f *fake) take(s *fakeStream, in *wire.SessionRequest) {
	select {
	case f.got <- *in:
	default:
	}
	f.c.do(func() {
		for _, o := range in.Opens {
			s.opens[o.Handle] = o
		}
		for i := range in.Groups {
			f.group(s, &in.Groups[i])
		}
		for _, q := range in.Outcomes {
			f.single(s, q.Handle, q.Number, q.Session)
		}
	})
}

func (f *fake) group(s *fakeStream, g *wire.Group) {
	if f.refuse != nil {
		if r := f.refuse(g); r != nil {
			r.Handle, r.First, r.Last = g.Handle, g.Requests[0].Number, g.Requests[len(g.Requests)-1].Number
			f.speak(s, &wire.SessionResponse{Refusals: []wire.Refusal{*r}})
			return
		}
	}
	open, known := s.opens[g.Handle]
	if !known {
		f.c.t.Errorf("replica %d: group under handle %d, which is not open", f.index, g.Handle)
		return
	}
	if !f.ignore {
		f.c.order(open, g)
	}
	if g.Retry {
		for _, r := range g.Requests {
			f.single(s, g.Handle, r.Number, open.Session)
		}
	}
}

// order executes a group as a batch of its own, unless it was executed.
func (c *fakes) order(o wire.Open, g *wire.Group) {
	var results []crypto.Result
	for _, r := range g.Requests {
		id := requestID{o.Client, r.Number}
		if _, done := c.log[id]; done {
			continue
		}
		if results == nil {
			c.n++
		}
		x := crypto.Result{N: c.n, Number: r.Number, Status: crypto.StatusOK, Value: resultOf(r.Op)}
		c.log[id] = orderedItem{o.Session, x}
		results = append(results, x)
	}
	if results == nil {
		return
	}
	for _, f := range c.replicas {
		for s := range f.streams {
			for handle, open := range s.opens {
				if open.Client == o.Client && open.Session == o.Session {
					f.block(s, handle, open, c.n, results)
				}
			}
		}
	}
}

func (f *fake) block(s *fakeStream, handle uint32, o wire.Open, n uint64, results []crypto.Result) {
	b := wire.Block{Handle: handle, N: n, View: f.c.info.View}
	if o.Digests {
		b.Digest = f.c.digest(o.Session, results)
	} else {
		b.Results = append([]crypto.Result(nil), results...)
	}
	f.speak(s, &wire.SessionResponse{Blocks: []wire.Block{b}})
}

func (c *fakes) digest(session uint64, results []crypto.Result) crypto.Digest {
	var list []byte
	for i := range results {
		list = crypto.AppendResult(list, session, &results[i])
	}
	return c.id.BlockDigest(list)
}

// single tells what became of a number, as a retransmission and a query are
// answered.
func (f *fake) single(s *fakeStream, handle uint32, number, session uint64) {
	o := s.opens[handle]
	item, done := f.c.log[requestID{o.Client, number}]
	x := wire.Single{Handle: handle, Client: o.Client, Session: session, Replica: f.index, View: f.c.info.View, Result: item.result}
	switch {
	case !done:
		x.Result = crypto.Result{Number: number, Status: crypto.StatusNotExecuted}
	case session == 0:
		x.Session = item.session
	case session != item.session:
		x.Result = crypto.Result{N: item.result.N, Number: number, Status: crypto.StatusRejected}
	}
	f.speak(s, &wire.SessionResponse{Singles: []wire.Single{x}})
}

func (f *fake) speak(s *fakeStream, m *wire.SessionResponse) {
	if f.say == nil || f.say(m) {
		s.send(m)
	}
}

// executed is how many requests were.
func (c *fakes) executed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.log)
}

// next waits for a message that has what the test looks for.
func (f *fake) next(ctx context.Context, want func(*wire.SessionRequest) bool) wire.SessionRequest {
	f.c.t.Helper()
	for {
		select {
		case m := <-f.got:
			if want(&m) {
				return m
			}
		case <-ctx.Done():
			f.c.t.Fatalf("replica %d never got it", f.index)
		}
	}
}

func hasGroups(m *wire.SessionRequest) bool { return len(m.Groups) > 0 }
func hasRetry(m *wire.SessionRequest) bool  { return len(m.Groups) > 0 && m.Groups[0].Retry }

// streams is how many clients are connected to a replica.
func (c *fakes) streams(i int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.replicas[i].streams)
}
