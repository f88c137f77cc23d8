package transport

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// frameOf is what a link sends for messages.
func frameOf(epoch uint64, msgs ...message.Message) []byte {
	return bytes.Join(partsOf(epoch, nil, msgs...), nil)
}

func partsOf(epoch uint64, urgent []byte, msgs ...message.Message) [][]byte {
	var entries []entry
	for _, m := range msgs {
		entries = append(entries, entry{msg: m, size: sizeOf(m)})
	}
	return encodeFrame(epoch, urgent, entries)
}

// testDecoder also returns what it refuses.
func testDecoder() (*decoder, *[]error) {
	var refused []error
	return &decoder{
		from: 3, cluster: testCluster, limits: testLimits, verifier: testVerifier(),
		refuse: func(err error) error { refused = append(refused, err); return nil },
		pinged: func(uint64) {}, ponged: func(uint64) {},
	}, &refused
}

func decodeAll(t *testing.T, b []byte) []message.Message {
	t.Helper()
	d, refused := testDecoder()
	msgs, err := d.frame(b)
	if err != nil || len(*refused) > 0 {
		t.Fatalf("error %v, refused %v", err, *refused)
	}
	return msgs
}

func TestEveryMessageSurvivesTheWire(t *testing.T) {
	kinds := make(map[reflect.Type]bool)
	for _, m := range everyMessage() {
		kinds[reflect.TypeOf(m)] = true
		got := decodeAll(t, frameOf(testEpoch, m))
		if len(got) != 1 || !reflect.DeepEqual(got[0], m) {
			t.Errorf("%T: sent\n%+v\ngot\n%+v", m, m, got)
		}
	}
	if len(kinds) != 23 {
		t.Errorf("%d kinds of messages tested, there are 23", len(kinds))
	}
	all := everyMessage()
	if got := decodeAll(t, frameOf(testEpoch, all...)); !reflect.DeepEqual(got, all) {
		t.Errorf("in one frame: sent %d messages, got %d others", len(all), len(got))
	}
}

func TestGeneratedCodeUnderstandsFrames(t *testing.T) {
	for _, m := range everyMessage() {
		var w pbftv1.ConnectRequest
		if err := proto.Unmarshal(frameOf(testEpoch, m), &w); err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if !proto.Equal(&w, wholeFrame(testEpoch, m)) {
			t.Errorf("%T: sent %+v, the generated code reads %v", m, m, &w)
		}
	}
}

func TestFramesOfGeneratedCodeAreUnderstood(t *testing.T) {
	all := everyMessage()
	b, err := proto.Marshal(wholeFrame(testEpoch, all...))
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeAll(t, b); !reflect.DeepEqual(got, all) {
		t.Errorf("sent %d messages, got others: %+v", len(all), got)
	}
}

