package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Raw is one received message as protobuf bytes. Data is a fresh slice that
// belongs to the receiver, unless Reuse is set: then it is the slice of the
// message before, if that has room.
type Raw struct {
	Data  []byte
	Reuse bool
}

// maxReuse is the largest slice that is used again; a stream should not hold
// the memory of the largest message that it ever saw.
const maxReuse = 1 << 20

// Segments is a message to send: the concatenation of Parts is its protobuf
// bytes. They go out without being copied first, so they must never change
// again; several messages, on several streams, may share a part.
type Segments struct{ Parts [][]byte }

// Len is the size of the message in bytes.
func (s *Segments) Len() int {
	n := 0
	for _, p := range s.Parts {
		n += len(p)
	}
	return n
}

// Codec is the codec of every dial and server here. It takes *Raw and
// *Segments as they are and everything else as protobuf does, under
// protobuf's name, so that generated stubs and grpcurl talk to the same
// server.
func Codec() encoding.CodecV2 {
	return codec{encoding.GetCodecV2(proto.Name)}
}

type codec struct{ generated encoding.CodecV2 }

func (codec) Name() string { return proto.Name }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *Segments:
		out := make(mem.BufferSlice, 0, len(m.Parts))
		for _, p := range m.Parts {
			if len(p) > 0 {
				out = append(out, mem.SliceBuffer(p))
			}
		}
		return out, nil
	case *Raw:
		return mem.BufferSlice{mem.SliceBuffer(m.Data)}, nil
	}
	return c.generated.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *Raw:
		size := data.Len()
		if !m.Reuse || size > cap(m.Data) || cap(m.Data) > maxReuse {
			m.Data = data.Materialize()
			return nil
		}
		m.Data = m.Data[:size]
		data.CopyTo(m.Data)
		return nil
	case *Segments:
		return fmt.Errorf("codec: receive into *wire.Raw, not into %T", v)
	}
	return c.generated.Unmarshal(data, v)
}
