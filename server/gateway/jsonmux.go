package gateway

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

// newJSONMux translates JSON to calls of the services, as the generated rules
// say.
func (s *Server) newJSONMux() (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, lines{}),
		runtime.WithIncomingHeaderMatcher(noHeader),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisableChunkedEncoding(),
		runtime.WithWriteContentLength(),
		runtime.WithErrorHandler(writeCallError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
	)
	ctx := context.Background() // of the registration, which does not use it
	if err := pbftv1.RegisterCompatServiceHandlerClient(ctx, mux, localCompat{s.compat}); err != nil {
		return nil, err
	}
	if err := pbftv1.RegisterClientServiceHandlerClient(ctx, mux, localClient{s.client}); err != nil {
		return nil, err
	}
	if err := pbftv1.RegisterAdminServiceHandlerClient(ctx, mux, localAdmin{s.admin}); err != nil {
		return nil, err
	}
	return mux, nil
}

// lines ends every answer's line, so that a terminal shows it well.
type lines struct{ wire.Marshaler }

// Marshal implements runtime.Marshaler.
func (l lines) Marshal(v any) ([]byte, error) {
	b, err := l.Marshaler.Marshal(v)
	return append(b, '\n'), err
}

// noHeader keeps all headers from the calls: none is used, and the generated
// code logs those that it cannot translate.
func noHeader(string) (string, bool) { return "", false }

// writeCallError tells a call's error. Of what the decoder found wrong the
// generated code leaves the text only; the body knows the field.
func writeCallError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if b, ok := r.Body.(*wire.Body); ok && b.Err != nil {
		err = invalid(b.Err.Field, "%s", b.Err.Description)
		if b.Err.Field == "" {
			err = status.Error(codes.InvalidArgument, b.Err.Error())
		}
	}
	s := status.Convert(err)
	writeError(w, httpStatus(s.Code()), s)
}

// writeRoutingError tells that a path under clientsPath is none: all others
// were looked up before.
func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	refuse(w, http.StatusNotFound, codes.NotFound, notFound(r))
}