// Fields may come in any order, and unknown ones are skipped: a later version
// adds some.
func TestUnusualEncodingsAreUnderstood(t *testing.T) {
	vote := &message.Prepare{View: 3, N: 7, Digest: digestOf("a")}
	inner := frameOf(0, vote)[2:] // without the frame's tag and length
	epoch := []byte{1 << 3, testEpoch}
	unknown := []byte{15<<3 | 2, 3, 'x', 'y', 'z', 14 << 3, 1, 13<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8}
	unknownKind := []byte{0xd2, 1, 1, 'x'} // field 26
	inFrame := func(parts ...[]byte) []byte {
		b := bytes.Join(parts, nil)
		return append([]byte{1<<3 | 2, byte(len(b))}, b...)
	}
	inMessage := func(fields ...[]byte) []byte { // of a frame, holding these fields
		b := bytes.Join(fields, nil)
		return append([]byte{3<<3 | 2, byte(len(b))}, b...)
	}
	field := inner[2:] // of the PeerMessage
	for name, b := range map[string][]byte{
		"unknown fields of the frame": inFrame(unknown, epoch, unknown, inner, unknown),
		"unknown fields outside":      append(bytes.Clone(unknown), inFrame(epoch, inner)...),
		"unknown fields of a message": inFrame(epoch, inMessage(unknownKind, field, unknownKind)),
	} {
		if got := decodeAll(t, b); len(got) != 1 || !reflect.DeepEqual(got[0], vote) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestPingAndPongAreNoMessages(t *testing.T) {
	d, refused := testDecoder()
	var got []string
	d.pinged = func(n uint64) { got = append(got, fmt.Sprint("ping ", n)) }
	d.ponged = func(n uint64) { got = append(got, fmt.Sprint("pong ", n)) }
	urgent := appendNonce(appendNonce(nil, kindPing, 1), kindPong, math.MaxUint64)
	msgs, err := d.frame(bytes.Join(partsOf(testEpoch, urgent), nil))
	if err != nil || len(msgs) > 0 || len(*refused) > 0 {
		t.Fatalf("messages %v, error %v, refused %v", msgs, err, *refused)
	}
	if want := []string{"ping 1", "pong 18446744073709551615"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A body above shareFrom is sent from where it lies.
func TestLargeBodiesAreNotCopied(t *testing.T) {
	batch := testBatch(1, strings.Repeat("x", shareFrom))
	shared := 0
	for _, p := range partsOf(testEpoch, nil, &message.PrePrepare{View: 1, Batch: batch}, &message.Body{Batch: batch}) {
		if len(p) == len(batch.Body) && &p[0] == &batch.Body[0] {
			shared++
		}
	}
	if shared != 2 {
		t.Errorf("%d of 2 bodies were sent without copying", shared)
	}
}

// Bodies are kept for long, so a small one must not keep the frame it came in.
func TestSmallBodyDoesNotKeepALargeFrame(t *testing.T) {
	small, large := testBatch(1, "x"), testBatch(2, strings.Repeat("x", 1<<16))
	frame := frameOf(testEpoch, &message.PrePrepare{Batch: small}, &message.PrePrepare{Batch: large})
	for i, m := range decodeAll(t, frame) {
		body := m.(*message.PrePrepare).Batch.Body
		before := body[0]
		at := bytes.Index(frame, body)
		frame[at]++
		if shared := body[0] != before; shared != (i == 1) {
			t.Errorf("body of %d bytes: part of the frame is %v", len(body), shared)
		}
		frame[at]--
	}
}

// The size that an outbox counts is never below what goes out, or a frame
// would outgrow what the receiver takes.
func TestSizesAreUpperBounds(t *testing.T) {
	for _, m := range append(everyMessage(), largestMessages()...) {
		if got, most := len(frameOf(0, m)), sizeOf(m)+frameRoom; got > most {
			t.Errorf("%T: %d bytes, counted as %d", m, got, most)
		}
	}
}

func largestMessages() []message.Message {
	const top = math.MaxUint64
	c := message.Certificate{}
	vc := &message.ViewChange{Epoch: top, NewView: top, H: top, Replica: 63, Incarnation: math.MaxUint32}
	nv := &message.NewView{Epoch: top, View: top, Replica: 63, Incarnation: math.MaxUint32}
	committed := &message.Committed{}
	fetch := &message.FetchBody{}
	for i := range message.MaxReplicas {
		c.Votes = append(c.Votes, message.Checkpoint{Epoch: top, N: top, Boundary: top, Replica: 63, Incarnation: math.MaxUint32})
		vc.P = append(vc.P, message.PQ{N: top, View: top})
		nv.ViewChanges = append(nv.ViewChanges, message.ViewChangeRef{Replica: message.ReplicaID(i)})
		committed.Entries = append(committed.Entries, message.NDigest{N: top})
		fetch.Digests = append(fetch.Digests, crypto.Digest{})
	}
	vc.Certificate, vc.Q = c, vc.P
	batch := testBatch(top, "")
	batch.Header.Epoch, batch.Header.WallUS = top, -1
	status := &message.Status{
		View: top, Status: message.Halted, VCView: top, H: top, LastExecuted: top, LastCommitted: top, HasBody: top,
		Prepared: top, Committed: top, Accepted: make([]uint64, message.StatusSpan), ViewChanges: top, HasNewView: true,
		SeenYou: true, HighestVote: message.PQ{N: top, View: top}, HighestViewChange: top, WantStatus: true,
	}
	client := strings.Repeat("c", crypto.MaxClientName)
	return []message.Message{
		&message.Prepare{View: top, N: top}, &message.Commit{View: top, N: top}, &message.PrePrepare{View: top, Batch: batch},
		&message.Body{Batch: batch}, &c.Votes[0], &message.StableCertificate{Certificate: c}, vc, nv, committed, fetch, status,
		&message.FetchReply{Client: client, Number: top, Session: top},
		&message.Reply{View: top, Client: client, Session: top, Replica: 63, Result: crypto.Result{
			N: top, Number: top, Status: crypto.StatusOK, Tombstone: true, Size: top,
		}},
		&message.FetchViewChange{View: top, Ref: message.ViewChangeRef{Replica: 63}}, &message.FetchCommitted{From: top, To: top},
		&message.FetchManifest{N: top}, &message.Manifest{State: message.State{Epoch: top, N: top, HistorySize: top, LastTimeUS: -1, NextConfigDigest: crypto.Digest{1}}},
		&message.FetchNodes{N: top, Component: 3, Level: math.MaxUint32, Indexes: slices.Repeat([]uint32{math.MaxUint32}, message.MaxIndexes)},
		&message.Nodes{N: top, Component: 3, Level: math.MaxUint32, First: math.MaxUint32, Digests: make([]crypto.Digest, message.MaxNodes)},
		&message.FetchPieces{N: top, Component: 3, Indexes: slices.Repeat([]uint32{math.MaxUint32}, message.MaxIndexes), Offset: top},
		&message.Piece{N: top, Component: 3, Index: math.MaxUint32, Offset: top, Size: top, Data: make([]byte, message.MaxFragment)},
	}
}
