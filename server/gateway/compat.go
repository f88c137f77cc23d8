package gateway

import (
	"context"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// compatService is the JSON interface of the proof of concept.
type compatService struct {
	pbftv1.UnimplementedCompatServiceServer
	s *Server
}

// Order orders one request. Its errors, with their HTTP status:
// INVALID_ARGUMENT 400, PERMISSION_DENIED 403 (reply host), ALREADY_EXISTS 409
// (number used by another request), OUT_OF_RANGE 410 (number closed),
// RESOURCE_EXHAUSTED 429 and UNAVAILABLE 503 (both say when to try again),
// DEADLINE_EXCEEDED 504 (outcome unknown).
func (c *compatService) Order(ctx context.Context, in *pbftv1.OrderRequest) (*pbftv1.OrderResponse, error) {
	o, err := c.order(in)
	if err != nil {
		return nil, err
	}
	if err := c.s.backend.Ready(); err != nil {
		return nil, errNotReady(err)
	}
	if in.GetClientUrl() != "" {
		return c.accept(ctx, in, &o)
	}
	a, err := c.s.run(ctx, &o)
	if err != nil {
		return nil, err
	}
	out := &pbftv1.OrderResponse{
		Id: in.GetId(), Status: a.result.Status.String(),
		Seq: proto.Uint64(a.result.N), View: proto.Uint64(c.s.backend.Info().View),
	}
	switch {
	case a.result.Tombstone: // the result is not kept any more
	case utf8.Valid(a.result.Value):
		out.Result = proto.String(string(a.result.Value))
	default:
		out.ResultBase64 = proto.String(base64.StdEncoding.EncodeToString(a.result.Value))
	}
	return out, nil
}

// accept answers as soon as the request is admitted: the replicas POST their
// replies. What this replica knows to be closed or used is refused at once,
// because nobody would call the URL.
func (c *compatService) accept(ctx context.Context, in *pbftv1.OrderRequest, o *order) (*pbftv1.OrderResponse, error) {
	ctx, cancel := withWait(ctx)
	defer cancel()
	_, _, r, err := c.s.backend.Lookup(ctx, o.client, o.session, o.number)
	if err != nil {
		return nil, errUnavailable(ctx, err)
	}
	if r.Status == crypto.StatusRejected || r.Status == crypto.StatusExpired {
		return nil, outcomeError(&r, o.client)
	}
	if err := c.s.admit(ctx, o); err != nil {
		return nil, err
	}
	return &pbftv1.OrderResponse{Id: in.GetId(), Status: "ACCEPTED", Index: proto.Uint32(uint32(c.s.index))}, nil
}

// order checks a request and makes its group.
func (c *compatService) order(in *pbftv1.OrderRequest) (order, error) {
	if n := len(in.GetId()); n != 2 {
		return order{}, invalid("id", "%d numbers, needs exactly two: [client, number]", n)
	}
	client, number := in.GetId()[0], in.GetId()[1]
	if err := checkNumber("id[0]", client); err != nil {
		return order{}, err
	}
	if err := checkNumber("id[1]", number); err != nil {
		return order{}, err
	}
	if in.Data == nil {
		return order{}, invalid("data", "is missing, needs a string: the operation")
	}
	info := c.s.backend.Info()
	if err := checkOp("data", len(in.GetData()), &info); err != nil {
		return order{}, err
	}
	if in.ClientUrl != nil {
		if err := c.s.hosts.check("client_url", in.GetClientUrl()); err != nil {
			return order{}, err
		}
	}
	at, err := clientTime("timestamp", in.Timestamp)
	if err != nil {
		return order{}, err
	}
	return c.s.newOrder(strconv.FormatUint(client, 10), 0, crypto.Request{
		Number: number, Kind: crypto.KindOperation, Op: []byte(in.GetData()),
		ClientTime: at, ReplyURL: []byte(in.GetClientUrl()),
	}, nil)
}

// clientTime is a client's clock as it stands in a request. NaN and infinity
// could not be echoed in JSON.
func clientTime(field string, t *float64) (uint64, error) {
	if t == nil {
		return crypto.NoClientTime, nil
	}
	if math.IsNaN(*t) || math.IsInf(*t, 0) {
		return 0, invalid(field, "%v is no number that JSON can say", *t)
	}
	return math.Float64bits(*t), nil
}

// RequestViewChange counts a complaint about the primary.
func (c *compatService) RequestViewChange(_ context.Context, in *pbftv1.RequestViewChangeRequest) (*pbftv1.RequestViewChangeResponse, error) {
	const action = "view change"
	if in.GetAction() != action {
		return nil, invalid("action", "is %q, allowed is %q", in.GetAction(), action)
	}
	c.s.backend.Complain()
	return &pbftv1.RequestViewChangeResponse{Status: "ACCEPTED", View: c.s.backend.Info().View}, nil
}
