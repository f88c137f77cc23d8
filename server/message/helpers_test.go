package message

import "github.com/pbft-go/pbft/crypto"

// The tests' cluster: four replicas of epoch 1, each of incarnation 0.
const (
	testEpoch    = 1
	testReplicas = 4
	testQuorum   = 3
)

func signer(i int) crypto.Signer { return crypto.DevelopmentSigner(testCluster, i) }

func testVerifier() *Verifier {
	v := &Verifier{Cluster: testCluster, Epoch: testEpoch, Quorum: testQuorum, Window: 256, PerNumber: 9}
	for i := range testReplicas {
		v.Members = append(v.Members, Member{Key: signer(i).Public()})
	}
	return v
}

func view(g crypto.Group) crypto.GroupView {
	v, err := crypto.ParseGroup(g.Append(nil))
	if err != nil {
		panic(err)
	}
	return v
}

func operation(number uint64, op string) crypto.Request {
	return crypto.Request{Number: number, Kind: crypto.KindOperation, Op: []byte(op), ClientTime: crypto.NoClientTime}
}

func testGroups() []crypto.GroupView {
	return []crypto.GroupView{
		view(crypto.Group{Client: "alice", Session: 5, Origin: 1, Requests: []crypto.Request{operation(1, "put k v"), operation(2, "get k")}}),
		view(crypto.Group{Client: "bob", Session: 1 << 63, Signature: make([]byte, crypto.SignatureSize), Requests: []crypto.Request{operation(7, "")}}),
	}
}

func sign(m *Checkpoint) Checkpoint {
	m.Signature = signer(int(m.Replica)).Sign(testCluster, crypto.TagCheckpoint, m.AppendSigned(nil))
	return *m
}

func signViewChange(m *ViewChange) *ViewChange {
	m.Signature = signer(int(m.Replica)).Sign(testCluster, crypto.TagViewChange, m.AppendSigned(nil))
	return m
}

func signNewView(m *NewView) *NewView {
	m.Signature = signer(int(m.Replica)).Sign(testCluster, crypto.TagNewView, m.AppendSigned(nil))
	return m
}

// testCertificate holds the votes of replicas 0, 1 and 3.
func testCertificate(n uint64) (c Certificate) {
	for _, i := range []ReplicaID{0, 1, 3} {
		c.Votes = append(c.Votes, sign(&Checkpoint{Epoch: testEpoch, Replica: i, N: n, Digest: digestOf("state"), Boundary: 1 << 20}))
	}
	return c
}

func testViewChange(h uint64) *ViewChange {
	return signViewChange(&ViewChange{
		Epoch: testEpoch, Replica: 2, NewView: 6, H: h, Certificate: testCertificate(h),
		P: []PQ{{N: h + 1, Digest: digestOf("a"), View: 3}, {N: h + 2, Digest: digestOf("b"), View: 4}},
		Q: []PQ{{N: h + 1, Digest: digestOf("a"), View: 5}, {N: h + 2, Digest: digestOf("b"), View: 4}},
	})
}

func testNewView() *NewView {
	return signNewView(&NewView{
		Epoch: testEpoch, Replica: 2, View: 6, DecisionDigest: digestOf("decision"),
		ViewChanges: []ViewChangeRef{{0, digestOf("vc 0")}, {2, digestOf("vc 2")}, {3, digestOf("vc 3")}},
	})
}
