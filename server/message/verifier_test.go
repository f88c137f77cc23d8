package message

import (
	"slices"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
)

func refused(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error is %v, want one with %q", name, err, want)
	}
}

func TestVerifierAcceptsWhatMembersSign(t *testing.T) {
	v, c := testVerifier(), testCertificate(128)
	if err := v.Checkpoint(&c.Votes[2]); err != nil {
		t.Error(err)
	}
	if err := v.Certificate(&c); err != nil {
		t.Error(err)
	}
	if err := v.ViewChange(testViewChange(128)); err != nil {
		t.Error(err)
	}
	if err := v.NewView(testNewView()); err != nil {
		t.Error(err)
	}
}

func TestGenesisCertificateIsValid(t *testing.T) {
	v, c := testVerifier(), Certificate{}
	if err := v.Certificate(&c); err != nil || c.N() != 0 {
		t.Errorf("certificate of %d: %v", c.N(), err)
	}
	if err := v.ViewChange(signViewChange(&ViewChange{Epoch: testEpoch, Replica: 1, NewView: 1})); err != nil {
		t.Error(err)
	}
}

func TestVerifierRefusesCheckpoint(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Checkpoint)
		again  bool // signed after the change
		want   string
	}{
		{"another epoch", func(m *Checkpoint) { m.Epoch = 2 }, true, "epoch 2, ours is 1"},
		{"no member", func(m *Checkpoint) { m.Replica = 4 }, true, "replica 4 of 4"},
		{"another incarnation", func(m *Checkpoint) { m.Incarnation = 1 }, true, "incarnation 1, configured is 0"},
		{"another member's name", func(m *Checkpoint) { m.Replica = 2 }, false, "does not verify"},
		{"another number", func(m *Checkpoint) { m.N++ }, false, "does not verify"},
		{"another digest", func(m *Checkpoint) { m.Digest[0]++ }, false, "does not verify"},
		{"another boundary", func(m *Checkpoint) { m.Boundary++ }, false, "does not verify"},
		{"another signature", func(m *Checkpoint) { m.Signature[0]++ }, false, "does not verify"},
	} {
		m := testCertificate(128).Votes[1]
		test.change(&m)
		if test.again {
			sign(&m)
		}
		refused(t, test.name, testVerifier().Checkpoint(&m), test.want)
	}
}

func TestSignatureOfAnotherTypeOrClusterDoesNotVerify(t *testing.T) {
	m := testCertificate(128).Votes[0]
	m.Signature = signer(0).Sign(testCluster, crypto.TagViewChange, m.AppendSigned(nil))
	refused(t, "another tag", testVerifier().Checkpoint(&m), "does not verify")
	v := testVerifier()
	v.Cluster[0]++
	sign(&m)
	refused(t, "another cluster", v.Checkpoint(&m), "does not verify")
}

func TestVerifierRefusesCertificate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Certificate)
		want   string
	}{
		{"too few votes", func(c *Certificate) { c.Votes = c.Votes[:2] }, "2 votes, need 3 to 4"},
		{"more votes than members", func(c *Certificate) { c.Votes = slices.Concat(c.Votes, c.Votes) }, "6 votes, need 3 to 4"},
		{"one vote twice", func(c *Certificate) { c.Votes[2] = c.Votes[1] }, "behind that of 1"},
		{"votes out of order", func(c *Certificate) { slices.Reverse(c.Votes) }, "behind that of"},
		{"another number", func(c *Certificate) { c.Votes[1].N++; sign(&c.Votes[1]) }, "do not agree"},
		{"another digest", func(c *Certificate) { c.Votes[1].Digest[0]++; sign(&c.Votes[1]) }, "do not agree"},
		{"another boundary", func(c *Certificate) { c.Votes[1].Boundary++; sign(&c.Votes[1]) }, "do not agree"},
		{"a forged vote", func(c *Certificate) { c.Votes[2].Signature[5]++ }, "replica 3: signature does not verify"},
	} {
		c := testCertificate(128)
		test.change(&c)
		refused(t, test.name, testVerifier().Certificate(&c), test.want)
	}
}

