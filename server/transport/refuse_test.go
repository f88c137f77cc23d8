package transport

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// frameOfFields is a frame whose one PeerMessage has these bytes.
func frameOfFields(peerMessage []byte) []byte {
	inner := protowire.AppendVarint(protowire.AppendTag(nil, fieldFrameEpoch, protowire.VarintType), testEpoch)
	inner = protowire.AppendBytes(protowire.AppendTag(inner, fieldFrameMessages, protowire.BytesType), peerMessage)
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldOuterFrame, protowire.BytesType), inner)
}

// frameOfGenerated is a frame of one message that message's types cannot hold.
func frameOfGenerated(t *testing.T, w *pbftv1.PeerMessage) []byte {
	t.Helper()
	b, err := proto.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return frameOfFields(b)
}

// changed is the generated form of m after a change.
func changed[W any](t *testing.T, m message.Message, change func(W)) []byte {
	t.Helper()
	w := proto.CloneOf(generatedForm(m))
	r := w.ProtoReflect()
	field := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	change(r.Mutable(field).Message().Interface().(W))
	return frameOfGenerated(t, w)
}

// delivered leaves out what tells the core of invalid proposals.
func delivered(msgs []message.Message) (out []message.Message) {
	for _, m := range msgs {
		if p, ok := m.(*message.PrePrepare); !ok || p.Batch != nil {
			out = append(out, m)
		}
	}
	return out
}

// refusal is what the decoder says of a frame with one bad message: nothing of
// it is delivered, and the stream goes on.
func refusal(t *testing.T, frame []byte) *rejection {
	t.Helper()
	d, refused := testDecoder()
	msgs, err := d.frame(frame)
	if err != nil || len(delivered(msgs)) > 0 || len(*refused) != 1 {
		t.Fatalf("messages %v, error %v, refused %v", msgs, err, *refused)
	}
	var r *rejection
	if !errors.As((*refused)[0], &r) {
		t.Fatalf("refused without a reason: %v", (*refused)[0])
	}
	return r
}

