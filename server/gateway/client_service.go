package gateway

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// clientService orders requests of programs.
type clientService struct {
	pbftv1.UnimplementedClientServiceServer
	s *Server
}

// Submit orders one request and waits until f+1 replicas agree. Errors:
// INVALID_ARGUMENT, PERMISSION_DENIED (reply host), RESOURCE_EXHAUSTED and
// UNAVAILABLE (both with RetryInfo), ALREADY_EXISTS (number used by another
// request), OUT_OF_RANGE (number closed), DEADLINE_EXCEEDED (outcome unknown).
func (c *clientService) Submit(ctx context.Context, in *pbftv1.SubmitRequest) (*pbftv1.SubmitResponse, error) {
	o, err := c.order(in)
	if err != nil {
		return nil, err
	}
	if err := c.s.backend.Ready(); err != nil {
		return nil, errNotReady(err)
	}
	a, err := c.s.run(ctx, &o)
	if err != nil {
		return nil, err
	}
	out := &pbftv1.SubmitResponse{
		Client: o.client, Session: o.session, Number: o.number,
		Status: pbftv1.ReplyStatus(a.result.Status), N: a.result.N,
		View: c.s.backend.Info().View, Replicas: a.replicas,
	}
	out.Result, out.Tombstone = outcomeOf(&a.result)
	return out, nil
}

// order checks a request and makes its group.
func (c *clientService) order(in *pbftv1.SubmitRequest) (order, error) {
	if err := checkClient("client", in.GetClient()); err != nil {
		return order{}, err
	}
	if err := checkNumber("number", in.GetNumber()); err != nil {
		return order{}, err
	}
	if err := checkKind("kind", in.GetKind()); err != nil {
		return order{}, err
	}
	info := c.s.backend.Info()
	if err := checkOp("op", len(in.GetOp()), &info); err != nil {
		return order{}, err
	}
	if n := len(in.GetSignature()); n != 0 && n != crypto.SignatureSize {
		return order{}, invalid("signature", "%d bytes, allowed are none or %d", n, crypto.SignatureSize)
	}
	if in.GetReplyUrl() != "" {
		if err := c.s.hosts.check("reply_url", in.GetReplyUrl()); err != nil {
			return order{}, err
		}
	}
	at, err := clientTime("client_time", in.ClientTime)
	if err != nil {
		return order{}, err
	}
	return c.s.newOrder(in.GetClient(), in.GetSession(), crypto.Request{
		Number: in.GetNumber(), Kind: crypto.KindOperation, Op: in.GetOp(),
		ClientTime: at, ReplyURL: []byte(in.GetReplyUrl()),
	}, in.GetSignature())
}

func checkKind(field string, k pbftv1.RequestKind) error {
	switch k {
	case pbftv1.RequestKind_REQUEST_KIND_UNSPECIFIED, pbftv1.RequestKind_REQUEST_KIND_OPERATION:
		return nil
	case pbftv1.RequestKind_REQUEST_KIND_READ, pbftv1.RequestKind_REQUEST_KIND_CONFIG, pbftv1.RequestKind_REQUEST_KIND_REJOIN:
		return violation(codes.Unimplemented, field, k.String()+" is not served yet, allowed is REQUEST_KIND_OPERATION")
	}
	return invalid(field, "%d is unknown, allowed is REQUEST_KIND_OPERATION", int32(k))
}

// outcomeOf gives a result in full, or what stands for it.
func outcomeOf(r *crypto.Result) ([]byte, *pbftv1.Tombstone) {
	if r.Tombstone {
		return nil, &pbftv1.Tombstone{Digest: r.Digest[:], Size: r.Size}
	}
	return r.Value, nil
}

// GetClientInfo tells where this replica sees the window of a client.
func (c *clientService) GetClientInfo(ctx context.Context, in *pbftv1.GetClientInfoRequest) (*pbftv1.GetClientInfoResponse, error) {
	if err := crypto.CheckClient(in.GetClient()); err != nil {
		return nil, invalid("client", "%v", err)
	}
	ctx, cancel := withWait(ctx)
	defer cancel()
	low, next, last, err := c.s.backend.ClientInfo(ctx, in.GetClient())
	if err != nil {
		return nil, errUnavailable(ctx, err)
	}
	return &pbftv1.GetClientInfoResponse{Client: in.GetClient(), Low: low, Next: next, LastExecuted: last}, nil
}

// GetOutcome asks all replicas what became of a request until f+1 agree.
func (c *clientService) GetOutcome(ctx context.Context, in *pbftv1.GetOutcomeRequest) (*pbftv1.GetOutcomeResponse, error) {
	if err := crypto.CheckClient(in.GetClient()); err != nil {
		return nil, invalid("client", "%v", err)
	}
	if err := checkNumber("number", in.GetNumber()); err != nil {
		return nil, err
	}
	ctx, cancel := withWait(ctx)
	defer cancel()
	w, err := c.s.enter(in.GetClient(), in.GetSession(), in.GetNumber(), true)
	if err != nil {
		return nil, err
	}
	defer c.s.collector.leave(w)
	ask := func() { c.s.backend.FetchReplies(in.GetClient(), in.GetSession(), in.GetNumber()) }
	ask()
	a, err := c.s.await(ctx, w, ask)
	if err != nil {
		return nil, err
	}
	out := &pbftv1.GetOutcomeResponse{
		Client: in.GetClient(), Session: a.session, Number: in.GetNumber(),
		Status: pbftv1.ReplyStatus(a.result.Status), N: a.result.N, Replicas: a.replicas,
	}
	out.Result, out.Tombstone = outcomeOf(&a.result)
	return out, nil
}

// Session serves one stream of any number of sessions.
func (c *clientService) Session(g grpc.BidiStreamingServer[pbftv1.SessionRequest, pbftv1.SessionResponse]) error {
	return c.s.serveStream(g)
}
