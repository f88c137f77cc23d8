package transport

import (
	"strings"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

const testEpoch = 7

var (
	testCluster = crypto.ClusterID{1, 2, 3}
	testLimits  = message.Limits{MaxBatch: 100, MaxBatchBytes: 1 << 20}
)

func digestOf(s string) crypto.Digest { return testCluster.Hash(crypto.TagValue, []byte(s)) }

func signer(i int) crypto.Signer { return crypto.DevelopmentSigner(testCluster, i) }

func testVerifier() *message.Verifier {
	v := &message.Verifier{Cluster: testCluster, Epoch: testEpoch, Quorum: 3, Window: 512, PerNumber: 2*4 + 1}
	for i := range 4 {
		v.Members = append(v.Members, message.Member{Key: signer(i).Public()})
	}
	return v
}

func testGroup(client, op string) crypto.GroupView {
	g := crypto.Group{Client: client, Session: 1 << 60, Origin: 2, Requests: []crypto.Request{
		{Number: 7, Kind: crypto.KindOperation, Op: []byte(op), ClientTime: crypto.NoClientTime},
	}}
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		panic(err)
	}
	return v
}

func testBatch(n uint64, op string) *message.Batch {
	h := message.Header{Epoch: testEpoch, N: n, WallUS: 1_700_000_000_000_000}
	return message.NewBatch(testCluster, h, []crypto.GroupView{testGroup("alice", op), testGroup("bob", "")})
}

func testCheckpoint(i message.ReplicaID) message.Checkpoint {
	m := message.Checkpoint{Epoch: testEpoch, Replica: i, N: 128, Digest: digestOf("state"), Boundary: 1 << 20}
	m.Signature = signer(int(i)).Sign(testCluster, crypto.TagCheckpoint, m.AppendSigned(nil))
	return m
}

func testCertificate() message.Certificate {
	return message.Certificate{Votes: []message.Checkpoint{testCheckpoint(0), testCheckpoint(1), testCheckpoint(3)}}
}

func testViewChange() *message.ViewChange {
	m := &message.ViewChange{
		Epoch: testEpoch, Replica: 2, NewView: 6, H: 128, Certificate: testCertificate(),
		P: []message.PQ{{N: 129, Digest: digestOf("a"), View: 3}},
		Q: []message.PQ{{N: 129, Digest: digestOf("a"), View: 5}, {N: 130, Digest: digestOf("b"), View: 4}},
	}
	m.Signature = signer(2).Sign(testCluster, crypto.TagViewChange, m.AppendSigned(nil))
	return m
}

func testNewView() *message.NewView {
	m := &message.NewView{
		Epoch: testEpoch, Replica: 2, View: 6, DecisionDigest: digestOf("decision"),
		ViewChanges: []message.ViewChangeRef{{Replica: 0, Digest: digestOf("0")}, {Replica: 3, Digest: digestOf("3")}},
	}
	m.Signature = signer(2).Sign(testCluster, crypto.TagNewView, m.AppendSigned(nil))
	return m
}

