package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

const (
	redialFirst = 50 * time.Millisecond
	redialMost  = 2 * time.Second

	// A peer that sent more than maxInvalid messages which only a faulty one
	// sends, within invalidWindow, is kept out for a while that doubles.
	maxInvalid    = 100
	invalidWindow = 10 * time.Second
	penaltyFirst  = time.Second
	penaltyMost   = time.Minute
)

// peer is the link to one other replica: a lane per stream.
type peer struct {
	t       *Transport
	index   message.ReplicaID
	addr    string
	connect *lane
	bulk    *lane

	mu        sync.Mutex
	rejected  uint64
	invalid   int // since windowAt
	windowAt  time.Time
	penalty   time.Duration
	bannedTil time.Time
	lastError string
	refusals  limiter
	redials   limiter
}

func newPeer(t *Transport, i message.ReplicaID, addr string) *peer {
	p := &peer{t: t, index: i, addr: addr}
	p.connect = newLane(p, "connect")
	p.bulk = newLane(p, "bulk")
	return p
}

// laneOf keeps bodies away from votes.
func (p *peer) laneOf(m message.Message) *lane {
	if _, ok := m.(*message.Body); ok {
		return p.bulk
	}
	return p.connect
}

func (p *peer) state() PeerState {
	bytes, dropped := p.connect.out.state()
	bulk, more := p.bulk.out.state()
	p.mu.Lock()
	defer p.mu.Unlock()
	return PeerState{
		Index: int(p.index), Address: p.addr, Connected: p.connect.up(),
		Dropped: dropped + more, QueuedBytes: bytes + bulk, Rejected: p.rejected, LastError: p.lastError,
	}
}

// refused counts a message that failed a check.
func (p *peer) refused(err error) {
	p.mu.Lock()
	p.rejected++
	p.lastError = err.Error()
	r, _ := err.(*rejection) //nolint:errorlint // made here, never wrapped
	now := time.Now()
	if r != nil && r.reason.faulty() {
		if now.Sub(p.windowAt) > invalidWindow {
			p.windowAt, p.invalid = now, 0
		}
		p.invalid++
	}
	ban := p.invalid > maxInvalid
	if ban {
		p.penalty = min(max(2*p.penalty, penaltyFirst), penaltyMost)
		p.bannedTil, p.invalid = now.Add(p.penalty), 0
	}
	p.mu.Unlock()
	if p.refusals.allow() {
		p.t.log.Warn("message of a peer refused", "peer", int(p.index), "err", err)
	}
	if ban {
		p.t.log.Warn("peer disconnected: too many invalid messages", "peer", int(p.index), "for", p.penalty)
		p.connect.stop()
		p.bulk.stop()
	}
}

// banned is how long the peer is kept out.
func (p *peer) banned() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.bannedTil)
}

func (p *peer) fail(err error) {
	p.mu.Lock()
	p.lastError = err.Error()
	p.mu.Unlock()
}

// dial keeps both streams to a peer with a smaller index up until Stop.
func (p *peer) dial() {
	options := append(wire.PeerDialOptions(p.t.maxMessage()), grpc.WithTransportCredentials(insecure.NewCredentials()))
	pause := redialFirst
	for p.t.ctx.Err() == nil {
		began := time.Now()
		err := p.dialOnce(options)
		if p.t.ctx.Err() != nil {
			return
		}
		if time.Since(began) > redialMost {
			pause = redialFirst // it was up
		}
		if err != nil {
			p.fail(err)
			if p.redials.allow() {
				p.t.log.Info("no link to peer", "peer", int(p.index), "addr", p.addr, "err", err)
			}
		}
		select {
		case <-p.t.ctx.Done():
		case <-time.After(max(p.banned(), pause/2+rand.N(pause/2+1))):
		}
		pause = min(2*pause, redialMost)
	}
}

// dialOnce opens both streams; when one breaks, the other one is closed too.
func (p *peer) dialOnce(options []grpc.DialOption) error {
	conn, err := grpc.NewClient("passthrough:///"+p.addr, options...)
	if err != nil {
		return fmt.Errorf("dialling %s: %w", p.addr, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(p.t.ctx)
	defer cancel()
	client := pbftv1.NewPeerServiceClient(conn)
	connect, err := client.Connect(ctx)
	if err != nil {
		return fmt.Errorf("opening the stream to %s: %w", p.addr, err)
	}
	bulk, err := client.Bulk(ctx)
	if err != nil {
		return fmt.Errorf("opening the bulk stream to %s: %w", p.addr, err)
	}
	errs := make(chan error, 2)
	var both sync.WaitGroup
	both.Go(func() { errs <- p.runDialled(ctx, cancel, p.bulk, bulk) })
	both.Go(func() { errs <- p.runDialled(ctx, cancel, p.connect, connect) })
	err = <-errs // the other one falls with it
	cancel()
	both.Wait()
	return err
}

// runDialled says hello first, then takes the answer.
func (p *peer) runDialled(ctx context.Context, cancel func(), l *lane, s rawStream) error {
	d := l.decoder()
	if err := l.sendHello(s); err != nil {
		return firstError(s, err)
	}
	h, err := recvHello(s, d)
	if err != nil {
		return err
	}
	if _, err := p.t.checkHello(h, int(p.index)); err != nil {
		return err
	}
	l.begin(cancel)
	return l.run(ctx, s, d)
}

// firstError is the status that the other end closed a stream with, which
// tells more than the failed send.
func firstError(s rawStream, err error) error {
	if e := s.RecvMsg(&wire.Raw{}); e != nil {
		return e
	}
	return err
}

// service takes the streams of peers with larger indexes.
type service struct {
	pbftv1.UnimplementedPeerServiceServer
	t *Transport
}

// Connect serves a peer's protocol stream.
func (s *service) Connect(stream grpc.BidiStreamingServer[pbftv1.ConnectRequest, pbftv1.ConnectResponse]) error {
	return s.t.accept(stream, func(p *peer) *lane { return p.connect })
}

// Bulk serves a peer's stream of bodies.
func (s *service) Bulk(stream grpc.BidiStreamingServer[pbftv1.BulkRequest, pbftv1.BulkResponse]) error {
	return s.t.accept(stream, func(p *peer) *lane { return p.bulk })
}

// accept checks who calls, and runs the stream until it breaks.
func (t *Transport) accept(s grpc.ServerStream, which func(*peer) *lane) error {
	d := t.newDecoder()
	d.refused, d.pinged, d.ponged = func(error) {}, func(uint64) {}, func(uint64) {}
	h, err := recvHello(s, d)
	var p *peer
	if err == nil {
		p, err = t.checkHello(h, -1)
	}
	if err != nil {
		if t.strangers.allow() {
			t.log.Warn("connection on the peer port refused", "remote", remoteAddr(s.Context()), "err", err)
		}
		return err
	}
	if wait := p.banned(); wait > 0 {
		return status.Errorf(codes.ResourceExhausted, "replica %d sent too much that is invalid: come back in %s", p.index, wait.Round(time.Millisecond))
	}
	l := which(p)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	if err := l.takeOver(cancel); err != nil {
		if t.strangers.allow() {
			t.log.Warn("second connection of a peer refused", "peer", int(p.index), "remote", remoteAddr(s.Context()))
		}
		return err
	}
	if err := l.sendHello(s); err != nil {
		l.end()
		return err
	}
	return l.run(ctx, s, l.decoder())
}
