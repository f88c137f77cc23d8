package transport

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// No bytes make the decoder panic. The votes in a frame are those that the
// generated code reads, less the ones refused. A frame that is taken whole
// means what the generated code reads, and what was accepted is accepted again
// after encoding.
func FuzzDecodeFrame(f *testing.F) {
	for _, m := range everyMessage() {
		f.Add(frameOf(testEpoch, m))
	}
	f.Add(frameOf(testEpoch, everyMessage()...))
	f.Add(frameOf(testEpoch+1, &message.Prepare{N: 1}))
	f.Add([]byte{1<<3 | 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, refused := testDecoder()
		msgs, err := d.frame(b)
		if err != nil {
			return
		}
		got := votesOf(msgs)
		var w pbftv1.ConnectRequest
		if proto.Unmarshal(b, &w) == nil {
			want := votesOfGenerated(w.GetFrame())
			if !contains(want, got) || len(*refused) == 0 && len(got) != len(want) {
				t.Errorf("%x: votes %v, by the generated code %v, refused %v", b, got, want, *refused)
			}
		} else if len(msgs) > 0 && len(*refused) == 0 {
			t.Errorf("%x: taken, but not by the generated code", b)
		}
		if len(*refused) == 0 {
			if same := decodeAll(t, rewritten(t, b)); !reflect.DeepEqual(same, msgs) {
				t.Errorf("%x: read %+v, by the generated code %+v", b, msgs, same)
			}
		}
		msgs = delivered(msgs)
		if again := decodeAll(t, frameOf(testEpoch, msgs...)); len(again) != len(msgs) || !reflect.DeepEqual(votesOf(again), got) {
			t.Errorf("%x: %d messages, after encoding %d", b, len(msgs), len(again))
		}
	})
}

// rewritten is a frame as the generated code reads and writes it, unknown
// fields left out.
func rewritten(t *testing.T, b []byte) []byte {
	var w pbftv1.ConnectRequest
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&w)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type anyVote struct {
	commit  bool
	view, n uint64
	digest  crypto.Digest
}

func votesOf(msgs []message.Message) (votes []anyVote) {
	for _, m := range msgs {
		switch m := m.(type) {
		case *message.Prepare:
			votes = append(votes, anyVote{false, m.View, m.N, m.Digest})
		case *message.Commit:
			votes = append(votes, anyVote{true, m.View, m.N, m.Digest})
		}
	}
	return votes
}

func votesOfGenerated(frame *pbftv1.PeerFrame) (votes []anyVote) {
	for _, m := range frame.GetMessages() {
		v := anyVote{}
		var digest []byte
		switch m := m.GetMessage().(type) {
		case *pbftv1.PeerMessage_Prepare:
			v.view, v.n, digest = m.Prepare.GetView(), m.Prepare.GetN(), m.Prepare.GetDigest()
		case *pbftv1.PeerMessage_Commit:
			v.commit, v.view, v.n, digest = true, m.Commit.GetView(), m.Commit.GetN(), m.Commit.GetDigest()
		}
		if len(digest) == len(v.digest) {
			v.digest = crypto.Digest(digest)
			votes = append(votes, v)
		}
	}
	return votes
}

// contains reports whether some is all with entries left out.
func contains(all, some []anyVote) bool {
	for _, v := range all {
		if len(some) > 0 && some[0] == v {
			some = some[1:]
		}
	}
	return len(some) == 0
}
