package gateway

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

const (
	// defaultWait is how long a caller without a deadline waits for f+1
	// replicas: longer than a view change takes.
	defaultWait = 10 * time.Second
	// maxWait bounds the deadlines that callers bring.
	maxWait = 60 * time.Second
	// maxRetry bounds the doubling intervals at which all replicas are asked.
	maxRetry = 8 * time.Second
)

// order is one request of a unary or JSON caller on its way.
type order struct {
	group   crypto.GroupView
	client  string
	session uint64
	number  uint64
}

// newOrder makes the canonical group of one request, which carries this
// replica as its origin: the others send their outcomes here.
func (s *Server) newOrder(client string, session uint64, r crypto.Request, signature []byte) (order, error) {
	if session == 0 {
		session = s.cluster.SessionOfData(r.Op)
	}
	g := crypto.Group{
		Client: client, Session: session, Requests: []crypto.Request{r},
		Signature: signature, Origin: uint16(s.index + 1),
	}
	view, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		return order{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return order{group: view, client: client, session: session, number: r.Number}, nil
}

// checkClient checks a client id that came in field.
func checkClient(field, id string) error {
	if err := crypto.CheckClient(id); err != nil {
		return invalid(field, "%v", err)
	}
	if message.Reserved(id) {
		return invalid(field, "%q is reserved for the cluster's own requests, choose another client id", id)
	}
	return nil
}

func checkNumber(field string, n uint64) error {
	if n > crypto.MaxNumber {
		return invalid(field, "%d is too large, allowed are 0 to %d", n, uint64(crypto.MaxNumber))
	}
	return nil
}

func checkOp(field string, size int, info *wire.ServerInfo) error {
	if size > info.MaxOperationBytes {
		return invalid(field, "%d bytes, the most allowed is %d", size, info.MaxOperationBytes)
	}
	return nil
}

// admit hands an order to the core and waits for its decision.
func (s *Server) admit(ctx context.Context, o *order) error {
	decided := make(chan consensus.Reason, 1)
	// The caller talks to this replica only; if the request was executed
	// before, all replicas answer again.
	src := consensus.Source{Alone: true, JSON: true}
	reason := s.backend.Submit(o.group, src, func(r consensus.Reason) { decided <- r })
	if reason == consensus.OK {
		select {
		case reason = <-decided:
		case <-ctx.Done():
			return errUnknown(ctx.Err(), o.client, o.number)
		case <-s.stopping:
			return errUnknown(errStopping, o.client, o.number)
		}
	}
	if reason != consensus.OK {
		return denialOf(reason, s.backend.Info().ClientWindow).err()
	}
	return nil
}

// run orders a request and waits until f+1 replicas agree on its outcome.
func (s *Server) run(ctx context.Context, o *order) (agreement, error) {
	ctx, cancel := withWait(ctx)
	defer cancel()
	w, err := s.enter(o.client, o.session, o.number, false)
	if err != nil {
		return agreement{}, err
	}
	defer s.collector.leave(w) // entered first, or a fast answer could be missed
	if err := s.admit(ctx, o); err != nil {
		return agreement{}, err
	}
	a, err := s.await(ctx, w, func() {
		s.backend.RelayAll(o.group)
		s.backend.FetchReplies(o.client, o.session, o.number)
	})
	if err != nil {
		return agreement{}, err
	}
	return a, outcomeError(&a.result, o.client)
}

// enter registers a caller that waits.
func (s *Server) enter(client string, session, number uint64, query bool) (*waiter, error) {
	w, ok := s.collector.wait(client, session, number, query)
	if !ok {
		return nil, later(codes.ResourceExhausted, time.Second, "too many callers wait for outcomes: %d in all and %d for one request are allowed", maxWaiters, maxSameWaiters)
	}
	return w, nil
}

// await waits for f+1 equal outcomes. It calls ask after client_retry and then
// at doubling intervals.
func (s *Server) await(ctx context.Context, w *waiter, ask func()) (agreement, error) {
	delay := s.config.ClientRetry
	retry := time.NewTimer(delay)
	defer retry.Stop()
	for {
		select {
		case a := <-w.done:
			return a, nil
		case <-retry.C:
			ask()
			delay = min(2*delay, maxRetry)
			retry.Reset(delay)
		case <-ctx.Done():
			return agreement{}, errUnknown(ctx.Err(), w.key.client, w.key.number)
		case <-s.stopping:
			return agreement{}, errUnknown(errStopping, w.key.client, w.key.number)
		}
	}
}

// withWait gives a call its deadline: its own, at most maxWait, or
// defaultWait.
func withWait(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, maxWait)
	}
	return context.WithTimeout(ctx, defaultWait)
}

// outcomeError is nil for a request that was executed.
func outcomeError(r *crypto.Result, client string) error {
	switch r.Status {
	case crypto.StatusOK:
		return nil
	case crypto.StatusRejected:
		return status.Errorf(codes.AlreadyExists, "request %d of client %q: the number was used before by another request, executed at sequence number %d: use a number above all used ones", r.Number, client, r.N)
	default: // StatusExpired
		return status.Errorf(codes.OutOfRange, "request %d of client %q: the number lies below the client's window and was not executed now; it may have been executed before: GetClientInfo (GET /v1/clients/CLIENT) tells the next number", r.Number, client)
	}
}
