package transport

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// FuzzHotMessages holds the encoder against the generated code, which must
// read what was written, and writes as many bytes.
func FuzzHotMessages(f *testing.F) {
	f.Add(uint64(1), uint64(2), int64(3), uint32(4), uint32(5), []byte("digest"), []byte("body"))
	f.Add(uint64(1<<63), uint64(1<<63), int64(-1), ^uint32(0), ^uint32(0), []byte{}, bytes.Repeat([]byte("x"), shareFrom))
	f.Add(uint64(0), uint64(0), int64(0), uint32(0), uint32(0), []byte{}, []byte{0})
	f.Fuzz(func(t *testing.T, view, n uint64, wall int64, count, size uint32, digest, body []byte) {
		body = append(body, 0) // no batch has an empty body
		batch := &message.Batch{Header: message.Header{Epoch: view, N: n, WallUS: wall, Count: count, Bytes: size}, Body: body}
		copy(batch.Header.GroupsRoot[:], digest)
		p := &message.Prepare{View: view, N: n}
		copy(p.Digest[:], digest)
		c := message.Commit(*p)
		msgs := []message.Message{p, &c, &message.PrePrepare{View: view, Batch: batch}, &message.Body{Batch: batch}}
		b := frameOf(testEpoch, msgs...)
		var w pbftv1.ConnectRequest
		if err := proto.Unmarshal(b, &w); err != nil {
			t.Fatal(err)
		}
		want := wholeFrame(testEpoch, msgs...)
		if !proto.Equal(&w, want) {
			t.Fatalf("sent\n%v\nthe generated code reads\n%v", want, &w)
		}
		if n := proto.Size(want); n != len(b) {
			t.Fatalf("%d bytes, the generated code writes %d", len(b), n)
		}
	})
}

// FuzzHello gives a first frame, which comes from a stranger, to its checks.
func FuzzHello(f *testing.F) {
	f.Add(frameWith(helloOf(f, 1)))
	f.Add(frameWith(&pbftv1.Hello{}))
	f.Add(frameOf(testEpoch, &message.Prepare{}))
	tr, err := New(Options{Config: testConfig(f, ""), Verifier: testVerifier(), Limits: testLimits}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(tr.Stop)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		if p, err := tr.checkCaller(h); err == nil && (p == nil || p.index == tr.self) {
			t.Error("a caller is this replica itself")
		} else if err == nil {
			_ = tr.checkConfig(h, p.index)
		}
		_ = tr.checkAnswer(h, 1)
	})
}
