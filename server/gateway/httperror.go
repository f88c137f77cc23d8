package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// errorBody is the body of every answer that is no 2xx.
type errorBody struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Details []json.RawMessage `json:"details,omitempty"`
}

// httpStatus is the HTTP status of a code. A closed number is gone for good,
// which 400, the usual translation, would not tell.
func httpStatus(c codes.Code) int {
	if c == codes.OutOfRange {
		return http.StatusGone
	}
	return runtime.HTTPStatusFromCode(c)
}

// writeError answers with a gRPC status as JSON.
func writeError(w http.ResponseWriter, code int, s *status.Status) {
	if d, ok := retryAfter(s); ok {
		seconds := int64((d + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	body := errorBody{Code: rpccode.Code(s.Code()).String(), Message: s.Message()}
	for _, d := range s.Proto().GetDetails() {
		j, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(d)
		if err == nil { // details that this program does not know are left out
			body.Details = append(body.Details, j)
		}
	}
	writeJSON(w, code, body)
}

// refuse answers with a code and a text.
func refuse(w http.ResponseWriter, httpCode int, c codes.Code, text string) {
	writeError(w, httpCode, status.New(c, text))
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // v is one of this package's own bodies
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeBody(w, code, append(b, '\n'))
}

// writeBody answers with JSON.
func writeBody(w http.ResponseWriter, code int, b []byte) {
	h := w.Header()
	h.Del("Trailer")
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	_, _ = w.Write(b) // a client that went away is no concern of ours
}
