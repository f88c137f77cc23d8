package transport

import (
	"bytes"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// decoder takes frames of one peer apart and checks what needs no state. Only
// one goroutine uses it.
type decoder struct {
	cluster  crypto.ClusterID
	limits   message.Limits
	verifier *message.Verifier
	refused  func(error) // each message that fails a check
	pinged   func(nonce uint64)
	ponged   func(nonce uint64)
	size     int // of the present frame

	prepares []message.Prepare // the rest of a slab
	commits  []message.Commit
}

// slab is how many votes are allocated at once.
const slab = 32

// errFrame says that a frame is no protobuf at all: its stream is useless.
var errFrame = errors.New("frame is malformed")

// field reads one field. Of bytes fields v holds the content, of varints u.
func field(b []byte) (num protowire.Number, u uint64, v, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, 0, nil, nil, errFrame
	}
	b = b[n:]
	switch typ {
	case protowire.VarintType:
		u, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		v, n = protowire.ConsumeBytes(b)
		if v == nil {
			v = []byte{}
		}
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
		num = -1 // of no type that is used here: unknown
	}
	if n < 0 {
		return 0, 0, nil, nil, errFrame
	}
	return num, u, v, b[n:], nil
}

// frame takes one received message apart. Messages alias b.
func (d *decoder) frame(b []byte) (hello *pbftv1.Hello, msgs []message.Message, err error) {
	d.size = len(b)
	for len(b) > 0 {
		num, _, v, rest, err := field(b)
		if err != nil {
			return nil, nil, err
		}
		b = rest
		if num != fieldOuterFrame || v == nil {
			continue
		}
		if hello, msgs, err = d.inner(v, hello, msgs); err != nil {
			return nil, nil, err
		}
	}
	return hello, msgs, nil
}

func (d *decoder) inner(b []byte, hello *pbftv1.Hello, msgs []message.Message) (*pbftv1.Hello, []message.Message, error) {
	epoch := uint64(0)
	for len(b) > 0 {
		num, u, v, rest, err := field(b)
		if err != nil {
			return nil, nil, err
		}
		b = rest
		switch {
		case num == fieldFrameEpoch && v == nil:
			epoch = u
		case num == fieldFrameHello && v != nil:
			hello = &pbftv1.Hello{}
			if err := proto.Unmarshal(v, hello); err != nil {
				return nil, nil, errFrame
			}
		case num == fieldFrameMessages && v != nil:
			m, err := d.message(v)
			if err == nil && m != nil && epoch != d.verifier.Epoch {
				err = reject(WrongEpoch, "message of epoch %d, ours is %d", epoch, d.verifier.Epoch)
			}
			if err != nil {
				d.refused(err)
			} else if m != nil {
				msgs = append(msgs, m)
			}
		}
	}
	return hello, msgs, nil
}

// message decodes one PeerMessage: the hot ones by hand, the rest by the
// generated code.
func (d *decoder) message(b []byte) (message.Message, error) {
	num, _, v, rest, err := field(b)
	if err != nil || len(rest) > 0 || v == nil {
		return d.generated(b) // unusual, but perhaps valid: several fields, or none
	}
	switch num {
	case kindPrepare:
		if len(d.prepares) == 0 {
			d.prepares = make([]message.Prepare, slab)
		}
		m := &d.prepares[0]
		d.prepares = d.prepares[1:]
		return m, vote(v, &m.View, &m.N, &m.Digest)
	case kindCommit:
		if len(d.commits) == 0 {
			d.commits = make([]message.Commit, slab)
		}
		m := &d.commits[0]
		d.commits = d.commits[1:]
		return m, vote(v, &m.View, &m.N, &m.Digest)
	case kindPrePrepare:
		view, batch, err := d.batch(v, 1, 2, 3)
		return &message.PrePrepare{View: view, Batch: batch}, err
	case kindBody:
		_, batch, err := d.batch(v, -2, 1, 2)
		return &message.Body{Batch: batch}, err
	default:
		return d.generated(b)
	}
}

// vote parses a Prepare or a Commit.
func vote(b []byte, view, n *uint64, digest *crypto.Digest) error {
	size := 0
	for len(b) > 0 {
		num, u, v, rest, err := field(b)
		if err != nil {
			return reject(Malformed, "vote: %w", err)
		}
		b = rest
		switch {
		case num == 1 && v == nil:
			*view = u
		case num == 2 && v == nil:
			*n = u
		case num == 3 && v != nil:
			size = copy(digest[:], v)
			if len(v) != len(digest) {
				return reject(Malformed, "vote: digest of %d bytes, need %d", len(v), len(digest))
			}
		}
	}
	if size == 0 {
		return reject(Malformed, "vote without a digest")
	}
	return nil
}

