package message

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
)

// CheckpointDigest is the digest of a state: of the roots of its components
// and of what the next batch needs.
func CheckpointDigest(c crypto.ClusterID, s *State) crypto.Digest {
	return c.Hash(crypto.TagCheckpoint, s.Append(nil))
}

// Append appends the canonical bytes.
func (s *State) Append(b []byte) []byte {
	b = crypto.AppendU64(b, s.Epoch)
	b = crypto.AppendU64(b, s.N)
	b = append(b, s.AppRoot[:]...)
	b = append(b, s.ClientsRoot[:]...)
	b = append(b, s.HistoryRoot[:]...)
	b = crypto.AppendU64(b, s.HistorySize)
	b = crypto.AppendU64(b, uint64(s.LastTimeUS))
	b = append(b, s.ConfigDigest[:]...)
	return append(b, s.NextConfigDigest[:]...)
}

// ReadState reads what Append appended.
func ReadState(r *crypto.Reader) State {
	return State{
		Epoch: r.U64(), N: r.U64(),
		AppRoot: r.Digest(), ClientsRoot: r.Digest(), HistoryRoot: r.Digest(), HistorySize: r.U64(),
		LastTimeUS: int64(r.U64()), ConfigDigest: r.Digest(), NextConfigDigest: r.Digest(),
	}
}

// State is the preimage of a checkpoint digest.
type State struct {
	Epoch            uint64
	N                uint64
	AppRoot          crypto.Digest
	ClientsRoot      crypto.Digest
	HistoryRoot      crypto.Digest
	HistorySize      uint64
	LastTimeUS       int64
	ConfigDigest     crypto.Digest
	NextConfigDigest crypto.Digest // zero: none
}

// AppendSigned appends the bytes that a checkpoint vote signs.
func (m *Checkpoint) AppendSigned(b []byte) []byte {
	b = appendEnvelope(b, m.Epoch, m.Replica, m.Incarnation)
	b = crypto.AppendU64(b, m.N)
	b = append(b, m.Digest[:]...)
	return crypto.AppendU64(b, m.Boundary)
}

// AppendSigned appends the bytes that a view change signs.
func (m *ViewChange) AppendSigned(b []byte) []byte {
	b = appendEnvelope(b, m.Epoch, m.Replica, m.Incarnation)
	b = crypto.AppendU64(b, m.NewView)
	b = crypto.AppendU64(b, m.H)
	b = crypto.AppendU32(b, uint32(len(m.Certificate.Votes)))
	for i := range m.Certificate.Votes {
		v := &m.Certificate.Votes[i]
		b = v.AppendSigned(b)
		b = append(b, v.Signature[:]...)
	}
	b = appendPQ(b, m.P)
	return appendPQ(b, m.Q)
}

// Digest names the view change: equal digests say the same, whoever signed.
func (m *ViewChange) Digest(c crypto.ClusterID) crypto.Digest {
	return c.Hash(crypto.TagViewChange, m.AppendSigned(nil))
}

func appendPQ(b []byte, set []PQ) []byte {
	b = crypto.AppendU32(b, uint32(len(set)))
	for i := range set {
		b = crypto.AppendU64(b, set[i].N)
		b = append(b, set[i].Digest[:]...)
		b = crypto.AppendU64(b, set[i].View)
	}
	return b
}

// AppendSigned appends the bytes that a new view signs.
func (m *NewView) AppendSigned(b []byte) []byte {
	b = appendEnvelope(b, m.Epoch, m.Replica, m.Incarnation)
	b = crypto.AppendU64(b, m.View)
	b = crypto.AppendU32(b, uint32(len(m.ViewChanges)))
	for _, r := range m.ViewChanges {
		b = crypto.AppendU16(b, uint16(r.Replica))
		b = append(b, r.Digest[:]...)
	}
	return append(b, m.DecisionDigest[:]...)
}

func appendEnvelope(b []byte, epoch uint64, from ReplicaID, incarnation uint32) []byte {
	b = crypto.AppendU16(b, Version)
	b = crypto.AppendU64(b, epoch)
	b = crypto.AppendU16(b, uint16(from))
	return crypto.AppendU32(b, incarnation)
}

