package sim

import (
	"bytes"
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// verifier does what the end of a channel does before a message reaches the
// core: it checks shapes, signatures and batches. It is message.Verifier for
// symbolic signatures. Messages are shared and never change, so each is
// checked once.
type verifier struct {
	keys    *keys
	n, q    int
	window  uint64
	limits  message.Limits
	known   func(client []byte) bool
	checked map[message.Message]verdict
	batches map[*message.Batch]*message.Batch // parsed again; nil: invalid
	changes map[crypto.Digest]*message.ViewChange
}

type verdict struct {
	m   message.Message // what the core gets
	err error           // why the message was refused
}

func newVerifier(p *Plan, k *keys, known func([]byte) bool) *verifier {
	return &verifier{
		keys: k, n: p.N, q: consensus.Quorum(p.N), window: p.Window, limits: p.Limits, known: known,
		checked: map[message.Message]verdict{}, batches: map[*message.Batch]*message.Batch{},
		changes: map[crypto.Digest]*message.ViewChange{},
	}
}

// open gives what the core of a receiver gets of m, nil if nothing. An error
// says what is wrong with m; of an invalid proposal the core learns that much.
func (v *verifier) open(m message.Message) (message.Message, error) {
	switch m.(type) {
	case *message.Prepare, *message.Commit, *message.FetchViewChange, *message.FetchCommitted, *message.FetchCertificate, *message.FetchReply, *message.Reply:
		return m, nil
	}
	if d, ok := v.checked[m]; ok {
		return d.m, d.err
	}
	var d verdict
	d.m, d.err = v.check(m)
	v.checked[m] = d
	return d.m, d.err
}

func (v *verifier) check(m message.Message) (message.Message, error) {
	var err error
	switch m := m.(type) {
	case *message.PrePrepare:
		b, err := v.batch(m.Batch)
		return &message.PrePrepare{View: m.View, Batch: b}, err
	case *message.Body:
		b, err := v.batch(m.Batch)
		if err != nil {
			return nil, err
		}
		return &message.Body{Batch: b}, nil
	case *message.Relay:
		g, err := v.group(m.Group.Raw)
		if err != nil {
			return nil, err
		}
		return &message.Relay{Group: g, Watch: m.Watch, Answer: m.Answer}, nil
	case *message.Checkpoint:
		err = v.checkpoint(m)
	case *message.StableCertificate:
		err = v.certificate(&m.Certificate)
	case *message.ViewChange:
		err = v.viewChange(m)
	case *message.NewView:
		err = v.newView(m)
	case *message.Status:
		err = atMost("status", len(m.Accepted), message.StatusSpan)
	case *message.FetchBody:
		err = atMost("fetch", len(m.Digests), message.MaxFetch)
	case *message.Committed:
		err = atMost("statement", len(m.Entries), message.MaxCommitted)
	case *message.FetchNodes:
		err = indexes(m.Indexes)
	case *message.FetchPieces:
		err = indexes(m.Indexes)
	case *message.Nodes:
		err = atMost("digests", len(m.Digests), message.MaxNodes)
	case *message.Piece:
		err = atMost("piece", len(m.Data), message.MaxFragment)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// indexes are 1 to MaxIndexes.
func indexes(list []uint32) error {
	if len(list) == 0 {
		return fmt.Errorf("no indexes")
	}
	return atMost("indexes", len(list), message.MaxIndexes)
}

func atMost(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%s about %d, the most allowed is %d", what, n, limit)
	}
	return nil
}

// batch parses what a batch says that it is: its fields may be anything.
func (v *verifier) batch(b *message.Batch) (*message.Batch, error) {
	if b == nil {
		return nil, fmt.Errorf("no batch")
	}
	parsed, ok := v.batches[b]
	if !ok {
		parsed = v.parse(b)
		v.batches[b] = parsed
	}
	if parsed == nil {
		return nil, fmt.Errorf("batch %d is invalid", b.Header.N)
	}
	return parsed, nil
}

func (v *verifier) parse(b *message.Batch) *message.Batch {
	parsed, err := message.ParseBatch(v.keys.cluster, v.limits, b.Header, b.Body)
	if err != nil {
		return nil
	}
	for i := range parsed.Groups {
		if g := &parsed.Groups[i]; !v.known(g.Client) || !v.keys.groupSigned(g) {
			return nil
		}
	}
	return parsed
}

// group checks a group by the rules of a batch's.
func (v *verifier) group(raw []byte) (crypto.GroupView, error) {
	g, err := crypto.ParseGroup(raw)
	if err == nil {
		err = message.CheckGroup(&g)
	}
	if err == nil && (!v.known(g.Client) || !v.keys.groupSigned(&g)) {
		err = fmt.Errorf("group of %q is not signed by it", g.Client)
	}
	return g, err
}

func (v *verifier) signed(tag crypto.Tag, epoch uint64, from message.ReplicaID, incarnation uint32, signed, sig []byte) error {
	if epoch != 0 || int(from) >= v.n || incarnation != incarnationOfAll {
		return fmt.Errorf("replica %d of epoch %d and incarnation %d is no member", from, epoch, incarnation)
	}
	s := v.keys.replica(int(from))
	if want := v.keys.sign(&s, tag, signed); !bytes.Equal(want[:], sig) {
		return fmt.Errorf("not signed by replica %d", from)
	}
	return nil
}

func (v *verifier) checkpoint(m *message.Checkpoint) error {
	return v.signed(crypto.TagCheckpoint, m.Epoch, m.Replica, m.Incarnation, m.AppendSigned(nil), m.Signature[:])
}

func (v *verifier) certificate(c *message.Certificate) error {
	if len(c.Votes) == 0 {
		return nil
	}
	if len(c.Votes) < v.q || len(c.Votes) > v.n {
		return fmt.Errorf("certificate of %d votes", len(c.Votes))
	}
	first := &c.Votes[0]
	for i := range c.Votes {
		m := &c.Votes[i]
		if i > 0 && m.Replica <= c.Votes[i-1].Replica {
			return fmt.Errorf("certificate: votes are not in rising order")
		}
		if m.N != first.N || m.Digest != first.Digest || m.Boundary != first.Boundary {
			return fmt.Errorf("certificate: votes differ")
		}
		if err := v.checkpoint(m); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) viewChange(m *message.ViewChange) error {
	if m.Certificate.N() != m.H {
		return fmt.Errorf("certificate proves %d, h is %d", m.Certificate.N(), m.H)
	}
	if err := v.signed(crypto.TagViewChange, m.Epoch, m.Replica, m.Incarnation, m.AppendSigned(nil), m.Signature[:]); err != nil {
		return err
	}
	if err := m.CheckSets(v.window, consensus.M*v.n+1); err != nil {
		return err
	}
	if err := v.certificate(&m.Certificate); err != nil {
		return err
	}
	v.changes[m.Digest(v.keys.cluster)] = m
	return nil
}

func (v *verifier) newView(m *message.NewView) error {
	if err := v.signed(crypto.TagNewView, m.Epoch, m.Replica, m.Incarnation, m.AppendSigned(nil), m.Signature[:]); err != nil {
		return err
	}
	for i := 1; i < len(m.ViewChanges); i++ {
		if m.ViewChanges[i].Replica <= m.ViewChanges[i-1].Replica {
			return fmt.Errorf("references are not in rising order")
		}
	}
	return nil
}
