package wire

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// fullGroup is a frame with one full group of 64-byte operations.
func fullGroup() *SessionRequest {
	g := Group{Handle: 3, Requests: make([]crypto.Request, crypto.MaxGroup)}
	for i := range g.Requests {
		g.Requests[i] = crypto.Request{
			Number: 1<<40 + uint64(i), Kind: crypto.KindOperation, Op: make([]byte, 64), ClientTime: crypto.NoClientTime,
		}
	}
	return &SessionRequest{Groups: []Group{g}}
}

// fullBlock answers fullGroup with results of 8 bytes.
func fullBlock() *SessionResponse {
	k := Block{Handle: 3, N: 1 << 20, View: 1, Results: make([]crypto.Result, crypto.MaxGroup)}
	for i := range k.Results {
		k.Results[i] = crypto.Result{N: 1 << 20, Number: 1<<40 + uint64(i), Status: crypto.StatusOK, Value: make([]byte, 8)}
	}
	return &SessionResponse{Blocks: []Block{k}}
}

// perRequest reports a benchmark's time by request of a full group.
func perRequest(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/crypto.MaxGroup, "ns/request")
}

func BenchmarkAppendGroup(b *testing.B) {
	m, buf := fullGroup(), make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
	perRequest(b)
}

func BenchmarkParseGroup(b *testing.B) {
	buf := fullGroup().Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		var m SessionRequest
		if err := m.Parse(buf); err != nil {
			b.Fatal(err)
		}
	}
	perRequest(b)
}

func BenchmarkGeneratedUnmarshalGroup(b *testing.B) {
	buf := fullGroup().Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := proto.Unmarshal(buf, new(pbftv1.SessionRequest)); err != nil {
			b.Fatal(err)
		}
	}
	perRequest(b)
}

func BenchmarkAppendBlock(b *testing.B) {
	m, buf := fullBlock(), make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
	perRequest(b)
}

func BenchmarkParseBlock(b *testing.B) {
	buf := fullBlock().Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		var m SessionResponse
		if err := m.Parse(buf); err != nil {
			b.Fatal(err)
		}
	}
	perRequest(b)
}

func TestParsingAllocatesByFrameNotByRequest(t *testing.T) {
	request, response := fullGroup().Append(nil), fullBlock().Append(nil)
	for name, parse := range map[string]func() error{
		"request":  func() error { return new(SessionRequest).Parse(request) },
		"response": func() error { return new(SessionResponse).Parse(response) },
	} {
		n := testing.AllocsPerRun(10, func() {
			if err := parse(); err != nil {
				t.Error(err)
			}
		})
		if n > 3 {
			t.Errorf("%s: %v allocations, want 3 at most", name, n)
		}
	}
}
