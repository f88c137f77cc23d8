package pbftclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

const (
	redialFirst = 50 * time.Millisecond
	redialMost  = 2 * time.Second
	// maxMessage bounds what a replica may send at once.
	maxMessage = 64 << 20
	// maxFrame is about the most bytes of operations in one message.
	maxFrame = 2 << 20
)

// conn is the stream to one replica.
type conn struct {
	c     *Client
	index int
	addr  string
	grpc  *grpc.ClientConn
	wake  chan struct{}

	// All below belongs to the client's lock.
	up        bool
	view      uint64
	clusterID crypto.ClusterID
	opens     []wire.Open
	resend    []resend
	asks      []wire.OutcomeQuery
}

// resend is a call to send again, to this replica too.
type resend struct {
	s *Session
	k *call
}

func newConn(c *Client, index int, addr string) (*conn, error) {
	options := append(wire.DialOptions(maxMessage), grpc.WithTransportCredentials(insecure.NewCredentials()))
	g, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		return nil, fmt.Errorf("pbftclient: replica %d at %s: %w", index, addr, err)
	}
	return &conn{c: c, index: index, addr: addr, grpc: g, wake: make(chan struct{}, 1)}, nil
}

func (k *conn) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// open announces a session. Results come in full from one replica, as a digest
// per batch from the others.
func (k *conn) open(s *Session) {
	k.opens = append(k.opens, wire.Open{Handle: s.handle, Client: s.id, Session: s.session, Digests: k.index != k.c.source})
	k.wakeUp()
}

// reopen announces all sessions again, when the source of results has moved.
func (k *conn) reopen() {
	k.opens = k.opens[:0]
	for _, s := range k.c.sessions {
		k.open(s)
	}
}

func (k *conn) ask(q wire.OutcomeQuery) {
	if k.up {
		k.asks = append(k.asks, q)
		k.wakeUp()
	}
}

// run keeps the stream up until the client is closed.
func (k *conn) run() {
	defer k.grpc.Close()
	pause := redialFirst
	for k.c.ctx.Err() == nil {
		began := time.Now()
		err := k.stream()
		if k.c.ctx.Err() != nil {
			return
		}
		k.c.log.Debug("no stream to replica", "replica", k.index, "addr", k.addr, "err", err)
		if time.Since(began) > redialMost {
			pause = redialFirst
		}
		select {
		case <-k.c.ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		}
		pause = min(2*pause, redialMost)
	}
}

// stream opens one stream and serves it until it breaks.
func (k *conn) stream() error {
	ctx, cancel := context.WithCancel(k.c.ctx)
	defer cancel()
	g, err := pbftv1.NewClientServiceClient(k.grpc).Session(ctx)
	if err != nil {
		return err
	}
	var raw wire.Raw
	if err := g.RecvMsg(&raw); err != nil { // the replica introduces itself
		return err
	}
	var in wire.SessionResponse
	if err := in.Parse(raw.Data); err != nil {
		return err
	}
	run(k.c.deliver(k, &in))
	k.begin()
	defer k.end()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		k.send(ctx, g)
	}()
	// The sender ends with the context, or with the stream that the receiver
	// knows the fate of.
	defer func() { <-sent }()
	defer cancel()
	for {
		var raw wire.Raw
		if err := g.RecvMsg(&raw); err != nil {
			return err
		}
		var in wire.SessionResponse
		if err := in.Parse(raw.Data); err != nil {
			return err
		}
		run(k.c.deliver(k, &in))
	}
}

// begin marks the stream as up: sessions are opened on it, and what is
// outstanding is sent again, because its answers may have been missed.
func (k *conn) begin() {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	k.up = true
	k.reopen()
	now := time.Now()
	for _, s := range c.sessions {
		for x := s.oldest; x < s.top; x++ {
			switch call := s.call(x); {
			case call == nil || !call.sent:
			case call.retried:
				k.resend = append(k.resend, resend{s, call})
			case now.Add(minRetry).Before(call.retryAt):
				call.retryAt = now.Add(minRetry)
			}
		}
	}
	k.wakeUp()
}