func TestVerifierRefusesViewChange(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ViewChange)
		again  bool
		want   string
	}{
		{"h above the certificate", func(m *ViewChange) { m.H++ }, true, "certificate proves 128, h is 129"},
		{"h without a certificate", func(m *ViewChange) { m.Certificate = Certificate{} }, true, "certificate proves 0, h is 128"},
		{"another view", func(m *ViewChange) { m.NewView++ }, false, "does not verify"},
		{"another P", func(m *ViewChange) { m.P = m.P[:1] }, false, "does not verify"},
		{"another Q", func(m *ViewChange) { m.Q[1].View++ }, false, "does not verify"},
		{"an entry moved from P to Q", func(m *ViewChange) { m.Q, m.P = append(m.P[1:], m.Q...), m.P[:1] }, false, "does not verify"},
		{"P not sorted", func(m *ViewChange) { slices.Reverse(m.P) }, true, "not sorted"},
		{"Q not sorted", func(m *ViewChange) { slices.Reverse(m.Q) }, true, "not sorted"},
		{"a forged vote in the certificate", func(m *ViewChange) { m.Certificate.Votes[0].Signature[0]++ }, true, "does not verify"},
		{"another epoch", func(m *ViewChange) { m.Epoch = 0 }, true, "epoch 0, ours is 1"},
		{"view 0", func(m *ViewChange) { m.NewView, m.P, m.Q = 0, nil, nil }, true, "to view 0"},
		{"P at h", func(m *ViewChange) { m.P[0].N = 128 }, true, "P has an entry at 128, allowed are 129 to 384"},
		{"Q above the window", func(m *ViewChange) { m.Q[1].N = 385 }, true, "Q has an entry at 385, allowed are 129 to 384"},
		{"Q at the end of numbers", func(m *ViewChange) { m.Q[1].N = 1<<64 - 1 }, true, "allowed are 129 to 384"},
		{"P of the view asked for", func(m *ViewChange) { m.P[0].View, m.Q[0].View = 6, 6 }, true, "P has an entry of view 6, asked for is 6"},
		{"Q of the view asked for", func(m *ViewChange) { m.Q[0].View = 6 }, true, "Q has an entry of view 6, asked for is 6"},
		{"two in P at one number", func(m *ViewChange) { m.P[1].N = 129; m.Q[1].N = 129; sortSets(m) }, true, "P has more than 1 entries at 129"},
		{"an entry twice in Q", func(m *ViewChange) { m.Q = append(m.Q[:1:1], m.Q...) }, true, "holds an entry twice, at 129"},
		{"too many in Q", func(m *ViewChange) {
			for i := range 10 {
				m.Q = append(m.Q, PQ{N: 131, Digest: digestOf(string(rune('a' + i)))})
			}
			sortSets(m)
		}, true, "Q has more than 9 entries at 131"},
		{"prepared what Q lacks", func(m *ViewChange) { m.Q = m.Q[1:] }, true, "at 129 in view 3, but not pre-prepared"},
		{"prepared another digest than Q has", func(m *ViewChange) { m.Q[0].Digest[0]++ }, true, "at 129 in view 3, but not pre-prepared"},
		{"prepared in a later view than Q says", func(m *ViewChange) { m.Q[1].View = 3 }, true, "at 130 in view 4, but not pre-prepared"},
	} {
		m := testViewChange(128)
		test.change(m)
		if test.again {
			signViewChange(m)
		}
		refused(t, test.name, testVerifier().ViewChange(m), test.want)
	}
}

// Two digests at one number are in order by their bytes.
func TestViewChangeSetsAreSortedByNumberThenDigest(t *testing.T) {
	low, high := crypto.Digest{1}, crypto.Digest{2}
	m := &ViewChange{Epoch: testEpoch, Replica: 1, NewView: 1, Q: []PQ{{N: 1, Digest: low}, {N: 1, Digest: high}, {N: 2, Digest: low}}}
	if err := testVerifier().ViewChange(signViewChange(m)); err != nil {
		t.Error(err)
	}
	m.Q[0], m.Q[1] = m.Q[1], m.Q[0]
	refused(t, "digests in falling order", testVerifier().ViewChange(signViewChange(m)), "not sorted")
}

func TestVerifierRefusesNewView(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*NewView)
		again  bool
		want   string
	}{
		{"another decision", func(m *NewView) { m.DecisionDigest[0]++ }, false, "does not verify"},
		{"another reference", func(m *NewView) { m.ViewChanges[0].Digest[0]++ }, false, "does not verify"},
		{"references out of order", func(m *NewView) { slices.Reverse(m.ViewChanges) }, true, "rising order"},
		{"one reference twice", func(m *NewView) { m.ViewChanges[1] = m.ViewChanges[0] }, true, "rising order"},
		{"no member", func(m *NewView) { m.Replica = 9 }, true, "replica 9 of 4"},
	} {
		m := testNewView()
		test.change(m)
		if test.again {
			signNewView(m)
		}
		refused(t, test.name, testVerifier().NewView(m), test.want)
	}
}

func TestReplicaStatusHasAName(t *testing.T) {
	for s, want := range map[ReplicaStatus]string{0: "unknown", Starting: "starting", Normal: "normal", Learner: "learner", Halted: "halted"} {
		if s.String() != want {
			t.Errorf("status %d is %q, want %q", s, s, want)
		}
	}
}

// sortSets sorts P and Q as the rules want it.
func sortSets(m *ViewChange) {
	slices.SortFunc(m.P, order)
	slices.SortFunc(m.Q, order)
}