// everyMessage holds each kind, most of them with every field set and with
// none.
func everyMessage() []message.Message {
	small, large := testBatch(5, "put k v"), testBatch(1<<40, strings.Repeat("x", 2*shareFrom))
	checkpoint := testCheckpoint(1)
	return []message.Message{
		&message.PrePrepare{View: 1, Batch: small},
		&message.PrePrepare{View: 1 << 50, Batch: large},
		&message.PrePrepare{Batch: message.NewBatch(testCluster, message.Header{}, nil)},
		&message.Prepare{View: 1, N: 5, Digest: small.Digest},
		&message.Prepare{},
		&message.Commit{View: 1 << 63, N: 1 << 63, Digest: small.Digest},
		&message.Commit{},
		&checkpoint,
		testViewChange(),
		testNewView(),
		&message.Status{
			View: 1, Status: message.Normal, VCView: 2, H: 128, LastExecuted: 130, LastCommitted: 131,
			HasBody: 1 << 63, Prepared: 3, Committed: 7, Accepted: []uint64{1, 0, 1 << 63}, ViewChanges: 5,
			HasNewView: true, SeenYou: true, HighestVote: message.PQ{N: 131, Digest: digestOf("v"), View: 1},
			HighestViewChange: 2, WantStatus: true, Probe: true,
		},
		&message.Status{Status: message.Starting},
		&message.Relay{Group: testGroup("carol", "op"), Watch: true},
		&message.Relay{Group: testGroup("carol", ""), Answer: true},
		&message.Reply{View: 1, Client: "carol", Session: 9, Replica: 3, Result: crypto.Result{
			N: 5, Number: 7, Status: crypto.StatusOK, Value: []byte("41"),
		}},
		&message.Reply{Client: "carol", Replica: 3, Result: crypto.Result{Status: crypto.StatusExpired, Value: []byte{}}},
		&message.Reply{View: 1, Client: "carol", Session: 9, Replica: 3, Result: crypto.Result{
			N: 5, Number: 7, Status: crypto.StatusOK, Tombstone: true, Digest: digestOf("large"), Size: 1 << 40,
		}},
		&message.FetchBody{Digests: []crypto.Digest{digestOf("a"), digestOf("b")}},
		&message.Body{Batch: small},
		&message.Body{Batch: large},
		&message.FetchViewChange{Ref: message.ViewChangeRef{Replica: 2, Digest: digestOf("vc")}, View: 6},
		&message.FetchCommitted{From: 5, To: 1 << 40},
		&message.Committed{Entries: []message.NDigest{{N: 5, Digest: digestOf("a")}, {N: 6, Digest: digestOf("b")}}},
		&message.FetchCertificate{Epoch: 3},
		&message.StableCertificate{Certificate: testCertificate()},
		&message.FetchReply{Client: "carol", Number: 7, Session: 1 << 63},
		&message.FetchManifest{N: 128, Digest: digestOf("ckpt")},
		&message.Manifest{State: message.State{
			Epoch: 3, N: 128, AppRoot: digestOf("app"), ClientsRoot: digestOf("clients"), HistoryRoot: digestOf("history"),
			HistorySize: 128, LastTimeUS: 1 << 50, ConfigDigest: digestOf("config"), NextConfigDigest: digestOf("next"),
		}},
		&message.Manifest{},
		&message.FetchNodes{N: 128, Component: message.Application, Level: 3, Indexes: []uint32{0, 1, 2}},
		&message.Nodes{N: 128, Component: message.Clients, First: 4095, Digests: []crypto.Digest{digestOf("a"), {}}},
		&message.FetchPieces{N: 128, Component: message.History, Indexes: []uint32{7}, Offset: 1 << 40},
		&message.Piece{N: 128, Component: message.Application, Index: 1<<32 - 1, Offset: 1 << 40, Size: 1 << 50, Data: []byte("piece")},
	}
}

// wholeFrame is the generated form of a frame of messages.
func wholeFrame(epoch uint64, msgs ...message.Message) *pbftv1.ConnectRequest {
	f := &pbftv1.PeerFrame{Epoch: epoch}
	for _, m := range msgs {
		f.Messages = append(f.Messages, generatedForm(m))
	}
	return &pbftv1.ConnectRequest{Frame: f}
}

// generatedForm is toWire with the kinds that are encoded by hand.
func generatedForm(m message.Message) *pbftv1.PeerMessage {
	header := func(b *message.Batch) *pbftv1.Header {
		h := &b.Header
		return &pbftv1.Header{Epoch: h.Epoch, N: h.N, WallUs: h.WallUS, Count: h.Count, Bytes: h.Bytes, GroupsRoot: h.GroupsRoot[:]}
	}
	switch m := m.(type) {
	case *message.PrePrepare:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_PrePrepare{PrePrepare: &pbftv1.PrePrepare{View: m.View, Header: header(m.Batch), Body: m.Batch.Body}}}
	case *message.Body:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Body{Body: &pbftv1.Body{Header: header(m.Batch), Body: m.Batch.Body}}}
	case *message.Prepare:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Prepare{Prepare: &pbftv1.Prepare{View: m.View, N: m.N, Digest: m.Digest[:]}}}
	case *message.Commit:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Commit{Commit: &pbftv1.Commit{View: m.View, N: m.N, Digest: m.Digest[:]}}}
	default:
		return toWire(m)
	}
}