func TestDecoderRefusesBadFields(t *testing.T) {
	batch := testBatch(5, "put k v")
	checkpoint := testCheckpoint(1)
	status := &message.Status{Status: message.Normal}
	short := make([]byte, 31)
	for want, frame := range map[string][]byte{
		"malformed: vote: digest of 31 bytes": changed(t, &message.Prepare{}, func(w *pbftv1.Prepare) { w.Digest = short }),
		"malformed: vote: digest of 0 bytes":  changed(t, &message.Commit{}, func(w *pbftv1.Commit) { w.Digest = nil }),
		"malformed: batch with 0 headers":     changed(t, &message.PrePrepare{Batch: batch}, func(w *pbftv1.PrePrepare) { w.Header = nil }),
		"malformed: header: groups_root of 31 bytes": changed(t, &message.Body{Batch: batch}, func(w *pbftv1.Body) {
			w.Header.GroupsRoot = short
		}),
		"bad_batch: batch 5: 2 requests, header says 3": changed(t, &message.PrePrepare{Batch: batch}, func(w *pbftv1.PrePrepare) {
			w.Header.Count++
		}),
		"bad_batch: batch 5: header says": changed(t, &message.Body{Batch: batch}, func(w *pbftv1.Body) { w.Body = w.GetBody()[1:] }),
		"bad_batch: batch 5: groups hash to": changed(t, &message.PrePrepare{Batch: batch}, func(w *pbftv1.PrePrepare) {
			w.Header.GroupsRoot = make([]byte, 32)
		}),
		"bad_group: relay: group": changed(t, &message.Relay{Group: testGroup("c", "")}, func(w *pbftv1.Relay) { w.Group = w.GetGroup()[1:] }),
		"bad_group: relay: client \"admin\"": changed(t, &message.Relay{Group: testGroup("c", "")}, func(w *pbftv1.Relay) {
			g := testGroup("admin", "")
			w.Group = g.Raw
		}),
		"malformed: digest of 31 bytes":       changed(t, &checkpoint, func(w *pbftv1.Checkpoint) { w.Digest = short }),
		"malformed: signature of 31 bytes":    changed(t, &checkpoint, func(w *pbftv1.Checkpoint) { w.Signature = short }),
		"malformed: replica 64":               changed(t, &checkpoint, func(w *pbftv1.Checkpoint) { w.Replica = 64 }),
		"bad_signature: checkpoint 129":       changed(t, &checkpoint, func(w *pbftv1.Checkpoint) { w.N++ }),
		"bad_signature: certificate 128: 2 v": changed(t, &message.StableCertificate{Certificate: testCertificate()}, func(w *pbftv1.Certificate) { w.Votes = w.GetVotes()[1:] }),
		"bad_signature: certificate: checkp": changed(t, &message.StableCertificate{Certificate: testCertificate()}, func(w *pbftv1.Certificate) {
			w.Votes[2].Signature[5] ^= 1
		}),
		"bad_signature: view change to 7": changed(t, testViewChange(), func(w *pbftv1.ViewChange) { w.NewView++ }),
		"bad_signature: new view 7":       changed(t, testNewView(), func(w *pbftv1.NewView) { w.View++ }),
		"malformed: status 0 is unknown":  changed(t, status, func(w *pbftv1.Status) { w.Status = 0 }),
		"malformed: status 6 is unknown":  changed(t, status, func(w *pbftv1.Status) { w.Status = 6 }),
		"too_large: status of 65 numbers": changed(t, status, func(w *pbftv1.Status) { w.Accepted = make([]uint64, 65) }),
		"malformed: digest of 0 bytes":    changed(t, status, func(w *pbftv1.Status) { w.HighestVote = &pbftv1.PQEntry{N: 1} }),
		"too_large: fetch of 65 bodies": changed(t, &message.FetchBody{}, func(w *pbftv1.FetchBody) {
			for range message.MaxFetch + 1 {
				w.Digests = append(w.Digests, make([]byte, 32))
			}
		}),
		"too_large: statement about 1025 numbers": changed(t, &message.Committed{}, func(w *pbftv1.Committed) {
			for range message.MaxCommitted + 1 {
				w.Entries = append(w.Entries, &pbftv1.CommittedEntry{Digest: make([]byte, 32)})
			}
		}),
		"too_large: certificate of 65 votes": changed(t, &message.StableCertificate{}, func(w *pbftv1.Certificate) {
			w.Votes = make([]*pbftv1.Checkpoint, 65)
			for i := range w.Votes {
				w.Votes[i] = &pbftv1.Checkpoint{}
			}
		}),
		"too_large: new view of 65 view changes": changed(t, testNewView(), func(w *pbftv1.NewView) {
			w.ViewChanges = make([]*pbftv1.ViewChangeRef, 65)
			for i := range w.ViewChanges {
				w.ViewChanges[i] = &pbftv1.ViewChangeRef{}
			}
		}),
		"malformed: fetch of committed batches from 6 to 5":  changed(t, &message.FetchCommitted{To: 5}, func(w *pbftv1.FetchCommitted) { w.From = 6 }),
		"malformed: client id of 0 bytes":                    frameOf(testEpoch, &message.FetchReply{Number: 1}),
		"malformed: client id of 65 bytes":                   frameOf(testEpoch, &message.FetchReply{Client: strings.Repeat("c", 65)}),
		"malformed: number 9007199254740992 of client \"c\"": frameOf(testEpoch, &message.FetchReply{Client: "c", Number: 1 << 53}),
		"malformed: reply: status 5 is unknown":              frameOf(testEpoch, &message.Reply{Client: "c", Replica: 3, Result: crypto.Result{Status: 5}}),
		"malformed: reply: signature of 31 bytes": changed(t, &message.Reply{Client: "c", Replica: 3, Result: crypto.Result{Status: 1}}, func(w *pbftv1.Reply) {
			w.Signature = short
		}),
		"wrong_sender: reply of replica 2 from replica 3": frameOf(testEpoch, &message.Reply{Client: "c", Replica: 2, Result: crypto.Result{Status: 1}}),
		"malformed: message: ":                            frameOfFields(field(kindFetchReply, field(1, []byte("\xff")))),
		"malformed: message without a kind":               frameOfFields(nil),
		"malformed: kinds 2 and 3 in one message":         frameOfFields(append(field(kindPrepare, nil), field(kindCommit, nil)...)),
		"malformed: protobuf":                             frameOfFields([]byte{2<<3 | 2, 9}),
		"malformed: batch with 2 headers":                 frameOfFields(field(kindBody, append(field(1, nil), field(1, nil)...))),
		"malformed: digest of 1 bytes":                    frameOfGenerated(t, &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchManifest{FetchManifest: &pbftv1.FetchManifest{Digest: []byte{1}}}}),
		"malformed: component 0":                          frameOfGenerated(t, &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchPieces{FetchPieces: &pbftv1.FetchPieces{N: 1}}}),
		"too_large: fetch of 0 indexes":                   frameOf(testEpoch, &message.FetchPieces{N: 1, Component: message.Clients}),
		"not_supported: messages of kind 26":              frameOfFields(field(26, nil)),
		"wrong_epoch: frame of epoch 6, ours is 7":        frameOf(testEpoch-1, &message.Prepare{}, &message.Prepare{}),
	} {
		r := refusal(t, frame)
		if got := fmt.Sprintf("%s: %v", r.reason, r.err); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// field is a bytes field.
func field(num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
}

// Nothing of a message that is larger than its kind can be is looked at.
func TestMessagesAboveTheSizeOfTheirKindAreRefused(t *testing.T) {
	for kind := range kindPong {
		kind++
		limit := maxSize(kind, testLimits)
		frame := frameOfFields(field(kind, make([]byte, limit+1)))
		if r := refusal(t, frame); r.reason != TooLarge || !strings.Contains(r.err.Error(), fmt.Sprintf("the most allowed is %d", limit)) {
			t.Errorf("kind %d: %v: %v", kind, r.reason, r.err)
		}
	}
	for _, m := range append(everyMessage(), largestMessages()...) {
		b := frameOf(0, m)
		inner, err := outerFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		f := fields{b: inner}
		f.next()
		if kind, v, err := kindOf(f.bytes); err != nil || len(v) > maxSize(kind, testLimits) {
			t.Errorf("%T of %d bytes is above the limit %d of its kind: %v", m, len(v), maxSize(kind, testLimits), err)
		}
	}
}

func TestGoodMessagesOfAFrameWithBadOnesAreDelivered(t *testing.T) {
	d, refused := testDecoder()
	msgs, err := d.frame(frameOf(testEpoch, &message.Prepare{N: 1}, &message.FetchReply{}, &message.Prepare{N: 2}))
	if err != nil || len(msgs) != 2 || len(*refused) != 1 {
		t.Errorf("messages %v, error %v, refused %v", msgs, err, *refused)
	}
}

func TestBrokenFramesEndTheStream(t *testing.T) {
	vote := frameOf(testEpoch, &message.Prepare{N: 1})
	epoch := field(fieldOuterFrame, []byte{1 << 3, testEpoch})
	late := field(fieldOuterFrame, append(append([]byte{}, vote[2:]...), 1<<3, testEpoch))
	const cutOff = "a field is cut off or malformed"
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"empty":           {nil, "0 frames in one message"},
		"two frames":      {append(append([]byte{}, vote...), epoch...), "2 frames in one message"},
		"cut off":         {vote[:len(vote)-1], cutOff},
		"second hello":    {frameWith(helloOf(t, 1)), "field 2 is out of place"},
		"late epoch":      {late, "field 1 is out of place"},
		"long varint":     {field(fieldOuterFrame, []byte(strings.Repeat("\xff", 11))), cutOff},
		"field number 0":  {field(fieldOuterFrame, []byte{0, 0}), cutOff},
		"end of no group": {field(fieldOuterFrame, []byte{5<<3 | 4}), cutOff},
	} {
		b, want := c.frame, c.want
		d, refused := testDecoder()
		msgs, err := d.frame(b)
		wantStatus(t, err, codes.InvalidArgument, want)
		if len(msgs) > 0 || len(*refused) != 1 {
			t.Errorf("%s: messages %v, refused %v", name, msgs, *refused)
		}
	}
}

