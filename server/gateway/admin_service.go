package gateway

import (
	"context"

	"google.golang.org/protobuf/proto"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// Limits of the admin service, as the proto file tells them.
const (
	defaultLogLimit = 16
	maxLogLimit     = 256
	maxLogBytes     = 3 << 20 // of an answer: gRPC clients take 4 MiB by default
	defaultDump     = 1 << 20
	maxDump         = 4 << 20
)

// adminService shows what the replica does.
type adminService struct {
	pbftv1.UnimplementedAdminServiceServer
	s *Server
}

// GetStatus tells where the replica stands.
func (a *adminService) GetStatus(ctx context.Context, _ *pbftv1.GetStatusRequest) (*pbftv1.GetStatusResponse, error) {
	return answer(ctx, a.s.backend.Status)
}

// ListLog shows executed batches.
func (a *adminService) ListLog(ctx context.Context, in *pbftv1.ListLogRequest) (*pbftv1.ListLogResponse, error) {
	limit, err := withDefault("limit", in.GetLimit(), defaultLogLimit, maxLogLimit)
	if err != nil {
		return nil, err
	}
	out, err := answer(ctx, func(ctx context.Context) (*pbftv1.ListLogResponse, error) {
		return a.s.backend.Log(ctx, in.GetFrom(), limit)
	})
	if err != nil {
		return nil, err
	}
	// Large batches leave room for fewer: the caller goes on behind the last.
	size := 0
	for i, e := range out.GetEntries() {
		if size += proto.Size(e); size > maxLogBytes && i > 0 {
			out.Entries = out.Entries[:i]
			break
		}
	}
	return out, nil
}

// Dump lists executed requests.
func (a *adminService) Dump(ctx context.Context, in *pbftv1.DumpRequest) (*pbftv1.DumpResponse, error) {
	limit, err := withDefault("limit_bytes", in.GetLimitBytes(), defaultDump, maxDump)
	if err != nil {
		return nil, err
	}
	return answer(ctx, func(ctx context.Context) (*pbftv1.DumpResponse, error) {
		return a.s.backend.Dump(ctx, in.GetFrom(), limit)
	})
}

// withDefault is v, or usual where v is 0.
func withDefault(field string, v uint32, usual, most int) (int, error) {
	if v > uint32(most) {
		return 0, invalid(field, "is %d, allowed are 1 to %d, or 0 for %d", v, most, usual)
	}
	if v == 0 {
		return usual, nil
	}
	return int(v), nil
}

// answer asks the backend within the deadline of the call.
func answer[T any](ctx context.Context, ask func(context.Context) (*T, error)) (*T, error) {
	ctx, cancel := withWait(ctx)
	defer cancel()
	out, err := ask(ctx)
	if err != nil {
		return nil, errUnavailable(ctx, err)
	}
	return out, nil
}
