package transport

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// helloTimeout is how long a stream may say nothing before its hello.
const helloTimeout = 5 * time.Second

// service takes the streams of peers with larger indexes.
type service struct {
	pbftv1.UnimplementedPeerServiceServer
	t *Transport
}

// Connect serves a peer's Connect stream, and so its link.
func (s *service) Connect(call grpc.BidiStreamingServer[pbftv1.ConnectRequest, pbftv1.ConnectResponse]) error {
	t, remote := s.t, remoteAddr(call.Context())
	p, err := t.greet(call)
	if err != nil {
		return err
	}
	l := newLink(p, remote, nil)
	if err := p.hold(call.Context(), l); err != nil {
		t.turnedAway(remote, p, err)
		return err
	}
	t.conns.linked(remote, true)
	defer t.conns.linked(remote, false)
	l.start(call, p.sayHello)
	<-l.closed // the streams end when their calls return
	return l.cause()
}

// Bulk serves a peer's Bulk stream, which must come over the connection of its
// link.
func (s *service) Bulk(call grpc.BidiStreamingServer[pbftv1.BulkRequest, pbftv1.BulkResponse]) error {
	t, remote := s.t, remoteAddr(call.Context())
	p, err := t.greet(call)
	if err != nil {
		return err
	}
	l := p.held()
	if l == nil || l.remote != remote || !l.claimBulk() {
		err := status.Errorf(codes.FailedPrecondition, "replica %d needs Connect first, then one Bulk on the same connection", p.index)
		t.turnedAway(remote, p, err)
		return err
	}
	if err := p.sayHello(call); err != nil {
		l.close(err)
		return err
	}
	l.run(call, l.bulk)
	<-l.closed
	return l.cause()
}

// greet reads a caller's hello and finds out who it is.
func (t *Transport) greet(s stream) (*peer, error) {
	p, err := t.identify(s)
	if err != nil {
		t.turnedAway(remoteAddr(s.Context()), p, err)
		return nil, err
	}
	return p, nil
}

func (t *Transport) identify(s stream) (*peer, error) {
	h, err := t.awaitHello(s)
	if err != nil {
		return nil, err
	}
	p, err := t.checkCaller(h)
	if err != nil {
		return nil, err
	}
	if wait := p.banned(); wait > 0 {
		return p, status.Errorf(codes.ResourceExhausted, "replica %d sent too much that is invalid: come back in %s", p.index, wait.Round(time.Millisecond))
	}
	if err := t.checkConfig(h, p.index); err != nil {
		// The caller must learn our values, too: it may be the one that is wrong.
		_ = p.sayHello(s)
		return p, err
	}
	return p, nil
}

// awaitHello reads a caller's first frame. The reading ends with the call.
func (t *Transport) awaitHello(s stream) (*pbftv1.Hello, error) {
	type first struct {
		hello *pbftv1.Hello
		err   error
	}
	got := make(chan first, 1)
	t.wg.Go(func() {
		h, err := readHello(s)
		got <- first{h, err}
	})
	timeout := time.NewTimer(helloTimeout)
	defer timeout.Stop()
	select {
	case f := <-got:
		return f.hello, f.err
	case <-timeout.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "no hello within %s", helloTimeout)
	case <-t.ctx.Done():
		return nil, errStopping
	}
}

// turnedAway logs a caller that was refused, and notes it of the peer that it
// claimed to be.
func (t *Transport) turnedAway(remote string, p *peer, err error) {
	t.conns.known(remote)
	if p == nil {
		t.strangers.say(t.log, slog.LevelWarn, "stranger on the peer port refused", "remote", remote, "err", err)
		return
	}
	p.failed(err)
	p.links.say(t.log, slog.LevelWarn, "link of a peer refused", "peer", int(p.index), "remote", remote, "err", err)
}

// refuseClients answers calls of other services.
func (t *Transport) refuseClients(_ any, call grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(call)
	err := status.Errorf(codes.Unimplemented, "%s is not served here: this port is for replicas, clients use port %d", method, t.o.Config.Nodes[t.o.Index].Port)
	t.turnedAway(remoteAddr(call.Context()), nil, err)
	return err
}

func remoteAddr(ctx context.Context) string {
	if p, ok := grpcpeer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}