// batch parses a PrePrepare or a Body, whose fields have the given numbers,
// and checks that header and body agree and that every group is valid.
func (d *decoder) batch(b []byte, viewField, headerField, bodyField protowire.Number) (view uint64, _ *message.Batch, err error) {
	var header, body []byte
	for len(b) > 0 {
		num, u, v, rest, err := field(b)
		if err != nil {
			return 0, nil, reject(Malformed, "batch: %w", err)
		}
		b = rest
		switch {
		case num == viewField && v == nil:
			view = u
		case num == headerField && v != nil:
			header = v
		case num == bodyField && v != nil:
			body = v
		}
	}
	h, err := parseHeader(header)
	if err != nil {
		return 0, nil, err
	}
	if len(body) < d.size/2 {
		// A body is kept long after its frame: it must not keep the whole
		// frame alive, or a liar's small batches in large frames would.
		body = bytes.Clone(body)
	}
	batch, err := message.ParseBatch(d.cluster, d.limits, h, body)
	if err != nil {
		return 0, nil, reject(BadBatch, "%w", err)
	}
	return view, batch, nil
}

func parseHeader(b []byte) (h message.Header, err error) {
	root := 0
	for len(b) > 0 {
		num, u, v, rest, err := field(b)
		if err != nil {
			return h, reject(Malformed, "header: %w", err)
		}
		b = rest
		switch {
		case num == 6 && v != nil:
			root = len(v)
			copy(h.GroupsRoot[:], v)
		case v != nil:
		case num == 1:
			h.Epoch = u
		case num == 2:
			h.N = u
		case num == 3:
			h.WallUS = int64(u)
		case num == 4:
			h.Count = uint32(u)
		case num == 5:
			h.Bytes = uint32(u)
		}
	}
	if root != len(h.GroupsRoot) {
		return h, reject(Malformed, "header: groups_root of %d bytes, need %d", root, len(h.GroupsRoot))
	}
	return h, nil
}

// generated decodes a message by the generated code and checks its fields and
// signatures. A ping and a pong give no message.
func (d *decoder) generated(b []byte) (message.Message, error) {
	w := &pbftv1.PeerMessage{}
	if err := proto.Unmarshal(b, w); err != nil {
		return nil, reject(Malformed, "message: %w", err)
	}
	switch w := w.Message.(type) {
	case *pbftv1.PeerMessage_Ping:
		d.pinged(w.Ping.GetNonce())
		return nil, nil
	case *pbftv1.PeerMessage_Pong:
		d.ponged(w.Pong.GetNonce())
		return nil, nil
	case *pbftv1.PeerMessage_Checkpoint:
		m, err := checkpointFromWire(w.Checkpoint)
		if err != nil {
			return nil, err
		}
		return &m, signed(d.verifier.Checkpoint(&m))
	case *pbftv1.PeerMessage_Certificate:
		c, err := certificateFromWire(w.Certificate)
		if err != nil {
			return nil, err
		}
		return &message.StableCertificate{Certificate: c}, signed(d.verifier.Certificate(&c))
	case *pbftv1.PeerMessage_ViewChange:
		m, err := viewChangeFromWire(w.ViewChange)
		if err != nil {
			return nil, err
		}
		return m, signed(d.verifier.ViewChange(m))
	case *pbftv1.PeerMessage_NewView:
		m, err := newViewFromWire(w.NewView)
		if err != nil {
			return nil, err
		}
		return m, signed(d.verifier.NewView(m))
	default:
		return d.unsigned(w)
	}
}

func signed(err error) error {
	if err != nil {
		return reject(BadSignature, "%w", err)
	}
	return nil
}

// unsigned converts the messages that the channel alone authenticates.
func (d *decoder) unsigned(w any) (message.Message, error) {
	switch w := w.(type) {
	case *pbftv1.PeerMessage_Status:
		return statusFromWire(w.Status)
	case *pbftv1.PeerMessage_Relay:
		g, err := crypto.ParseGroup(w.Relay.GetGroup())
		if err == nil {
			err = message.CheckGroup(&g)
		}
		if err != nil {
			return nil, reject(BadGroup, "relay: %w", err)
		}
		return &message.Relay{Group: g, Watch: w.Relay.GetWatch(), Answer: w.Relay.GetAnswer()}, nil
	case *pbftv1.PeerMessage_Reply:
		return replyFromWire(w.Reply)
	case *pbftv1.PeerMessage_FetchBody:
		return fetchBodyFromWire(w.FetchBody)
	case *pbftv1.PeerMessage_FetchViewChange:
		ref, err := refFromWire(w.FetchViewChange.GetRef())
		return &message.FetchViewChange{Ref: ref, View: w.FetchViewChange.GetView()}, err
	case *pbftv1.PeerMessage_FetchCommitted:
		return &message.FetchCommitted{From: w.FetchCommitted.GetFrom(), To: w.FetchCommitted.GetTo()}, nil
	case *pbftv1.PeerMessage_Committed:
		return committedFromWire(w.Committed)
	case *pbftv1.PeerMessage_FetchCertificate:
		return &message.FetchCertificate{Epoch: w.FetchCertificate.GetEpoch()}, nil
	case *pbftv1.PeerMessage_FetchReply:
		f := w.FetchReply
		if err := crypto.CheckClient(f.GetClient()); err != nil {
			return nil, reject(Malformed, "fetch-reply: %w", err)
		}
		return &message.FetchReply{Client: f.GetClient(), Number: f.GetNumber(), Session: f.GetSession()}, nil
	case nil:
		return nil, reject(Malformed, "message of no known kind")
	default: // state transfer: not served by this version
		return nil, reject(NotSupported, "message %T is not served", w)
	}
}
