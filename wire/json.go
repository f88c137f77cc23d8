package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"
)

// Marshaler is the JSON of the public port and of the client's /reply
// listener. It differs from protobuf's own mapping: field names are those of
// the proto files and no others; 64-bit integers are JSON numbers in both
// directions; bytes are standard base64; enum values are names; input that is
// not exactly what the message allows is refused with a *FieldError.
//
// It serves messages of this project, which use no maps and no well-known
// types.
type Marshaler struct{}

var _ runtime.Marshaler = Marshaler{}

// FieldError says which field of a JSON body is not as it must be.
type FieldError struct {
	Field       string // path, such as proposal.id[1]; empty: the body as a whole
	Description string // what is wrong with it and what is allowed
}

// Error is the path and the description.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return "body: " + e.Description
	}
	return e.Field + ": " + e.Description
}

// Body is a request body that remembers why it could not be decoded. The
// generated handlers keep only the text of that error: who puts a *Body into
// the request finds the fields of it here afterwards.
type Body struct {
	io.ReadCloser
	Err *FieldError // nil: not decoded yet, or without an error
}

// ContentType implements runtime.Marshaler.
func (Marshaler) ContentType(any) string { return "application/json" }

// Marshal implements runtime.Marshaler. Fields without presence are written
// even if they are zero.
func (Marshaler) Marshal(v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return appendMessage(nil, m.ProtoReflect())
	}
	return json.Marshal(v)
}

// Unmarshal implements runtime.Marshaler. It sets v, a message, to what b
// says.
func (Marshaler) Unmarshal(b []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("json: cannot decode into %T, need a protobuf message", v)
	}
	proto.Reset(m)
	return newJSONReader(b).read(m.ProtoReflect())
}

// NewDecoder implements runtime.Marshaler. The decoder takes r to its end: an
// empty body is an error, and so is anything behind the message.
func (m Marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		err = m.Unmarshal(b, v)
		if body, ok := r.(*Body); ok {
			errors.As(err, &body.Err)
		}
		return err
	})
}

// NewEncoder implements runtime.Marshaler.
func (m Marshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		b, err := m.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
}
