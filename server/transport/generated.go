package transport

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// generated decodes a message of a kind that is not hot through its generated
// type, and checks its fields and signatures.
func (d *decoder) generated(kind protowire.Number, b []byte) (message.Message, error) {
	switch kind {
	case kindCheckpoint:
		return decode(b, d.checkpoint)
	case kindViewChange:
		return decode(b, d.viewChange)
	case kindNewView:
		return decode(b, d.newView)
	case kindCertificate:
		return decode(b, d.certificate)
	case kindStatus:
		return decode(b, statusFromWire)
	case kindRelay:
		return decode(b, relayFromWire)
	case kindReply:
		return decode(b, d.reply)
	case kindFetchBody:
		return decode(b, fetchBodyFromWire)
	case kindFetchViewChange:
		return decode(b, fetchViewChangeFromWire)
	case kindFetchCommitted:
		return decode(b, fetchCommittedFromWire)
	case kindCommitted:
		return decode(b, committedFromWire)
	case kindFetchCertificate:
		return decode(b, fetchCertificateFromWire)
	case kindFetchReply:
		return decode(b, fetchReplyFromWire)
	}
	return stateFromWire(kind, b)
}

// stateFromWire is the part of generated for what carries state.
func stateFromWire(kind protowire.Number, b []byte) (message.Message, error) {
	switch kind {
	case kindFetchManifest:
		return decode(b, fetchManifestFromWire)
	case kindManifest:
		return decode(b, manifestFromWire)
	case kindFetchNodes:
		return decode(b, fetchNodesFromWire)
	case kindNodes:
		return decode(b, nodesFromWire)
	case kindFetchPieces:
		return decode(b, fetchPiecesFromWire)
	case kindPiece:
		return decode(b, pieceFromWire)
	}
	return nil, reject(NotSupported, "messages of kind %d are not served by this version", kind)
}

// decode unmarshals a generated type and converts it.
func decode[W any, P interface {
	*W
	proto.Message
}, M message.Message](b []byte, convert func(P) (M, error)) (message.Message, error) {
	w := P(new(W))
	if err := proto.Unmarshal(b, w); err != nil {
		return nil, reject(Malformed, "message: %w", err)
	}
	return convert(w)
}

func (d *decoder) checkpoint(w *pbftv1.Checkpoint) (*message.Checkpoint, error) {
	m, err := checkpointFromWire(w)
	if err != nil {
		return nil, err
	}
	return &m, signed(d.verifier.Checkpoint(&m))
}

func (d *decoder) certificate(w *pbftv1.Certificate) (*message.StableCertificate, error) {
	c, err := certificateFromWire(w)
	if err != nil {
		return nil, err
	}
	return &message.StableCertificate{Certificate: c}, signed(d.verifier.Certificate(&c))
}

func (d *decoder) viewChange(w *pbftv1.ViewChange) (*message.ViewChange, error) {
	m, err := viewChangeFromWire(w)
	if err != nil {
		return nil, err
	}
	return m, signed(d.verifier.ViewChange(m))
}

func (d *decoder) newView(w *pbftv1.NewView) (*message.NewView, error) {
	m, err := newViewFromWire(w)
	if err != nil {
		return nil, err
	}
	return m, signed(d.verifier.NewView(m))
}

// reply checks what the sender cannot sign for: a reply is its own.
func (d *decoder) reply(w *pbftv1.Reply) (*message.Reply, error) {
	m, err := replyFromWire(w)
	if err == nil && m.Replica != d.from {
		return nil, reject(WrongSender, "reply of replica %d from replica %d", m.Replica, d.from)
	}
	return m, err
}

func signed(err error) error {
	if err != nil {
		return reject(BadSignature, "%w", err)
	}
	return nil
}

func relayFromWire(w *pbftv1.Relay) (*message.Relay, error) {
	g, err := crypto.ParseGroup(w.GetGroup())
	if err == nil {
		err = message.CheckGroup(&g)
	}
	if err != nil {
		return nil, reject(BadGroup, "relay: %w", err)
	}
	return &message.Relay{Group: g, Watch: w.GetWatch(), Answer: w.GetAnswer()}, nil
}

func fetchViewChangeFromWire(w *pbftv1.FetchViewChange) (*message.FetchViewChange, error) {
	ref, err := refFromWire(w.GetRef())
	return &message.FetchViewChange{Ref: ref, View: w.GetView()}, err
}

func fetchCommittedFromWire(w *pbftv1.FetchCommitted) (*message.FetchCommitted, error) {
	if w.GetFrom() > w.GetTo() {
		return nil, reject(Malformed, "fetch of committed batches from %d to %d", w.GetFrom(), w.GetTo())
	}
	return &message.FetchCommitted{From: w.GetFrom(), To: w.GetTo()}, nil
}

func fetchCertificateFromWire(w *pbftv1.FetchCertificate) (*message.FetchCertificate, error) {
	return &message.FetchCertificate{Epoch: w.GetEpoch()}, nil
}

func fetchReplyFromWire(w *pbftv1.FetchReply) (*message.FetchReply, error) {
	if err := checkRequest(w.GetClient(), w.GetNumber()); err != nil {
		return nil, err
	}
	return &message.FetchReply{Client: w.GetClient(), Number: w.GetNumber(), Session: w.GetSession()}, nil
}