// A peer that is disconnected for what it sent is not read to the frame's end.
func TestFrameIsLeftWhenThePeerIsDisconnected(t *testing.T) {
	d, _ := testDecoder()
	stop, calls := errors.New("stop"), 0
	d.refuse = func(error) error { calls++; return stop }
	if _, err := d.frame(frameOf(testEpoch, &message.FetchReply{}, &message.FetchReply{})); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d refusals", err, calls)
	}
}

func TestEveryReasonHasAName(t *testing.T) {
	seen := make(map[string]bool)
	for r := range numReasons + 1 {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d is called %q", r, r.String())
		}
		seen[r.String()] = true
	}
}

func TestTheCoreHearsThatAProposalWasInvalid(t *testing.T) {
	frame := changed(t, &message.PrePrepare{View: 3, Batch: testBatch(5, "x")}, func(w *pbftv1.PrePrepare) { w.Header.Count++ })
	d, refused := testDecoder()
	msgs, err := d.frame(frame)
	if err != nil || len(*refused) != 1 || len(msgs) != 1 {
		t.Fatalf("messages %v, error %v, refused %v", msgs, err, *refused)
	}
	if p, ok := msgs[0].(*message.PrePrepare); !ok || p.View != 3 || p.Batch != nil {
		t.Fatalf("%+v", msgs[0])
	}
}
