package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a cluster of four in one goroutine: it orders every request at once,
// and all replicas agree unless a test says otherwise. The result of a request
// is its sequence number and its operation.
type fake struct {
	server *Server
	tasks  chan func()
	ended  chan struct{}

	mu      sync.Mutex
	info    wire.ServerInfo
	ready   error
	next    uint64
	table   map[waitKey]executed
	low     uint64                                        // numbers below are closed
	admit   func(crypto.GroupView) consensus.Reason       // nil: all
	replies func(m message.Reply, to func(message.Reply)) // nil: all four replicas say so
	full    bool                                          // the inbox takes nothing
	stuck   bool                                          // admits, orders nothing
	sources []consensus.Source
	relayed int
	asked   int
	blamed  int
}

type executed struct {
	session uint64
	result  crypto.Result
}

func newFake(c *config.Config) *fake {
	f := &fake{
		tasks: make(chan func(), 4096), ended: make(chan struct{}), table: map[waitKey]executed{},
		info: wire.ServerInfo{
			Index: 2, Replicas: 4, View: 0, Cluster: c.ClusterID, ClientWindow: 1024, MaxGroup: crypto.MaxGroup,
			MaxGroupBytes: crypto.MaxGroupBytes, MaxOperationBytes: c.MaxOperationBytes(), Normal: true,
		},
	}
	go func() {
		defer close(f.ended)
		for t := range f.tasks {
			t()
		}
	}()
	return f
}

// locked changes what the fake does, or looks at what it did.
func (f *fake) locked(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) Info() wire.ServerInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.info
}

func (f *fake) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

func (f *fake) Submit(g crypto.GroupView, src consensus.Source, admitted func(consensus.Reason)) consensus.Reason {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return consensus.Overloaded
	}
	f.sources = append(f.sources, src)
	admit, stuck := f.admit, f.stuck
	f.tasks <- func() {
		if admit != nil {
			if r := admit(g); r != consensus.OK {
				admitted(r)
				return
			}
		}
		admitted(consensus.OK)
		if !stuck {
			f.order(g)
		}
	}
	return consensus.OK
}

func (f *fake) order(g crypto.GroupView) {
	client := string(g.Client)
	b := execution.Block{Client: client, Session: g.Session}
	var r crypto.Request
	f.mu.Lock()
	f.next++
	for c := g.Cursor(); c.Next(&r); {
		old, seen := f.table[waitKey{client, r.Number}]
		res := crypto.Result{N: f.next, Number: r.Number, Status: crypto.StatusOK, Value: fmt.Appendf(nil, "%d:%s", f.next, r.Op)}
		switch {
		case r.Number < f.low:
			res = crypto.Result{Number: r.Number, Status: crypto.StatusExpired}
		case seen && old.session == g.Session:
			res = old.result
		case seen:
			res = crypto.Result{N: old.result.N, Number: r.Number, Status: crypto.StatusRejected}
		default:
			f.table[waitKey{client, r.Number}] = executed{g.Session, res}
		}
		b.Results = append(b.Results, res)
		b.Singles = append(b.Singles, execution.Single{Origin: g.Origin, URL: r.ReplyURL, Op: r.Op, ClientTime: r.ClientTime, Executed: true})
	}
	n, view := f.next, f.info.View
	f.mu.Unlock()
	var list []byte
	for i := range b.Results {
		list = crypto.AppendResult(list, b.Session, &b.Results[i])
	}
	b.Digest = f.server.cluster.BlockDigest(list)
	f.server.DeliverBlock(n, view, &b)
	for i, it := range b.Singles {
		if it.Origin != 0 {
			f.reply(message.Reply{View: view, Client: client, Session: g.Session, Result: b.Results[i]})
		}
		if len(it.URL) > 0 && b.Results[i].Status == crypto.StatusOK {
			f.server.PostReply(Posting{View: view, Client: client, Number: b.Results[i].Number, N: b.Results[i].N,
				URL: it.URL, ClientTime: it.ClientTime, Op: it.Op, Result: b.Results[i]})
		}
	}
}

func (f *fake) reply(m message.Reply) {
	f.mu.Lock()
	replies := f.replies
	f.mu.Unlock()
	to := func(m message.Reply) { f.server.DeliverReply(&m) }
	if replies != nil {
		replies(m, to)
		return
	}
	for i := range 4 {
		m.Replica = message.ReplicaID(i)
		to(m)
	}
}

