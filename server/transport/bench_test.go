package transport

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// benchFrames are what a busy backup and a busy primary send.
func benchFrames() map[string][]message.Message {
	var votes []message.Message
	for n := range uint64(16) {
		votes = append(votes, &message.Prepare{View: 1, N: n, Digest: digestOf("d")}, &message.Commit{View: 1, N: n, Digest: digestOf("d")})
	}
	return map[string][]message.Message{
		"1 vote":   votes[:1],
		"32 votes": votes,
		"256 KiB":  {&message.PrePrepare{View: 1, Batch: testBatch(7, strings.Repeat("x", 256<<10))}},
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, msgs := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			entries := make([]entry, 0, len(msgs))
			for _, m := range msgs {
				entries = append(entries, entry{msg: m, size: sizeOf(m)})
			}
			b.ReportAllocs()
			for b.Loop() {
				encodeFrame(testEpoch, nil, entries)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, msgs := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			d, refused := testDecoder()
			frame := frameOf(testEpoch, msgs...)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.frame(frame); err != nil || len(*refused) > 0 {
					b.Fatal(err, *refused)
				}
			}
		})
	}
}

// BenchmarkDecodeGenerated is what BenchmarkDecode would be without the code
// by hand, its checks not included.
func BenchmarkDecodeGenerated(b *testing.B) {
	for name, msgs := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			frame := frameOf(testEpoch, msgs...)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if err := proto.Unmarshal(frame, &pbftv1.ConnectRequest{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOutbox(b *testing.B) {
	t := &Transport{}
	p := &peer{t: t}
	p.link.Store(newLink(p, "", nil))
	t.peers = []*peer{p}
	t.o.Limits, t.o.Config = testLimits, testConfig(b, "")
	vote := &message.Prepare{View: 1, N: 1}
	var buf []entry
	b.ReportAllocs()
	for b.Loop() {
		for range 32 {
			t.Send(0, vote)
		}
		_, buf = p.link.Load().connect.take(buf)
	}
}
