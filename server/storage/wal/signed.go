package wal

import (
	"errors"
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Signed messages are written as the bytes that were signed, with the signature
// behind them. Whether they verify is not asked again: they were verified before
// they were recorded, and the log's checksum covers them.

// Sizes of the smallest values that are counted, to bound a count before memory
// is set aside for it.
const (
	voteSize       = 2 + 8 + 2 + 4 + 8 + 32 + 8 + crypto.SignatureSize
	pqSize         = 8 + 32 + 8
	refSize        = 2 + 32
	viewChangeSize = 2 + 8 + 2 + 4 + 8 + 8 + 3*4 + crypto.SignatureSize
)

func appendCheckpoint(b []byte, m *message.Checkpoint) []byte {
	return append(m.AppendSigned(b), m.Signature[:]...)
}

func appendViewChange(b []byte, m *message.ViewChange) []byte {
	return append(m.AppendSigned(b), m.Signature[:]...)
}

func appendNewView(b []byte, m *message.NewView) []byte {
	return append(m.AppendSigned(b), m.Signature[:]...)
}

func appendCertificate(b []byte, c *message.Certificate) []byte {
	b = crypto.AppendU32(b, uint32(len(c.Votes)))
	for i := range c.Votes {
		b = appendCheckpoint(b, &c.Votes[i])
	}
	return b
}

// decoder takes records apart. The first failure sticks.
type decoder struct {
	crypto.Reader
	o   *Options
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// failed is the first failure of all.
func (d *decoder) failed() error {
	if d.err != nil {
		return d.err
	}
	return d.Err()
}

// count reads how many values of at least size bytes follow.
func (d *decoder) count(what string, size int) int {
	n := d.U32()
	if int64(n)*int64(size) > int64(d.Len()) {
		d.fail("%d %s in %d bytes", n, what, d.Len())
		return 0
	}
	return int(n)
}

func (d *decoder) signature() (s [crypto.SignatureSize]byte) {
	for i := 0; i < len(s); i += 32 {
		half := d.Digest()
		copy(s[i:], half[:])
	}
	return s
}

func (d *decoder) envelope() (epoch uint64, from message.ReplicaID, incarnation uint32) {
	if v := d.U16(); v != message.Version && d.Err() == nil {
		d.fail("message of version %d, this program knows %d", v, message.Version)
	}
	return d.U64(), message.ReplicaID(d.U16()), d.U32()
}

func (d *decoder) checkpoint() (m message.Checkpoint) {
	m.Epoch, m.Replica, m.Incarnation = d.envelope()
	m.N, m.Digest, m.Boundary = d.U64(), d.Digest(), d.U64()
	m.Signature = d.signature()
	return m
}

func (d *decoder) certificate() (c message.Certificate) {
	n := d.count("votes", voteSize)
	if n > message.MaxReplicas {
		d.fail("certificate of %d votes, there are at most %d replicas", n, message.MaxReplicas)
		return c
	}
	if n > 0 {
		c.Votes = make([]message.Checkpoint, n)
	}
	for i := range c.Votes {
		c.Votes[i] = d.checkpoint()
	}
	return c
}

func (d *decoder) pq() []message.PQ {
	n := d.count("entries of P or Q", pqSize)
	if n == 0 {
		return nil
	}
	set := make([]message.PQ, n)
	for i := range set {
		set[i] = message.PQ{N: d.U64(), Digest: d.Digest(), View: d.U64()}
	}
	return set
}

func (d *decoder) viewChange() *message.ViewChange {
	m := &message.ViewChange{}
	m.Epoch, m.Replica, m.Incarnation = d.envelope()
	m.NewView, m.H = d.U64(), d.U64()
	m.Certificate = d.certificate()
	m.P, m.Q = d.pq(), d.pq()
	m.Signature = d.signature()
	return m
}

func (d *decoder) newView() *message.NewView {
	m := &message.NewView{}
	m.Epoch, m.Replica, m.Incarnation = d.envelope()
	m.View = d.U64()
	if n := d.count("view changes", refSize); n > 0 {
		m.ViewChanges = make([]message.ViewChangeRef, n)
	}
	for i := range m.ViewChanges {
		m.ViewChanges[i] = message.ViewChangeRef{Replica: message.ReplicaID(d.U16()), Digest: d.Digest()}
	}
	m.DecisionDigest = d.Digest()
	m.Signature = d.signature()
	return m
}

// batch reads a header and a body. The body is copied: what is read from is used
// again.
func (d *decoder) batch() *message.Batch {
	h := message.ReadHeader(&d.Reader)
	body := d.Bytes()
	if d.failed() != nil {
		return nil
	}
	b, err := message.ParseBatch(d.o.Cluster, d.o.Limits, h, append([]byte(nil), body...))
	if err != nil {
		d.fail("%w", err)
		return nil
	}
	return b
}

// checkCertificate holds the votes against each other.
func checkCertificate(c *message.Certificate) error {
	for i := 1; i < len(c.Votes); i++ {
		a, b := &c.Votes[i-1], &c.Votes[i]
		if a.Epoch != b.Epoch || a.N != b.N || a.Digest != b.Digest || a.Replica >= b.Replica {
			return fmt.Errorf("certificate of %d: the votes of replicas %d and %d do not agree, or are not in order", a.N, a.Replica, b.Replica)
		}
	}
	return nil
}

func checkViewChange(m *message.ViewChange) error {
	if m == nil {
		return errors.New("a view change is missing")
	}
	if m.Certificate.N() != m.H {
		return fmt.Errorf("view change of replica %d: its certificate proves %d, h is %d", m.Replica, m.Certificate.N(), m.H)
	}
	return checkCertificate(&m.Certificate)
}