func (k *conn) end() {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	k.up, k.opens, k.resend, k.asks = false, nil, nil, nil
	if t, _ := c.target(); t != nil {
		t.wakeUp()
	}
}

// send writes what waits for this replica until the stream ends.
func (k *conn) send(ctx context.Context, g grpc.ClientStream) {
	for {
		var out wire.SessionRequest
		more := k.gather(&out)
		if len(out.Opens)+len(out.Groups)+len(out.Outcomes) > 0 {
			if err := g.SendMsg(&wire.Segments{Parts: [][]byte{out.Append(nil)}}); err != nil {
				return // the receiver knows why
			}
		}
		if more {
			continue
		}
		select {
		case <-k.wake:
		case <-ctx.Done():
			return
		}
	}
}

// gather takes what fits into one message, and reports whether more waits.
func (k *conn) gather(out *wire.SessionRequest) (more bool) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(k.opens), wire.MaxItems)
	out.Opens, k.opens = k.opens[:n:n], k.opens[n:]
	n = min(len(k.asks), wire.MaxItems)
	out.Outcomes, k.asks = k.asks[:n:n], k.asks[n:]
	size := 0
	k.resend = gatherResends(c, k.resend, out, &size)
	if t, isPrimary := c.target(); t == k && len(k.opens) == 0 {
		for _, s := range c.sessions {
			s.queue = gatherQueue(s, out, &size, !isPrimary)
			more = more || len(s.queue) > 0
		}
	}
	return more || len(k.opens)+len(k.asks)+len(k.resend) > 0
}

// gatherQueue puts new calls of a session into groups.
func gatherQueue(s *Session, out *wire.SessionRequest, size *int, alone bool) []*call {
	b := groupBuilder{c: s.c, out: out, size: size, alone: alone}
	for i, k := range s.queue {
		if s.call(k.number) != k {
			continue // ended meanwhile
		}
		if !b.add(s, k) {
			return s.queue[i:]
		}
		k.sent = true
	}
	clear(s.queue)
	return s.queue[:0]
}

func gatherResends(c *Client, resends []resend, out *wire.SessionRequest, size *int) []resend {
	b := groupBuilder{c: c, out: out, size: size, retry: true}
	for i, r := range resends {
		if r.s.call(r.k.number) != r.k {
			continue
		}
		if !b.add(r.s, r.k) {
			return resends[i:]
		}
	}
	return nil
}

// groupBuilder appends calls to groups: those of one session, with rising
// numbers, share one while it has room.
type groupBuilder struct {
	c            *Client
	out          *wire.SessionRequest
	size         *int
	alone, retry bool

	last  *Session
	bytes int
}

// requestBytes is what a request takes in a group beside its operation.
const requestBytes = 32

func (b *groupBuilder) add(s *Session, k *call) bool {
	need := len(k.op) + requestBytes
	if *b.size > 0 && *b.size+need > maxFrame {
		return false
	}
	g := b.group()
	full := g == nil || b.last != s || len(g.Requests) >= b.c.limits.group || b.bytes+need > b.c.limits.groupBytes-256 ||
		g.Requests[len(g.Requests)-1].Number >= k.number
	if full {
		if len(b.out.Groups) >= wire.MaxItems {
			return false
		}
		b.out.Groups = append(b.out.Groups, wire.Group{Handle: s.handle, Alone: b.alone, Retry: b.retry})
		b.last, b.bytes = s, 0
		g = b.group()
	}
	g.Requests = append(g.Requests, crypto.Request{Number: k.number, Kind: crypto.KindOperation, Op: k.op, ClientTime: crypto.NoClientTime})
	b.bytes += need
	*b.size += need
	return true
}

func (b *groupBuilder) group() *wire.Group {
	if b.last == nil {
		return nil
	}
	return &b.out.Groups[len(b.out.Groups)-1]
}
