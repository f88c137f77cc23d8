package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

const (
	redialFirst = 50 * time.Millisecond
	redialMost  = 2 * time.Second
)

// redial keeps a link to a peer with a smaller index up until Stop. The pause
// between attempts doubles, and a link that held for a while resets it.
func (p *peer) redial() {
	pause := redialFirst
	for p.t.ctx.Err() == nil {
		l, err := p.dial()
		if err == nil {
			began := time.Now()
			<-l.ended
			if time.Since(began) > redialMost {
				pause = redialFirst
			}
		} else if p.t.ctx.Err() == nil {
			p.failed(err)
			p.links.say(p.t.log, levelOf(err), "no link to peer", "peer", int(p.index), "addr", p.addr, "err", err)
		}
		wait := time.NewTimer(max(p.banned(), pause/2+rand.N(pause/2)))
		select {
		case <-p.t.ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
		pause = min(2*pause, redialMost)
	}
}

// levelOf tells a peer that is merely not there from one that refuses.
func levelOf(err error) slog.Level {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// dial makes one attempt: connection, Connect, Bulk, each with its hellos. The
// link is in service when dial returns it.
func (p *peer) dial() (*link, error) {
	conn, err := grpc.NewClient("passthrough:///"+p.addr, p.t.dial...)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", p.addr, err)
	}
	ctx, cancel := context.WithCancel(p.t.ctx)
	l := newLink(p, p.addr, func() { cancel(); conn.Close() })
	timeout := time.AfterFunc(helloTimeout, cancel)
	connect, bulk, err := p.open(ctx, pbftv1.NewPeerServiceClient(conn))
	if !timeout.Stop() && p.t.ctx.Err() == nil {
		err = status.Errorf(codes.DeadlineExceeded, "%s does not say hello within %s", p.addr, helloTimeout)
	}
	if err == nil {
		err = p.hold(ctx, l) // alone in dialling, so at once
	}
	if err != nil {
		l.abandon(err)
		return nil, err
	}
	l.start(connect, func(stream) error { return nil }) // the hellos are said
	l.run(bulk, l.bulk)
	return l, nil
}

// open opens both streams. An attempt fails at once where nobody listens: the
// pauses are redial's.
func (p *peer) open(ctx context.Context, client pbftv1.PeerServiceClient) (connect, bulk stream, err error) {
	if connect, err = client.Connect(ctx, grpc.WaitForReady(false)); err != nil {
		return nil, nil, err
	}
	if err := p.introduce(connect); err != nil {
		return nil, nil, err
	}
	if bulk, err = client.Bulk(ctx, grpc.WaitForReady(false)); err != nil {
		return nil, nil, err
	}
	return connect, bulk, p.introduce(bulk)
}

// introduce says hello on a stream that was dialled, and checks the answer.
func (p *peer) introduce(s stream) error {
	// On io.EOF the other end has closed the stream; reading tells why.
	if err := p.sayHello(s); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, err := readHello(s)
	if err != nil {
		return err
	}
	return p.t.checkAnswer(h, p.index)
}
