package transport

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

const (
	// helloTimeout is how long a connection may say nothing.
	helloTimeout = 5 * time.Second
	// pingTimeout is how long a stream that is up has to prove it when another
	// one comes under its identity.
	pingTimeout = time.Second
)

// rawStream is a stream of either end, of whole frames as bytes.
type rawStream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
	Context() context.Context
}

// lane is one of the two streams of a link: an outbox, and at most one stream
// at a time that empties it.
type lane struct {
	p    *peer
	name string
	out  *outbox

	mu     sync.Mutex
	cancel func() // ends the stream that is up; nil: none is
	done   chan struct{}
	nonce  uint64
	ponged chan uint64
}

func newLane(p *peer, name string) *lane {
	return &lane{p: p, name: name, out: newOutbox(), ponged: make(chan uint64, 1)}
}

func (l *lane) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cancel != nil
}

// stop ends the stream that is up.
func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

// begin marks the lane as used by the stream that cancel ends.
func (l *lane) begin(cancel func()) {
	l.mu.Lock()
	l.cancel, l.done = cancel, make(chan struct{})
	l.mu.Unlock()
	l.out.setOpen(true)
}

func (l *lane) end() {
	l.out.setOpen(false)
	l.mu.Lock()
	l.cancel = nil
	close(l.done)
	l.mu.Unlock()
}

// takeOver gives the lane to a new stream. One that is up keeps it if it
// answers a ping in time.
func (l *lane) takeOver(cancel func()) error {
	l.mu.Lock()
	if l.cancel == nil {
		l.cancel, l.done = cancel, make(chan struct{})
		l.mu.Unlock()
		l.out.setOpen(true)
		return nil
	}
	l.nonce++
	nonce, done := l.nonce, l.done
	l.mu.Unlock()
	l.out.put(entry{raw: appendNonce(nil, kindPing, nonce), size: 16})
	timeout := time.NewTimer(pingTimeout)
	defer timeout.Stop()
	for {
		select {
		case got := <-l.ponged:
			if got == nonce {
				return status.Errorf(codes.AlreadyExists, "replica %d is connected already, and its connection lives", l.p.index)
			}
			continue
		case <-timeout.C:
			l.stop()
			continue
		case <-done:
		case <-l.p.t.ctx.Done():
			return status.Error(codes.Unavailable, "the replica is stopping")
		}
		return l.takeOver(cancel)
	}
}

// newDecoder makes a decoder that belongs to nobody yet.
func (t *Transport) newDecoder() *decoder {
	return &decoder{cluster: t.o.Config.ClusterID, limits: t.o.Limits, verifier: t.o.Verifier}
}

// decoder makes the decoder of one stream of the lane.
func (l *lane) decoder() *decoder {
	d := l.p.t.newDecoder()
	d.refused = l.p.refused
	d.pinged = func(nonce uint64) { l.out.put(entry{raw: appendNonce(nil, kindPong, nonce), size: 16}) }
	d.ponged = func(nonce uint64) {
		select {
		case l.ponged <- nonce:
		default:
		}
	}
	return d
}

func (l *lane) sendHello(s rawStream) error {
	b, err := l.p.t.helloFrame(l.p.index)
	if err != nil {
		return err
	}
	return s.SendMsg(&wire.Segments{Parts: [][]byte{b}})
}

// recvHello waits for the other end's first frame.
func recvHello(s rawStream, d *decoder) (*pbftv1.Hello, error) {
	type first struct {
		hello *pbftv1.Hello
		err   error
	}
	got := make(chan first, 1)
	go func() {
		var raw wire.Raw
		if err := s.RecvMsg(&raw); err != nil {
			got <- first{err: err}
			return
		}
		h, _, err := d.frame(raw.Data)
		if err != nil {
			err = status.Error(codes.InvalidArgument, err.Error())
		}
		got <- first{h, err}
	}()
	timeout := time.NewTimer(helloTimeout)
	defer timeout.Stop()
	select {
	case f := <-got:
		return f.hello, f.err
	case <-timeout.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "no hello within %s", helloTimeout)
	case <-s.Context().Done():
		return nil, s.Context().Err()
	}
}

// run reads and writes a stream whose hellos are exchanged, until it breaks.
func (l *lane) run(ctx context.Context, s rawStream, d *decoder) error {
	isConnect := l == l.p.connect
	if isConnect {
		l.p.t.log.Info("link to peer is up", "peer", int(l.p.index))
		l.p.t.h.Connected(l.p.index, true)
	}
	writeErr := make(chan error, 1)
	readErr := make(chan error, 1)
	written := make(chan struct{})
	go func() {
		defer close(written)
		writeErr <- l.write(ctx, s)
	}()
	go func() { readErr <- l.read(s, d) }()
	var err error
	select {
	case err = <-readErr:
		l.stop()
		<-written // the sender knows less than the reader
	case err = <-writeErr:
	case <-ctx.Done():
		err = ctx.Err()
	}
	// The reader may wait in the handler; it ends with the stream's context,
	// which ends when this returns.
	l.end()
	if isConnect {
		l.p.t.h.Connected(l.p.index, false)
		l.p.t.log.Info("link to peer is down", "peer", int(l.p.index), "err", err)
	}
	return err
}

func (l *lane) write(ctx context.Context, s rawStream) error {
	var buf []entry
	for {
		if ctx.Err() != nil {
			return ctx.Err() // another stream may have taken the lane over
		}
		buf = l.out.take(buf)
		if len(buf) == 0 {
			select {
			case <-l.out.bell:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		e := newEncoder(128 * len(buf))
		for i := range buf {
			if buf[i].raw != nil {
				e.addRaw(buf[i].raw)
			} else {
				e.add(buf[i].msg)
			}
		}
		clear(buf)
		if err := s.SendMsg(&wire.Segments{Parts: e.parts(l.p.t.o.Verifier.Epoch)}); err != nil {
			return err
		}
	}
}

func (l *lane) read(s rawStream, d *decoder) error {
	for {
		var raw wire.Raw
		if err := s.RecvMsg(&raw); err != nil {
			if errors.Is(err, io.EOF) {
				return status.Error(codes.Unavailable, "the peer closed the stream")
			}
			return err
		}
		_, msgs, err := d.frame(raw.Data)
		if err != nil {
			l.p.refused(reject(Malformed, "%w", err))
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if len(msgs) > 0 {
			l.p.t.h.Receive(l.p.index, msgs, len(raw.Data))
		}
	}
}

func remoteAddr(ctx context.Context) string {
	if p, ok := grpcpeer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}
