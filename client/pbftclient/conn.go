package pbftclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

const (
	redialFirst = 50 * time.Millisecond
	redialMost  = 2 * time.Second
	// maxMessage bounds what a replica may send at once: twice what one holds
	// for a client that does not read.
	maxMessage = 64 << 20
	// maxAsks bounds the questions that wait for one replica. What does not fit
	// is asked again later.
	maxAsks = 1 << 16
)

// conn is the stream to one replica. Two goroutines serve it while it is up: a
// reader, which makes it in the first place, and a sender.
type conn struct {
	c     *Client
	index int
	addr  string
	grpc  *grpc.ClientConn
	wake  chan struct{}

	// The client's lock guards these.
	up     bool
	normal bool  // takes part in ordering
	behind bool  // has not taken the last retransmissions
	err    error // why it is not up
	cancel context.CancelFunc
	view   uint64
	terms  terms // zero: has not introduced itself
	held   int   // bytes of results that wait for others to vouch for them
	opens  []*Session
	asks   []wire.OutcomeQuery
	resend []request

	frame frame // the sender's, under the lock, too

	// These are the reader's.
	known   []*Session // by handle
	hasher  crypto.BlockHasher
	digests []blockDigest
	ended   []*Call
}

// request names an outstanding request.
type request struct {
	s      *Session
	number uint64
}

// blockDigest is what a block's results hash to, and how large they are.
type blockDigest struct {
	digest crypto.Digest
	size   int
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

// run keeps the stream up until the client is closed.
func (k *conn) run() {
	pause := redialFirst
	for {
		began := time.Now()
		k.grpc.ResetConnectBackoff() // the pauses are these
		err := k.stream()
		if k.c.ctx.Err() != nil {
			return
		}
		k.down(err)
		if time.Since(began) > redialMost {
			pause = redialFirst
		}
		t := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-k.c.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		pause = min(2*pause, redialMost)
	}
}

// stream makes one stream and serves it until it breaks.
func (k *conn) stream() error {
	ctx, cancel := context.WithCancel(k.c.ctx)
	defer cancel()
	g, err := pbftv1.NewClientServiceClient(k.grpc).Session(ctx)
	if err != nil {
		return err
	}
	in, err := k.read(g)
	if err != nil {
		return err
	}
	if in.Info == nil {
		return errors.New("it does not introduce itself")
	}
	if err := k.begin(in.Info, cancel); err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = k.send(ctx, g) // it fails for the reader's reason, or by cancel
	}()
	for err == nil {
		if in, err = k.read(g); err == nil {
			err = k.receive(in)
		}
	}
	cancel()
	<-sent
	return err
}

func (k *conn) read(g grpc.ClientStream) (*wire.SessionResponse, error) {
	var raw wire.Raw
	if err := g.RecvMsg(&raw); err != nil {
		return nil, err
	}
	in := new(wire.SessionResponse)
	return in, in.Parse(raw.Data)
}

// begin marks the stream as up. Sessions are opened on it, and since answers
// may have been missed, the primary gets again what is outstanding, others are
// asked about it.
func (k *conn) begin(info *wire.ServerInfo, cancel context.CancelFunc) error {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.introduce(k, info); err != nil {
		return err
	}
	k.up, k.err, k.cancel = true, nil, cancel
	t, _ := c.target()
	for _, s := range c.sessions {
		if !c.conns[s.source].up {
			s.source = k.index
		}
		k.open(s)
		if k != t {
			s.askAll(k)
			continue
		}
		s.out.each(func(r *slot) {
			if r.sent {
				s.ask(r)
				k.resend = append(k.resend, request{s, r.number})
			}
		})
	}
	c.log.Debug("replica connected", "replica", k.index, "addr", k.addr, "view", info.View)
	k.wakeUp()
	return nil
}

// down marks the stream as broken. Where it was the source of results, another
// replica takes over.
func (k *conn) down(err error) {
	if s, ok := status.FromError(err); ok {
		err = errors.New(s.Message())
	}
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.err == nil || k.err.Error() != err.Error() {
		c.log.Warn("no stream to replica", "replica", k.index, "addr", k.addr, "err", err)
	}
	wasUp := k.up
	k.up, k.err, k.opens, k.asks, k.resend = false, err, nil, nil, nil
	if !wasUp {
		return
	}
	for _, s := range c.sessions {
		s.opening[k.index] = false
		if s.source == k.index {
			s.moveSource()
		}
		s.sendElsewhere(k)
	}
	c.wakeTarget()
}

// open announces a session: with results in full to its source, with a digest
// per batch to the others.
func (k *conn) open(s *Session) {
	if !s.opening[k.index] {
		s.opening[k.index] = true
		k.opens = append(k.opens, s)
	}
	k.wakeUp()
}

// ask asks the replica for an outcome.
func (k *conn) ask(q wire.OutcomeQuery) {
	if k.up && len(k.asks) < maxAsks {
		k.asks = append(k.asks, q)
		k.wakeUp()
	}
}

// receive takes what a replica says. Its error ends the stream.
func (k *conn) receive(in *wire.SessionResponse) error {
	k.digest(in) // outside the lock: it is most of the work
	ended, err := k.count(in)
	finished(ended)
	clear(ended)
	return err
}

// count takes what a replica says, and returns the calls that end by it.
func (k *conn) count(in *wire.SessionResponse) ([]*Call, error) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.Info != nil {
		if err := c.introduce(k, in.Info); err != nil {
			return nil, err
		}
	}
	if !c.settled {
		return nil, nil // nobody was asked anything yet
	}
	ended := k.ended[:0]
	for i := range in.Blocks {
		b := &in.Blocks[i]
		c.learn(k, b.View)
		if s := k.session(b.Handle); s != nil && b.N > 0 && !k.digests[i].digest.IsZero() {
			ended = s.onBlock(k, b, k.digests[i], ended)
		}
	}
	for i := range in.Singles {
		x := &in.Singles[i]
		c.learn(k, x.View)
		if s := k.session(x.Handle); s != nil {
			ended = s.onSingle(k, x, ended)
		}
	}
	for i := range in.Refusals {
		x := &in.Refusals[i]
		if s := k.session(x.Handle); s != nil {
			ended = s.onRefusal(k, x, ended)
		}
	}
	k.ended = ended
	return ended, nil
}

// session finds a session by its number on the stream.
func (k *conn) session(handle uint32) *Session {
	if int(handle) < len(k.known) {
		return k.known[handle]
	}
	return nil
}

// digest hashes the results of every block.
func (k *conn) digest(in *wire.SessionResponse) {
	k.c.mu.Lock()
	k.known = k.c.sessions[:len(k.c.sessions):len(k.c.sessions)] // only ever grows
	k.c.mu.Unlock()
	k.digests = k.digests[:0]
	for i := range in.Blocks {
		b := &in.Blocks[i]
		d := blockDigest{digest: b.Digest}
		if s := k.session(b.Handle); s != nil && len(b.Results) > 0 {
			k.hasher.Reset(k.terms.cluster)
			size := 0
			for j := range b.Results {
				k.hasher.Add(s.session, &b.Results[j])
				size += resultBytes + len(b.Results[j].Value)
			}
			d = blockDigest{k.hasher.Sum(), size}
		}
		k.digests = append(k.digests, d)
	}
}

// resultBytes is about what a result takes in memory beside its value.
const resultBytes = 128
