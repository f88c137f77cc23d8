package gateway

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// The local types let the JSON mux call the services as if over a connection,
// with no wire between.

type localClient struct{ to *clientService }

func (l localClient) Submit(ctx context.Context, in *pbftv1.SubmitRequest, _ ...grpc.CallOption) (*pbftv1.SubmitResponse, error) {
	return l.to.Submit(ctx, in)
}

func (l localClient) GetClientInfo(ctx context.Context, in *pbftv1.GetClientInfoRequest, _ ...grpc.CallOption) (*pbftv1.GetClientInfoResponse, error) {
	return l.to.GetClientInfo(ctx, in)
}

func (l localClient) GetOutcome(ctx context.Context, in *pbftv1.GetOutcomeRequest, _ ...grpc.CallOption) (*pbftv1.GetOutcomeResponse, error) {
	return l.to.GetOutcome(ctx, in)
}

// Session has no HTTP rule.
func (localClient) Session(context.Context, ...grpc.CallOption) (grpc.BidiStreamingClient[pbftv1.SessionRequest, pbftv1.SessionResponse], error) {
	return nil, status.Error(codes.Unimplemented, "sessions are served over gRPC only")
}

type localAdmin struct{ to *adminService }

func (l localAdmin) GetStatus(ctx context.Context, in *pbftv1.GetStatusRequest, _ ...grpc.CallOption) (*pbftv1.GetStatusResponse, error) {
	return l.to.GetStatus(ctx, in)
}

func (l localAdmin) ListLog(ctx context.Context, in *pbftv1.ListLogRequest, _ ...grpc.CallOption) (*pbftv1.ListLogResponse, error) {
	return l.to.ListLog(ctx, in)
}

func (l localAdmin) Dump(ctx context.Context, in *pbftv1.DumpRequest, _ ...grpc.CallOption) (*pbftv1.DumpResponse, error) {
	return l.to.Dump(ctx, in)
}

type localCompat struct{ to *compatService }

func (l localCompat) Order(ctx context.Context, in *pbftv1.OrderRequest, _ ...grpc.CallOption) (*pbftv1.OrderResponse, error) {
	return l.to.Order(ctx, in)
}

func (l localCompat) RequestViewChange(ctx context.Context, in *pbftv1.RequestViewChangeRequest, _ ...grpc.CallOption) (*pbftv1.RequestViewChangeResponse, error) {
	return l.to.RequestViewChange(ctx, in)
}
