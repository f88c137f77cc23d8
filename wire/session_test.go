package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// checkRequest holds the parsing of b against the generated code, both ways.
func checkRequest(t *testing.T, b []byte) {
	t.Helper()
	var m SessionRequest
	pb := new(pbftv1.SessionRequest)
	err, pbErr := m.Parse(b), proto.Unmarshal(b, pb)
	if pbErr == nil {
		pbErr = requestBounds(pb)
	}
	if (err == nil) != (pbErr == nil) {
		t.Fatalf("parsed by hand: %v; by the generated code, within bounds: %v", err, pbErr)
	}
	if err != nil {
		return
	}
	normalRequest(pb)
	sameMessage(t, "parsed", requestPB(&m), pb)
	again := new(pbftv1.SessionRequest)
	if err := proto.Unmarshal(m.Append(nil), again); err != nil {
		t.Fatal(err)
	}
	sameMessage(t, "appended", again, pb)
}

// checkResponse is checkRequest for responses.
func checkResponse(t *testing.T, b []byte) {
	t.Helper()
	var m SessionResponse
	pb := new(pbftv1.SessionResponse)
	err, pbErr := m.Parse(b), proto.Unmarshal(b, pb)
	if pbErr == nil {
		pbErr = responseBounds(pb)
	}
	if (err == nil) != (pbErr == nil) {
		t.Fatalf("parsed by hand: %v; by the generated code, within bounds: %v", err, pbErr)
	}
	if err != nil {
		return
	}
	normalResponse(pb)
	sameMessage(t, "parsed", responsePB(&m), pb)
	again := new(pbftv1.SessionResponse)
	if err := proto.Unmarshal(m.Append(nil), again); err != nil {
		t.Fatal(err)
	}
	sameMessage(t, "appended", again, pb)
}

// sameMessage compares the bytes, too: to proto.Equal one NaN is as good as
// another.
func sameMessage(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) || !bytes.Equal(encode(t, got), encode(t, want)) {
		t.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A source makes values that are zero, small and as large as can be.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 1))} }

func (s source) u64() uint64 { return s.Uint64() >> s.IntN(65) }

func (s source) u32() uint32 { return uint32(s.Uint64() >> (32 + s.IntN(33))) }

