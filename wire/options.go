package wire

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

// What every connection has in common.
const (
	// bufferSize is that of gRPC's read and write buffers, per connection.
	// With gRPC's own 32 KiB a busy link makes a system call per fragment of a
	// batch; more than 128 KiB gains nothing.
	bufferSize = 128 << 10

	// pingAfter is how long a connection may be silent before its end is
	// pinged, and pingTimeout how long the answer may take: together the time
	// after which a dead peer is noticed. Ten seconds is the least that gRPC
	// takes at the dialing end.
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second

	// minPingInterval is what a server puts up with. Below pingAfter, since
	// two pings may come closer together than they left.
	minPingInterval = 5 * time.Second

	// handshakeTimeout bounds a connection that was accepted and then says
	// nothing; also one attempt to dial.
	handshakeTimeout = 10 * time.Second

	// maxHeaderBytes bounds a call's metadata. None is used here; proxies add
	// some.
	maxHeaderBytes = 16 << 10

	// reconnectFirst and reconnectMost bound the pauses between attempts to
	// dial. gRPC's own most, two minutes, would keep a restarted replica alone
	// for that long.
	reconnectFirst = 100 * time.Millisecond
	reconnectMost  = 2 * time.Second
)

// link is what a kind of connection asks of gRPC at both of its ends.
type link struct {
	// Flow-control windows in bytes. They are static: gRPC's estimator, on by
	// default and by one forgotten option, sends a ping per read, which costs
	// a third of the throughput.
	streamWindow, connWindow int32

	maxStreams   uint32 // that a dialing end may have open on one connection
	waitForReady bool   // calls wait for a connection instead of failing
	proxy        bool   // dial through the proxy that the environment names
}

// clientLink is between a client and a replica. One stream must not fill the
// connection that all of a client's calls share.
var clientLink = link{
	streamWindow: 1 << 20,
	connWindow:   16 << 20,
	maxStreams:   256, // unary calls in flight, each up to a window of memory; sessions share one stream
	waitForReady: false,
	proxy:        true,
}

// peerLink is between two replicas, which trust each other's rate as far as
// their queues are bounded. A window holds several batches, so that a body on
// its way does not stop the votes behind it.
var peerLink = link{
	streamWindow: 16 << 20,
	connWindow:   16 << 20,
	maxStreams:   16, // Connect and Bulk, and the ones they replace
	waitForReady: true,
	proxy:        false,
}

// ServerOptions are those of the public port. Messages of more than
// maxMessageBytes are refused in both directions. Credentials are the
// caller's.
func ServerOptions(maxMessageBytes int) []grpc.ServerOption {
	return clientLink.server(maxMessageBytes)
}

// DialOptions are those of a client that dials the public port. Calls fail at
// once while there is no connection, so that a caller turns to another
// replica; one that would rather wait passes grpc.WaitForReady(true).
func DialOptions(maxMessageBytes int) []grpc.DialOption {
	return clientLink.dial(maxMessageBytes)
}

// PeerServerOptions are those of the peer port.
func PeerServerOptions(maxMessageBytes int) []grpc.ServerOption {
	return peerLink.server(maxMessageBytes)
}

// PeerDialOptions are those of a replica that dials a peer. Calls wait for the
// connection.
func PeerDialOptions(maxMessageBytes int) []grpc.DialOption {
	return peerLink.dial(maxMessageBytes)
}

func (l link) server(maxMessageBytes int) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec()),
		grpc.StaticStreamWindowSize(l.streamWindow),
		grpc.StaticConnWindowSize(l.connWindow),
		grpc.ReadBufferSize(bufferSize),
		grpc.WriteBufferSize(bufferSize),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.MaxConcurrentStreams(l.maxStreams),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             minPingInterval,
			PermitWithoutStream: true,
		}),
	}
}

func (l link) dial(maxMessageBytes int) []grpc.DialOption {
	options := []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(Codec()),
			grpc.MaxCallRecvMsgSize(maxMessageBytes),
			grpc.MaxCallSendMsgSize(maxMessageBytes),
			grpc.WaitForReady(l.waitForReady),
		),
		grpc.WithStaticStreamWindowSize(l.streamWindow),
		grpc.WithStaticConnWindowSize(l.connWindow),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		// A retry would keep every message of a stream in memory.
		grpc.WithDisableRetry(),
		// Nothing is configured by DNS records.
		grpc.WithDisableServiceConfig(),
		// A connection with no call on it stays, too: the next call must not
		// pay for a new one.
		grpc.WithIdleTimeout(0),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                pingAfter,
			Timeout:             pingTimeout,
			PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay:  reconnectFirst,
				Multiplier: 1.6,
				Jitter:     0.2,
				MaxDelay:   reconnectMost,
			},
			MinConnectTimeout: handshakeTimeout,
		}),
	}
	if !l.proxy {
		options = append(options, grpc.WithNoProxy())
	}
	return options
}
