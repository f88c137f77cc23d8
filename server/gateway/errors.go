package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
)

// withDetails makes a status error. Details can only be lost if they cannot be
// encoded, and the two kinds used here always can.
func withDetails(code codes.Code, text string, details ...protoadapt.MessageV1) error {
	s := status.New(code, text)
	if d, err := s.WithDetails(details...); err == nil {
		s = d
	}
	return s.Err()
}

// clip shortens s to about most bytes.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// invalid is INVALID_ARGUMENT that names a field.
func invalid(field, format string, args ...any) error {
	return violation(codes.InvalidArgument, field, fmt.Sprintf(format, args...))
}

// maxErrorText bounds what an error says: it repeats values, and travels in a
// header.
const maxErrorText = 1024

// violation is an error about one field of the request.
func violation(code codes.Code, field, text string) error {
	text = clip(text, maxErrorText)
	return withDetails(code, field+": "+text, &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: text}},
	})
}

// later is an error that goes away: the caller should try again after d.
func later(code codes.Code, d time.Duration, format string, args ...any) error {
	return withDetails(code, fmt.Sprintf(format, args...), &errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
}

// retryAfter is the hint of an error made by later.
func retryAfter(s *status.Status) (time.Duration, bool) {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// denial is how a refusal by the core is told: to unary and JSON callers by
// code, to sessions by reason.
type denial struct {
	code   codes.Code
	reason pbftv1.RefusalReason
	text   string
	retry  time.Duration // 0: never
}

// aBatch is about how long a batch takes. A client whose window is full here may
// be ahead of this replica only: it went on when f+1 others had answered.
const aBatch = 10 * time.Millisecond

// denialOf tells the core's reason. Reasons that only concern peers' messages
// do not occur.
func denialOf(r consensus.Reason, window uint64) denial {
	switch r {
	case consensus.NotReady:
		return denial{codes.Unavailable, pbftv1.RefusalReason_REFUSAL_REASON_NOT_READY,
			"the replica does not take part at present", time.Second}
	case consensus.WindowExceeded:
		return denial{codes.ResourceExhausted, pbftv1.RefusalReason_REFUSAL_REASON_WINDOW,
			fmt.Sprintf("the client's outstanding numbers must span less than %d: wait for the oldest", window), aBatch}
	case consensus.ClientQuota:
		return denial{codes.ResourceExhausted, pbftv1.RefusalReason_REFUSAL_REASON_CLIENT_QUOTA,
			"the client has too many requests or bytes waiting (client_window, client_pending_bytes): wait for some", aBatch}
	case consensus.Overloaded, consensus.PeerQuota:
		return denial{codes.ResourceExhausted, pbftv1.RefusalReason_REFUSAL_REASON_OVERLOADED,
			"the replica has too many requests or bytes waiting (max_pending, max_pending_bytes): try again", 200 * time.Millisecond}
	case consensus.BadSignature:
		return denial{codes.Unauthenticated, pbftv1.RefusalReason_REFUSAL_REASON_UNAUTHENTICATED,
			"the signature does not verify", 0}
	case consensus.NotSupported:
		return denial{codes.Unimplemented, pbftv1.RefusalReason_REFUSAL_REASON_INVALID,
			"requests of this kind are not served yet", 0}
	default:
		return denial{codes.InvalidArgument, pbftv1.RefusalReason_REFUSAL_REASON_INVALID,
			"the request breaks a rule of validity: " + r.String(), 0}
	}
}

// err tells a denial to a unary or JSON caller.
func (d denial) err() error {
	if d.retry > 0 {
		return later(d.code, d.retry, "%s", d.text)
	}
	return status.Error(d.code, d.text)
}

// errNotReady tells why the replica orders nothing now.
func errNotReady(why error) error {
	return later(codes.Unavailable, time.Second, "the replica cannot order requests now: %v", why)
}

// errUnavailable tells that the backend could not answer a question.
func errUnavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errEnded(ctx.Err())
	}
	return later(codes.Unavailable, time.Second, "the replica cannot answer now: %v", err)
}

// errEnded tells a caller whose time is up before anything was decided.
func errEnded(err error) error {
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, "the caller went away")
	}
	return status.Error(codes.DeadlineExceeded, "the deadline passed before the replica answered")
}

// errUnknown tells a caller that nobody knows yet what became of a request.
func errUnknown(cause error, client string, number uint64) error {
	code, what := codes.DeadlineExceeded, "the deadline passed"
	switch {
	case errors.Is(cause, errStopping):
		code, what = codes.Unavailable, "the replica is stopping"
	case errors.Is(cause, context.Canceled):
		code, what = codes.Canceled, "the caller went away"
	}
	return status.Errorf(code, "request %d of client %q: %s, the outcome is unknown: ask GetOutcome (GET /v1/clients/CLIENT/outcomes/NUMBER) or send the same request again", number, client, what)
}

var errStopping = errors.New("the replica is stopping")
