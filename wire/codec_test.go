package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"unsafe"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

func TestSegmentsAreMarshalledWithoutCopying(t *testing.T) {
	parts := [][]byte{[]byte("ab"), nil, []byte("cde")}
	m := &Segments{Parts: parts}
	out, err := Codec().Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 2 || out.Len() != m.Len() || m.Len() != 5 {
		t.Fatalf("%d buffers of %d bytes, Len %d: want 2 of 5", len(out), out.Len(), m.Len())
	}
	for i, part := range [][]byte{parts[0], parts[2]} {
		if unsafe.SliceData(out[i].ReadOnlyData()) != unsafe.SliceData(part) {
			t.Errorf("buffer %d is a copy", i)
		}
	}
}

func TestRawIsOneFreshSlice(t *testing.T) {
	pool := mem.DefaultBufferPool()
	received := append([]byte(nil), "abcdef"...)
	in := mem.BufferSlice{mem.NewBuffer(&received, pool), mem.SliceBuffer("gh")}
	var m Raw
	if err := Codec().Unmarshal(in, &m); err != nil {
		t.Fatal(err)
	}
	in.Free()
	clear(received) // the pool's next user
	if string(m.Data) != "abcdefgh" {
		t.Errorf("%q", m.Data)
	}
	out, err := Codec().Marshal(&m)
	if err != nil || string(out.Materialize()) != "abcdefgh" {
		t.Errorf("%q, %v", out.Materialize(), err)
	}
}

func TestCodecTakesGeneratedMessages(t *testing.T) {
	want := &pbftv1.GetOutcomeRequest{Client: "c", Number: 7, Session: 1 << 60}
	out, err := Codec().Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(pbftv1.GetOutcomeRequest)
	if err := Codec().Unmarshal(out, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if name := Codec().Name(); name != "proto" {
		t.Errorf("name %q would change the content type of calls", name)
	}
}

func TestCodecRefusesWhatItCannotTake(t *testing.T) {
	if err := Codec().Unmarshal(nil, new(Segments)); err == nil {
		t.Error("received into Segments")
	}
	if _, err := Codec().Marshal(42); err == nil {
		t.Error("marshalled an int")
	}
}

// sessions echoes the handle of every group as a refusal, by hand.
type sessions struct {
	pbftv1.UnimplementedClientServiceServer
}

func (sessions) Session(stream grpc.BidiStreamingServer[pbftv1.SessionRequest, pbftv1.SessionResponse]) error {
	for {
		var raw Raw
		switch err := stream.RecvMsg(&raw); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		var in SessionRequest
		if err := in.Parse(raw.Data); err != nil {
			return err
		}
		var out Segments // one part per refusal
		for i := range in.Groups {
			r := SessionResponse{Refusals: []Refusal{{Handle: in.Groups[i].Handle, Message: string(in.Groups[i].Requests[0].Op)}}}
			out.Parts = append(out.Parts, r.Append(nil))
		}
		if err := stream.SendMsg(&out); err != nil {
			return err
		}
	}
}

// serve runs a server with the public port's options and gives its address.
func serve(t testing.TB, options []grpc.ServerOption) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	pbftv1.RegisterClientServiceServer(s, sessions{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func connect(t testing.TB, addr string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

func open(t testing.TB, ctx context.Context, cc *grpc.ClientConn) grpc.BidiStreamingClient[pbftv1.SessionRequest, pbftv1.SessionResponse] {
	t.Helper()
	stream, err := pbftv1.NewClientServiceClient(cc).Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestGeneratedStubsSpeakWithHandWrittenEnds(t *testing.T) {
	addr := serve(t, ServerOptions(1<<20))
	ops := [][]byte{bytes.Repeat([]byte("x"), 100_000), {}, []byte("last")}
	request := func() *pbftv1.SessionRequest {
		m := new(pbftv1.SessionRequest)
		for i, op := range ops {
			m.Groups = append(m.Groups, &pbftv1.Group{Handle: uint32(i), Requests: []*pbftv1.Request{{Op: op}}})
		}
		return m
	}

	stub := open(t, t.Context(), connect(t, addr)) // gRPC's own options and codec
	if err := stub.Send(request()); err != nil {
		t.Fatal(err)
	}
	byStub, err := stub.Recv()
	if err != nil {
		t.Fatal(err)
	}

	hand := open(t, t.Context(), connect(t, addr, DialOptions(1<<20)...))
	var m SessionRequest
	if b, err := proto.Marshal(request()); err != nil {
		t.Fatal(err)
	} else if err := m.Parse(b); err != nil {
		t.Fatal(err)
	}
	if err := hand.SendMsg(&Segments{Parts: [][]byte{m.Append(nil)}}); err != nil {
		t.Fatal(err)
	}
	var raw Raw
	if err := hand.RecvMsg(&raw); err != nil {
		t.Fatal(err)
	}
	var byHand SessionResponse
	if err := byHand.Parse(raw.Data); err != nil {
		t.Fatal(err)
	}

	if len(byStub.GetRefusals()) != len(ops) || len(byHand.Refusals) != len(ops) {
		t.Fatalf("%d and %d answers, want %d", len(byStub.GetRefusals()), len(byHand.Refusals), len(ops))
	}
	for i, op := range ops {
		a, b := byStub.GetRefusals()[i], byHand.Refusals[i]
		if a.GetMessage() != string(op) || b.Message != string(op) || a.GetHandle() != uint32(i) || b.Handle != uint32(i) {
			t.Errorf("answer %d differs", i)
		}
	}
}