func (f *fake) look(client string, session, number uint64) (uint64, crypto.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.table[waitKey{client, number}]
	switch {
	case number < f.low:
		return session, crypto.Result{Number: number, Status: crypto.StatusExpired}
	case !ok:
		return session, crypto.Result{Number: number, Status: crypto.StatusNotExecuted}
	case session != 0 && session != e.session:
		return e.session, crypto.Result{N: e.result.N, Number: number, Status: crypto.StatusRejected}
	}
	return e.session, e.result
}

func (f *fake) FetchReplies(client string, session, number uint64) {
	f.locked(func() { f.asked++ })
	f.tasks <- func() {
		real, r := f.look(client, session, number)
		if session == 0 {
			session = real
		}
		f.reply(message.Reply{Client: client, Session: session, Result: r})
	}
}

func (f *fake) RelayAll(g crypto.GroupView) {
	f.locked(func() { f.relayed++ })
	f.tasks <- func() { f.order(g) }
}

func (f *fake) Lookup(_ context.Context, client string, session, number uint64) (uint64, uint64, crypto.Result, error) {
	real, r := f.look(client, session, number)
	return f.Info().View, real, r, nil
}

func (f *fake) ClientInfo(_ context.Context, client string) (low, next, last uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.table {
		if k.client == client {
			next = max(next, k.number+1)
		}
	}
	return f.low, next, f.next, nil
}

func (f *fake) Status(context.Context) (*pbftv1.GetStatusResponse, error) {
	return &pbftv1.GetStatusResponse{Index: 2, Replicas: 4, Counters: f.server.Counters()}, nil
}

func (f *fake) Log(_ context.Context, from uint64, limit int) (*pbftv1.ListLogResponse, error) {
	out := &pbftv1.ListLogResponse{First: 1}
	for i := range limit {
		out.Entries = append(out.Entries, &pbftv1.LogEntry{Header: &pbftv1.Header{N: from + uint64(i)},
			Requests: []*pbftv1.LoggedRequest{{Op: make([]byte, 64<<10)}}})
	}
	return out, nil
}

func (f *fake) Dump(_ context.Context, from uint64, limitBytes int) (*pbftv1.DumpResponse, error) {
	return &pbftv1.DumpResponse{First: from, Next: uint64(limitBytes)}, nil
}

func (f *fake) Complain() { f.locked(func() { f.blamed++ }) }

const sample = `
nodes:
  - {host: localhost, port: 30000}
  - {host: localhost, port: 30001}
  - {host: localhost, port: 30002}
  - {host: localhost, port: 30003}
clients:
  - {host: client.example, port: 20001}
allow_reply_hosts: [replies.example]
loss%: 0
ckpt_interval: 10
retry_times_before_view_change: 2
sync_interval: 5
misc:
  network_timeout: 5
`

// port is a server on a socket of its own.
type port struct {
	*fake
	addr   string
	client *http.Client
}

// start serves a fake cluster's replica 2 until the test ends.
func start(t *testing.T, change ...func(*config.Config)) *port {
	t.Helper()
	c, err := config.Parse("sample", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	c.ClientRetry = time.Minute // no test shall ask again by accident
	for _, f := range change {
		f(c)
	}
	f := newFake(c)
	s, err := New(Options{Config: c, Index: 2, Version: "v0"}, f)
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	p := &port{fake: f, addr: ln.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		close(f.tasks)
		<-f.ended
	})
	return p
}

// dial connects to the port by gRPC.
func (p *port) dial(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	c, err := grpc.NewClient("passthrough:///"+p.addr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answer is what came back over HTTP.
type answered struct {
	status int
	header http.Header
	body   string
}

func (a answered) field(t *testing.T, name string) any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return m[name]
}

// send makes one HTTP request. header holds names and values in turn.
func (p *port) send(t *testing.T, method, path string, body io.Reader, header ...string) answered {
	t.Helper()
	a, err := p.try(method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (p *port) try(method, path string, body io.Reader, header ...string) (answered, error) {
	r, err := http.NewRequest(method, "http://"+p.addr+path, body)
	if err != nil {
		return answered{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, string(b)}, errors.Join(err)
}

// curl posts as curl --data does.
func (p *port) curl(t *testing.T, path, body string, header ...string) answered {
	t.Helper()
	header = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)
	return p.send(t, http.MethodPost, path, bytes.NewReader([]byte(body)), header...)
}
