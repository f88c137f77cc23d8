package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// A tap records what one end of a connection sends and receives.
type tap struct {
	net.Conn
	mu             sync.Mutex
	sent, received bytes.Buffer
}

func (c *tap) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent.Write(p[:n])
	return n, err
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received.Write(p[:n])
	return n, err
}

// flow is what an HTTP/2 endpoint said about flow control.
type flow struct {
	pings                    int    // that ask for an answer
	streamWindow, connWindow uint32 // 0: not said
	maxStreams               uint32
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// flowOf reads the HTTP/2 frames of one direction.
func flowOf(b []byte) (f flow) {
	const ( // RFC 9113, section 6
		settings, ping, windowUpdate = 4, 6, 8
		maxConcurrentStreams         = 3
		initialWindowSize            = 4
		initialConnWindow            = 65535
	)
	b = bytes.TrimPrefix(b, []byte(preface))
	for len(b) >= 9 {
		n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		typ, ack, stream, payload := b[3], b[4]&1 != 0, binary.BigEndian.Uint32(b[5:]), b[9:]
		if len(payload) < n {
			break
		}
		payload, b = payload[:n], payload[n:]
		switch {
		case typ == ping && !ack:
			f.pings++
		case typ == windowUpdate && stream == 0 && f.connWindow == 0:
			f.connWindow = initialConnWindow + binary.BigEndian.Uint32(payload)
		case typ == settings:
			for ; len(payload) >= 6; payload = payload[6:] {
				switch v := binary.BigEndian.Uint32(payload[2:]); binary.BigEndian.Uint16(payload) {
				case initialWindowSize:
					f.streamWindow = v
				case maxConcurrentStreams:
					f.maxStreams = v
				}
			}
		}
	}
	return f
}

// exchange sends messages of 32 KiB both ways over one connection and gives
// what the dialing and the serving end said about flow control.
func exchange(t *testing.T, server []grpc.ServerOption, dial []grpc.DialOption) (dialing, serving flow) {
	t.Helper()
	taps := make(chan *tap, 1)
	dialer := grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		wrapped := &tap{Conn: c}
		taps <- wrapped
		return wrapped, nil
	})
	cc := connect(t, serve(t, server), append(dial, dialer)...)
	stream := open(t, t.Context(), cc)
	for range 3 {
		err := stream.Send(&pbftv1.SessionRequest{Groups: []*pbftv1.Group{{
			Requests: []*pbftv1.Request{{Op: bytes.Repeat([]byte("x"), 32<<10)}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	c := <-taps
	c.mu.Lock()
	defer c.mu.Unlock()
	return flowOf(c.sent.Bytes()), flowOf(c.received.Bytes())
}

func TestEveryOptionSetHasStaticWindows(t *testing.T) {
	const message = 1 << 20
	for name, l := range map[string]struct {
		link   link
		server []grpc.ServerOption
		dial   []grpc.DialOption
	}{
		"client": {clientLink, ServerOptions(message), DialOptions(message)},
		"peer":   {peerLink, PeerServerOptions(message), PeerDialOptions(message)},
	} {
		t.Run(name, func(t *testing.T) {
			dialing, serving := exchange(t, l.server, l.dial)
			for end, f := range map[string]flow{"dialing": dialing, "serving": serving} {
				if f.pings > 0 {
					t.Errorf("%s end: %d pings: its window is not static", end, f.pings)
				}
				if f.streamWindow != uint32(l.link.streamWindow) || f.connWindow != uint32(l.link.connWindow) {
					t.Errorf("%s end: windows of %d and %d bytes, want %d and %d", end,
						f.streamWindow, f.connWindow, l.link.streamWindow, l.link.connWindow)
				}
			}
			if serving.maxStreams != l.link.maxStreams {
				t.Errorf("%d streams allowed, want %d", serving.maxStreams, l.link.maxStreams)
			}
		})
	}
}

// Were gRPC to stop pinging, the test above would show nothing.
func TestGRPCsOwnOptionsPing(t *testing.T) {
	dialing, serving := exchange(t, []grpc.ServerOption{grpc.ForceServerCodecV2(Codec())}, nil)
	if dialing.pings == 0 || serving.pings == 0 {
		t.Errorf("%d and %d pings: bandwidth estimation is no longer seen in pings", dialing.pings, serving.pings)
	}
}

func TestMessagesAboveTheLimitAreRefused(t *testing.T) {
	const limit = 4096
	big := &pbftv1.SessionRequest{Groups: []*pbftv1.Group{{
		Requests: []*pbftv1.Request{{Op: make([]byte, limit)}},
	}}}
	addr := serve(t, ServerOptions(limit))
	for name, options := range map[string][]grpc.DialOption{
		"by the sender":   DialOptions(limit),
		"by the receiver": DialOptions(1 << 20),
	} {
		t.Run(name, func(t *testing.T) {
			stream := open(t, t.Context(), connect(t, addr, options...))
			err := stream.Send(big)
			if err == nil {
				_, err = stream.Recv()
			}
			if got := status.Code(err); got != codes.ResourceExhausted {
				t.Errorf("%v, want %v", err, codes.ResourceExhausted)
			}
		})
	}
}

func TestClientCallsFailAtOnceWithoutAConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // nobody listens there now
	cc := connect(t, ln.Addr().String(), DialOptions(1<<20)...)
	_, err = pbftv1.NewClientServiceClient(cc).GetOutcome(t.Context(), &pbftv1.GetOutcomeRequest{})
	if got := status.Code(err); got != codes.Unavailable {
		t.Errorf("%v, want %v", err, codes.Unavailable)
	}
}

func TestPeerCallsWaitForTheConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	refused := make(chan struct{}, 16)
	dialer := grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		select {
		case <-ready:
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		default:
			refused <- struct{}{}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
		}
	})
	cc := connect(t, ln.Addr().String(), append(PeerDialOptions(1<<20), dialer)...)
	answered := make(chan error, 1)
	go func() {
		_, err := pbftv1.NewClientServiceClient(cc).GetOutcome(t.Context(), &pbftv1.GetOutcomeRequest{})
		answered <- err
	}()
	<-refused // a first attempt has failed
	s := grpc.NewServer(PeerServerOptions(1 << 20)...)
	pbftv1.RegisterClientServiceServer(s, sessions{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	close(ready)
	if got := status.Code(<-answered); got != codes.Unimplemented { // what sessions says
		t.Errorf("code %v, want %v", got, codes.Unimplemented)
	}
	s.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
