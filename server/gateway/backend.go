package gateway

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/wire"
)

// Backend is what the gateway needs of its replica. All methods may be called
// from any goroutine.
type Backend interface {
	// Info tells where the replica stands. It is cheap.
	Info() wire.ServerInfo
	// Ready is nil while the replica orders requests: normal, and connected to
	// a quorum. Otherwise it says why not.
	Ready() error

	// Submit queues a group whose shape ParseGroup has checked. If it returns
	// OK, admitted is called once with the core's decision, from the replica's
	// loop, and must not block. It returns another reason at once where the
	// replica's inbox is full; admitted is not called then.
	Submit(g crypto.GroupView, src consensus.Source, admitted func(consensus.Reason)) consensus.Reason
	// RelayAll passes a group to every replica, which watch over it.
	RelayAll(g crypto.GroupView)
	// FetchReplies asks every replica, this one too, for the outcome of a
	// request; session 0 is any. The answers come by Server.DeliverReply.
	FetchReplies(client string, session, number uint64)

	// Lookup is this replica's own answer to FetchReplies. session is the one
	// that the request was executed under.
	Lookup(ctx context.Context, client string, session, number uint64) (view, realSession uint64, r crypto.Result, err error)
	// ClientInfo tells the lowest open number of a client, one more than its
	// highest executed one, and the last sequence number executed.
	ClientInfo(ctx context.Context, client string) (low, next, lastExecuted uint64, err error)

	// Status, Log and Dump answer the admin service.
	Status(ctx context.Context) (*pbftv1.GetStatusResponse, error)
	Log(ctx context.Context, from uint64, limit int) (*pbftv1.ListLogResponse, error)
	Dump(ctx context.Context, from uint64, limitBytes int) (*pbftv1.DumpResponse, error)

	// Complain tells the core that a client asks for a view change.
	Complain()
}

// Options say what a Server is made of.
type Options struct {
	Config  *config.Config
	Index   int          // of this replica
	Logger  *slog.Logger // nil: discarded
	Version string       // of the program, shown by /healthz

	// Metrics are the replica's figures for /metrics; nil: none. They are
	// collected by several goroutines at once, and not before Serve.
	Metrics prometheus.Collector
}
