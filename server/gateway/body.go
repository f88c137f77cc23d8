package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxBodies bounds the bytes of all bodies that are being read and handled.
const maxBodies = 256 << 20

// body is a request's body, read whole.
type body struct {
	bytes.Reader
	held int
	all  *atomic.Int64
}

// Close implements io.Closer.
func (b *body) Close() error { return nil }

// release gives the body's share of maxBodies back.
func (b *body) release() { b.all.Add(-int64(b.held)) }

// maxBody is the largest body: an operation of full size fits as base64, or
// with every second byte escaped.
func (s *Server) maxBody() int64 { return 2 * int64(s.config.MaxBatchBytes) }

// readBody reads a body within the limits, or answers why it cannot.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (*body, bool) {
	limit := s.maxBody()
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // spares reading it
		tooLarge(w, limit)
		return nil, false
	}
	in := &metered{r: http.MaxBytesReader(w, r.Body, limit), all: &s.bodies}
	data, err := io.ReadAll(in)
	if err == nil {
		b := &body{held: in.held, all: in.all}
		b.Reset(data)
		return b, true
	}
	s.bodies.Add(-int64(in.held))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		tooLarge(w, limit)
	case errors.Is(err, errBusy):
		w.Header().Set("Connection", "close")
		writeError(w, http.StatusTooManyRequests, status.Convert(later(codes.ResourceExhausted, time.Second, "%v", err)))
	default:
		refuse(w, http.StatusBadRequest, codes.InvalidArgument, "the body could not be read to its end")
	}
	return nil, false
}

func tooLarge(w http.ResponseWriter, limit int64) {
	refuse(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument, fmt.Sprintf("the body is too large, the most allowed is %d bytes", limit))
}

var errBusy = fmt.Errorf("the bodies of all requests at this replica exceed %d bytes: try again", maxBodies)

// metered counts what is read into a budget that all bodies share.
type metered struct {
	r    io.Reader
	all  *atomic.Int64
	held int
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.held += n
	if m.all.Add(int64(n)) > maxBodies {
		return n, errBusy
	}
	return n, err
}