// Member is what a replica must know of another to verify its signatures.
type Member struct {
	Key         crypto.PublicKey
	Incarnation uint32
}

// Verifier checks signed messages against the members of one epoch.
type Verifier struct {
	Cluster crypto.ClusterID
	Epoch   uint64
	Members []Member
	Quorum  int

	Window    uint64 // L, the numbers above h that a view change may speak of
	PerNumber int    // entries of Q at one number
}

func (v *Verifier) member(epoch uint64, from ReplicaID, incarnation uint32) (*Member, error) {
	if epoch != v.Epoch {
		return nil, fmt.Errorf("epoch %d, ours is %d", epoch, v.Epoch)
	}
	if int(from) >= len(v.Members) {
		return nil, fmt.Errorf("replica %d of %d", from, len(v.Members))
	}
	m := &v.Members[from]
	if incarnation != m.Incarnation {
		return nil, fmt.Errorf("replica %d: incarnation %d, configured is %d", from, incarnation, m.Incarnation)
	}
	return m, nil
}

func (v *Verifier) verify(tag crypto.Tag, from ReplicaID, epoch uint64, incarnation uint32, signed, sig []byte) error {
	m, err := v.member(epoch, from, incarnation)
	if err != nil {
		return err
	}
	if err := crypto.Verify(m.Key, v.Cluster, tag, signed, sig); err != nil {
		return fmt.Errorf("replica %d: %w", from, err)
	}
	return nil
}

// Checkpoint verifies one vote.
func (v *Verifier) Checkpoint(m *Checkpoint) error {
	if err := v.verify(crypto.TagCheckpoint, m.Replica, m.Epoch, m.Incarnation, m.AppendSigned(nil), m.Signature[:]); err != nil {
		return fmt.Errorf("checkpoint %d: %w", m.N, err)
	}
	return nil
}

// Certificate verifies a certificate: a quorum of equal, valid votes of
// distinct members in rising order. The genesis certificate is valid.
func (v *Verifier) Certificate(c *Certificate) error {
	if len(c.Votes) == 0 {
		return nil
	}
	if len(c.Votes) < v.Quorum || len(c.Votes) > len(v.Members) {
		return fmt.Errorf("certificate %d: %d votes, need %d to %d", c.N(), len(c.Votes), v.Quorum, len(v.Members))
	}
	first := &c.Votes[0]
	for i := range c.Votes {
		m := &c.Votes[i]
		if i > 0 && m.Replica <= c.Votes[i-1].Replica {
			return fmt.Errorf("certificate %d: vote of replica %d behind that of %d", c.N(), m.Replica, c.Votes[i-1].Replica)
		}
		if m.N != first.N || m.Digest != first.Digest || m.Boundary != first.Boundary {
			return fmt.Errorf("certificate %d: replicas %d and %d do not agree", c.N(), first.Replica, m.Replica)
		}
		if err := v.Checkpoint(m); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	}
	return nil
}

// ViewChange verifies the signature, the sets and the certificate.
func (v *Verifier) ViewChange(m *ViewChange) error {
	if m.Certificate.N() != m.H {
		return fmt.Errorf("view change of replica %d: certificate proves %d, h is %d", m.Replica, m.Certificate.N(), m.H)
	}
	if err := v.verify(crypto.TagViewChange, m.Replica, m.Epoch, m.Incarnation, m.AppendSigned(nil), m.Signature[:]); err != nil {
		return fmt.Errorf("view change to %d: %w", m.NewView, err)
	}
	if err := m.CheckSets(v.Window, v.PerNumber); err != nil {
		return err
	}
	return v.Certificate(&m.Certificate)
}

// NewView verifies the signature and the order of the references.
func (v *Verifier) NewView(m *NewView) error {
	if err := v.verify(crypto.TagNewView, m.Replica, m.Epoch, m.Incarnation, m.AppendSigned(nil), m.Signature[:]); err != nil {
		return fmt.Errorf("new view %d: %w", m.View, err)
	}
	for i := 1; i < len(m.ViewChanges); i++ {
		if m.ViewChanges[i].Replica <= m.ViewChanges[i-1].Replica {
			return fmt.Errorf("new view %d: references are not in rising order", m.View)
		}
	}
	return nil
}