func (s source) bytes() []byte {
	b := make([]byte, s.IntN(4)*s.IntN(60))
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

func (s source) text() string { return strings.Repeat("ü", s.IntN(3)*s.IntN(80)) }

func (s source) flag() bool { return s.IntN(2) == 0 }

func (s source) digest() (d crypto.Digest) {
	if s.flag() {
		copy(d[:], "0123456789abcdef0123456789abcdef")
	}
	return d
}

func (s source) request() *SessionRequest {
	m := new(SessionRequest)
	for range s.IntN(4) {
		m.Opens = append(m.Opens, Open{s.u32(), s.text(), s.u64(), s.flag(), s.bytes()})
	}
	for range s.IntN(4) {
		g := Group{Handle: s.u32(), Signature: s.bytes(), Alone: s.flag(), Retry: s.flag()}
		for range s.IntN(5) {
			r := crypto.Request{
				Number: s.u64(), Kind: crypto.Kind(1 + s.IntN(255)), Op: s.bytes(),
				ClientTime: crypto.NoClientTime, ReplyURL: []byte(s.text()),
			}
			if s.flag() {
				r.ClientTime = s.u64()
			}
			g.Requests = append(g.Requests, r)
		}
		m.Groups = append(m.Groups, g)
	}
	for range s.IntN(4) {
		m.Outcomes = append(m.Outcomes, OutcomeQuery{s.u32(), s.u64(), s.u64()})
	}
	for range s.IntN(4) {
		m.Closes = append(m.Closes, s.u32())
	}
	return m
}

func (s source) result() crypto.Result {
	r := crypto.Result{N: s.u64(), Number: s.u64(), Status: crypto.Status(1 + s.IntN(4))}
	if s.flag() {
		r.Value = s.bytes()
	} else {
		r.Tombstone, r.Digest, r.Size = true, s.digest(), s.u64()
	}
	return r
}

func (s source) response() *SessionResponse {
	m := new(SessionResponse)
	if s.flag() {
		m.Info = &ServerInfo{
			s.IntN(65536), s.IntN(65536), s.u64(), s.u64(), crypto.ClusterID(s.digest()), s.u64(),
			s.IntN(1 << 31), s.IntN(1 << 31), s.IntN(1 << 31), s.flag(),
		}
	}
	for range s.IntN(4) {
		k := Block{Handle: s.u32(), N: s.u64(), View: s.u64(), Digest: s.digest()}
		for range s.IntN(5) {
			k.Results = append(k.Results, s.result())
		}
		m.Blocks = append(m.Blocks, k)
	}
	for range s.IntN(4) {
		m.Singles = append(m.Singles, Single{s.u32(), s.u64(), s.text(), s.u64(), s.IntN(65536), s.result()})
	}
	for range s.IntN(4) {
		m.Refusals = append(m.Refusals, Refusal{
			s.u32(), s.u64(), s.u64(), pbftv1.RefusalReason(int32(s.u32())), s.text(), time.Duration(s.u32()) * time.Millisecond,
		})
	}
	return m
}

func TestSessionRequestIsProtobuf(t *testing.T) {
	for seed := range uint64(500) {
		m := newSource(seed).request()
		b := m.Append([]byte("before"))[len("before"):]
		pb := new(pbftv1.SessionRequest)
		if err := proto.Unmarshal(b, pb); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sameMessage(t, fmt.Sprintf("seed %d", seed), pb, requestPB(m))
		checkRequest(t, b)
	}
}

func TestSessionResponseIsProtobuf(t *testing.T) {
	for seed := range uint64(500) {
		m := newSource(seed).response()
		b := m.Append([]byte("before"))[len("before"):]
		pb := new(pbftv1.SessionResponse)
		if err := proto.Unmarshal(b, pb); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sameMessage(t, fmt.Sprintf("seed %d", seed), pb, responsePB(m))
		checkResponse(t, b)
	}
}

// oddities are encodings that no encoder makes, but protobuf allows or
// forbids. In each, x stands for any one message.
func oddities(x []byte) [][]byte {
	field := func(num protowire.Number, payload []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), payload)
	}
	long := []byte{0x82, 0x80, 0x80, 0x80, 0x00} // 2, in five bytes
	return [][]byte{
		append(bytes.Clone(x), x...), // singular messages merge
		append(bytes.Clone(x), field(15, []byte("unknown"))...),
		append(bytes.Clone(x), field(1<<28, nil)...),
		append(bytes.Clone(x), 0x7b, 0x08, 0x01, 0x7c), // unknown group
		append(bytes.Clone(x), 0x7b, 0x08, 0x01, 0x74), // ended by another
		append(bytes.Clone(x), 0x7c),                   // ended without a start
		append(bytes.Clone(x), 0x7d, 1, 2, 3, 4),       // unknown fixed32
		append(bytes.Clone(x), 0x00, 0x00),             // field number 0
		append(bytes.Clone(x), 0x0e),                   // wire type 6
		append(bytes.Clone(x), append([]byte{0x80 | 0x7a, 0}, long...)...),
		append(bytes.Clone(x), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), // field number too large
		append(bytes.Clone(x), 0xfa, 0xff, 0xff, 0xff, 0x7f, 0x00),                         // larger than 2^29-1
		append(bytes.Clone(x), 0x0d, 0, 0, 0, 0),                                           // field 1 as fixed32: unknown
		append(bytes.Clone(x), 0x08, 0x01),                                                 // field 1 as varint
		append(bytes.Clone(x), 0x20, 0x05, 0x22, 0x02, 0x06, 0x07),                         // field 4 single and packed
		append(bytes.Clone(x), 0x22, 0x02, 0x06, 0x87),                                     // packed, cut short
		field(1, append([]byte{0x08}, long...)),
		field(1, []byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}), // 64 bits in a uint32
		field(1, []byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}), // 65 bits
		field(1, []byte{0x08, 1, 0x08, 2}),
		field(1, []byte{0x12, 1, 0xff}), // string that is no UTF-8
		field(1, []byte{0x20, 3}),
		field(1, []byte{0x20, 3, 0x20, 2}),
		field(1, []byte{0x2a, 1, 0xff}),
		field(2, []byte{0x10, 1, 0x12, 2, 0x10, 7}),
		field(2, []byte{0x12, 3, 0x10, 0x80, 0x02}), // kind 256
		field(2, []byte{0x20, 2}),                   // bool 2
		field(2, []byte{0x22, 1, 7}),                // digest of one byte
		field(2, []byte{0x22, 1, 7, 0x22, 0}),       // the last one counts
		field(2, field(5, []byte{0x18, 1, 0x22, 1, 9, 0x2a, 0})),
		field(2, field(5, append([]byte{0x18, 1, 0x22, 1, 9}, field(5, field(1, make([]byte, 32)))...))),
		field(2, field(5, append(append([]byte{0x18, 1}, field(5, field(1, make([]byte, 32)))...), 0x2a, 2, 0x10, 5))),
		field(2, field(5, append(append([]byte{0x18, 1}, field(5, field(1, make([]byte, 32)))...), 0x22, 1, 9))),
		field(2, field(5, append(append([]byte{0x18, 1}, field(5, field(1, make([]byte, 32)))...), 0x22, 0, 0x2a, 2, 0x10, 5))),
		field(2, field(5, []byte{0x18, 5})),
		field(2, field(5, nil)),
		field(3, []byte{0x08, 1}),
		field(3, append(field(2, []byte{0x30, 1}), field(2, []byte{0x38, 0x80, 0x80, 0x04})...)),
		field(3, append(field(2, []byte{0x30, 1}), field(2, []byte{0x38, 3})...)),
	}
}

