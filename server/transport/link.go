package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/wire"
)

// pingTimeout is how long a link has to prove that it lives when another one
// comes under its identity.
const pingTimeout = time.Second

// stream is one end of a Connect or Bulk stream, which carries whole frames as
// bytes.
type stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
	Context() context.Context
}

// link is one connection to a peer: two streams, each with an outbox, a sender
// and a reader. The first of them that fails closes the link.
type link struct {
	p       *peer
	remote  string // address of the other end
	cancel  func() // ends the streams of a link that was dialled; nil: they end with their calls
	connect *outbox
	bulk    *outbox
	pongs   chan uint64
	closed  chan struct{} // it was given up
	ended   chan struct{} // and nothing of it runs any more

	mu      sync.Mutex // guards what follows, and the closing of closed
	err     error
	started bool
	hasBulk bool
	wg      sync.WaitGroup // senders and readers
}

func newLink(p *peer, remote string, cancel func()) *link {
	return &link{
		p: p, remote: remote, cancel: cancel,
		connect: newOutbox(&p.dropped), bulk: newOutbox(&p.dropped),
		pongs: make(chan uint64, 1), closed: make(chan struct{}), ended: make(chan struct{}),
	}
}

// close gives the link up. Only the first reason counts.
func (l *link) close(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = why
	close(l.closed)
}

// cause is why the link was given up.
func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// start puts a link into service that has its peer's identity. An accepted
// link has its hello still to say.
func (l *link) start(connect stream, hello func(stream) error) {
	p := l.p
	p.links.say(p.t.log, slog.LevelInfo, "link to peer is up", "peer", int(p.index), "remote", l.remote)
	p.link.Store(l) // first: the handler may answer Connected with messages
	p.t.h.Connected(p.index, true)
	l.mu.Lock()
	l.started = true
	l.mu.Unlock()
	if err := hello(connect); err != nil {
		l.close(err)
	}
	l.run(connect, l.connect)
	p.t.wg.Go(l.finish)
}

// finish waits for the link's end and cleans up behind it.
func (l *link) finish() {
	<-l.closed
	p := l.p
	p.link.CompareAndSwap(l, nil)
	if l.cancel != nil {
		l.cancel()
	}
	l.wg.Wait()
	p.failed(l.cause())
	p.t.h.Connected(p.index, false)
	p.links.say(p.t.log, slog.LevelInfo, "link to peer is down", "peer", int(p.index), "remote", l.remote, "err", l.cause())
	p.release(l)
	close(l.ended)
}

// abandon ends a link that was never started.
func (l *link) abandon(why error) {
	l.close(why)
	l.cancel()
	l.p.release(l)
	close(l.ended)
}

// claimBulk reserves the place of the Bulk stream, once.
func (l *link) claimBulk() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started || l.hasBulk || l.err != nil {
		return false
	}
	l.hasBulk = true
	return true
}

// run starts the sender and the reader of a stream, unless the link is closed.
func (l *link) run(s stream, out *outbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.wg.Go(func() {
		// Of a stream that the other end closed, the reader learns why.
		if err := l.write(s, out); !errors.Is(err, io.EOF) {
			l.close(err)
		}
	})
	l.wg.Go(func() { l.close(l.read(s)) })
}

// write sends frames of all that waits, until the link is closed.
func (l *link) write(s stream, out *outbox) error {
	var buf []entry
	for {
		urgent, entries := out.take(buf)
		if len(urgent) == 0 && len(entries) == 0 {
			select {
			case <-out.bell:
				continue
			case <-l.closed:
				return l.cause()
			}
		}
		frame := wire.Segments{Parts: encodeFrame(l.p.t.o.Verifier.Epoch, urgent, entries)}
		clear(entries)
		buf = entries
		if err := s.SendMsg(&frame); err != nil {
			return err
		}
	}
}

// read takes frames apart until the stream ends.
func (l *link) read(s stream) error {
	d := newDecoder(l)
	for {
		var raw wire.Raw
		if err := s.RecvMsg(&raw); err != nil {
			return l.broken(err)
		}
		msgs, err := d.frame(raw.Data)
		if err != nil {
			return err
		}
		if len(msgs) > 0 {
			l.p.t.h.Receive(l.p.index, msgs, len(raw.Data))
		}
	}
}

// broken explains the end of a stream. A frame above the limit counts against
// the peer; where this replica dialled, the same code may be the peer's answer.
func (l *link) broken(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return status.Error(codes.Unavailable, "the peer closed the stream")
	case l.cancel == nil && status.Code(err) == codes.ResourceExhausted:
		if ban := l.p.refuse(reject(TooLarge, "frame: %w", err)); ban != nil {
			return ban
		}
	}
	return err
}

// pinged answers a ping.
func (l *link) pinged(nonce uint64) { l.connect.putUrgent(appendNonce(nil, kindPong, nonce)) }

// ponged takes the answer to a ping.
func (l *link) ponged(nonce uint64) {
	select {
	case l.pongs <- nonce:
	default: // nobody asked, or the answer is there
	}
}

// answers reports whether the other end answers a ping in time. One goroutine
// may ask at a time.
func (l *link) answers() bool {
	nonce := rand.Uint64()
	select {
	case <-l.pongs: // of an earlier ping, or made up
	default:
	}
	l.connect.putUrgent(appendNonce(nil, kindPing, nonce))
	timeout := time.NewTimer(pingTimeout)
	defer timeout.Stop()
	for {
		select {
		case got := <-l.pongs:
			if got == nonce {
				return true
			}
		case <-timeout.C:
			return false
		case <-l.closed:
			return false
		}
	}
}