func TestSessionMessagesAreParsedAsProtobufDoes(t *testing.T) {
	for seed := range uint64(20) {
		for _, b := range oddities(newSource(seed).request().Append(nil)) {
			checkRequest(t, b)
		}
		for _, b := range oddities(newSource(seed).response().Append(nil)) {
			checkResponse(t, b)
		}
	}
}

func TestTruncatedSessionMessagesAreParsedAsProtobufDoes(t *testing.T) {
	for seed := range uint64(20) {
		request := newSource(seed).request().Append(nil)
		for i := range request {
			checkRequest(t, request[:i])
		}
		response := newSource(seed).response().Append(nil)
		for i := range response {
			checkResponse(t, response[:i])
		}
	}
}

func FuzzSessionRequest(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(newSource(seed).request().Append(nil))
	}
	for _, b := range oddities(nil) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkRequest(t, b) })
}

func FuzzSessionResponse(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(newSource(seed).response().Append(nil))
	}
	for _, b := range oddities(nil) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkResponse(t, b) })
}

func TestSessionMessagesAreBounded(t *testing.T) {
	full := Group{Requests: make([]crypto.Request, crypto.MaxGroup)}
	for name, c := range map[string]struct {
		request  SessionRequest
		response SessionResponse
		want     string
	}{
		"opens":    {request: SessionRequest{Opens: make([]Open, 4097)}, want: "session request: opens: 4097, the most allowed is 4096"},
		"groups":   {request: SessionRequest{Groups: make([]Group, 4097)}, want: "session request: groups: 4097, the most allowed is 4096"},
		"outcomes": {request: SessionRequest{Outcomes: make([]OutcomeQuery, 4097)}, want: "session request: outcomes: 4097, the most allowed is 4096"},
		"closes":   {request: SessionRequest{Closes: make([]uint32, 4097)}, want: "session request: closes: 4097, the most allowed is 4096"},
		"requests": {
			request: SessionRequest{Groups: []Group{full, {Requests: make([]crypto.Request, 257)}}},
			want:    "session request: groups[1]: requests: 257, the most allowed is 256",
		},
		"requests in all": {
			request: SessionRequest{Groups: append(repeat(full, 256), Group{Requests: make([]crypto.Request, 1)})},
			want:    "session request: requests of all groups: 65537, the most allowed is 65536",
		},
		"blocks":   {response: SessionResponse{Blocks: make([]Block, 4097)}, want: "session response: blocks: 4097, the most allowed is 4096"},
		"singles":  {response: SessionResponse{Singles: make([]Single, 4097)}, want: "session response: singles: 4097, the most allowed is 4096"},
		"refusals": {response: SessionResponse{Refusals: make([]Refusal, 4097)}, want: "session response: refusals: 4097, the most allowed is 4096"},
		"results in all": {
			response: SessionResponse{Blocks: []Block{{Results: make([]crypto.Result, 65537)}}},
			want:     "session response: results of all blocks: 65537, the most allowed is 65536",
		},
		"index": {response: SessionResponse{Info: &ServerInfo{Index: 65536}}, want: "session response: info: index: 65536, the most allowed is 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			err := new(SessionRequest).Parse(c.request.Append(nil))
			if err == nil {
				err = new(SessionResponse).Parse(c.response.Append(nil))
			}
			if err == nil || err.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func repeat[T any](v T, n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = v
	}
	return s
}

func TestFullSessionMessagesFit(t *testing.T) {
	request := SessionRequest{
		Opens: make([]Open, MaxItems), Outcomes: make([]OutcomeQuery, MaxItems), Closes: make([]uint32, MaxItems),
		Groups: append(repeat(Group{Requests: make([]crypto.Request, crypto.MaxGroup)}, 256), make([]Group, MaxItems-256)...),
	}
	if err := new(SessionRequest).Parse(request.Append(nil)); err != nil {
		t.Error(err)
	}
}

func TestSessionErrorsNameTheField(t *testing.T) {
	at := func(path ...protowire.Number) []byte { // an invalid string at the end of path
		b := []byte{0xff}
		for i := len(path) - 1; i >= 0; i-- {
			b = protowire.AppendBytes(protowire.AppendTag(nil, path[i], protowire.BytesType), b)
		}
		return b
	}
	for want, b := range map[string][]byte{
		"session request: opens[0]: client is no valid UTF-8":                       at(1, 2),
		"session request: groups[1]: requests[0]: reply_url is no valid UTF-8":      append([]byte{0x12, 0}, at(2, 2, 5)...),
		"session request: malformed protobuf 1 bytes before the end of the message": {0x12},
		"session request: opens[0]: form 3, allowed are 0 to 2":                     {0x0a, 2, 0x20, 3},
	} {
		if err := new(SessionRequest).Parse(b); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, b := range map[string][]byte{
		"session response: refusals[0]: message is no valid UTF-8":                              at(4, 5),
		"session response: singles[0]: reply is missing":                                        {0x1a, 0},
		"session response: singles[0]: reply: client is no valid UTF-8":                         at(3, 2, 3),
		"session response: blocks[0]: digest of 1 bytes, allowed are 0 or 32":                   at(2, 4),
		"session response: blocks[0]: results[0]: status 0, allowed are 1 to 4":                 at(2, 5, 4),
		"session response: info: cluster_id of 1 bytes, allowed are 0 or 32":                    at(1, 5),
		"session response: singles[0]: tombstone.digest of 0 bytes, need 32":                    {0x1a, 6, 0x12, 4, 0x30, 1, 0x4a, 0},
		"session response: blocks[0]: malformed protobuf 2 bytes before the end of the message": {0x12, 2, 0x0a, 9},
	} {
		if err := new(SessionResponse).Parse(b); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestParseForgetsWhatWasThere(t *testing.T) {
	request := *newSource(3).request()
	if err := request.Parse(nil); err != nil || len(request.Append(nil)) != 0 {
		t.Errorf("%+v, %v", request, err)
	}
	response := *newSource(3).response()
	if err := response.Parse(nil); err != nil || len(response.Append(nil)) != 0 {
		t.Errorf("%+v, %v", response, err)
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0:                       0,
		-time.Second:            0,
		1:                       time.Millisecond,
		1500 * time.Microsecond: 2 * time.Millisecond,
		time.Second:             time.Second,
		1 << 62:                 (1<<32 - 1) * time.Millisecond,
	} {
		in := SessionResponse{Refusals: []Refusal{{RetryAfter: d}}}
		var out SessionResponse
		if err := out.Parse(in.Append(nil)); err != nil || out.Refusals[0].RetryAfter != want {
			t.Errorf("%v: %v, %v, want %v", d, out.Refusals, err, want)
		}
	}
}

// The hand-written ends copy these numbers from one to the other.
func TestNumbersOnTheWireAreThoseOfCrypto(t *testing.T) {
	for kind, want := range map[crypto.Kind]pbftv1.RequestKind{
		crypto.KindOperation: pbftv1.RequestKind_REQUEST_KIND_OPERATION,
		crypto.KindRead:      pbftv1.RequestKind_REQUEST_KIND_READ,
		crypto.KindConfig:    pbftv1.RequestKind_REQUEST_KIND_CONFIG,
		crypto.KindRejoin:    pbftv1.RequestKind_REQUEST_KIND_REJOIN,
	} {
		if int32(kind) != int32(want) {
			t.Errorf("kind %d is %v", kind, want)
		}
	}
	for s, want := range map[crypto.Status]pbftv1.ReplyStatus{
		crypto.StatusOK:          pbftv1.ReplyStatus_REPLY_STATUS_OK,
		crypto.StatusExpired:     pbftv1.ReplyStatus_REPLY_STATUS_EXPIRED,
		crypto.StatusRejected:    pbftv1.ReplyStatus_REPLY_STATUS_REJECTED,
		crypto.StatusNotExecuted: pbftv1.ReplyStatus_REPLY_STATUS_NOT_EXECUTED,
	} {
		if int32(s) != int32(want) || want.String() != "REPLY_STATUS_"+s.String() {
			t.Errorf("status %v is %v", s, want)
		}
	}
}
