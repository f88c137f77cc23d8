package transport

import (
	"bytes"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// slabSize is how many votes are allocated at once. A vote that is kept keeps
// its slab.
const slabSize = 32

// decoder takes the frames of one stream apart and checks what needs no state.
// One goroutine uses it.
type decoder struct {
	from     message.ReplicaID
	cluster  crypto.ClusterID
	limits   message.Limits
	verifier *message.Verifier
	pinged   func(nonce uint64)
	ponged   func(nonce uint64)
	// refuse takes each message that fails a check. Its error, if any, ends
	// the stream.
	refuse func(error) error

	received int               // size of the frame in work
	prepares []message.Prepare // the rest of a slab
	commits  []message.Commit
}

func newDecoder(l *link) *decoder {
	t := l.p.t
	return &decoder{
		from: l.p.index, cluster: t.o.Config.ClusterID, limits: t.o.Limits, verifier: t.o.Verifier,
		pinged: l.pinged, ponged: l.ponged, refuse: l.p.refuse,
	}
}

// frame takes one received message apart. A body that is most of b aliases b.
// An error ends the stream: what follows a broken frame cannot be trusted to
// be in order.
func (d *decoder) frame(b []byte) ([]message.Message, error) {
	d.received = len(b)
	inner, err := outerFrame(b)
	if err != nil {
		return nil, d.broken(err)
	}
	var msgs []message.Message
	epoch, begun := uint64(0), false
	f := fields{b: inner}
	for f.next() {
		switch {
		case f.isBytes(fieldFrameMessages):
			if begun = true; epoch != d.verifier.Epoch {
				return nil, d.refuse(reject(WrongEpoch, "frame of epoch %d, ours is %d", epoch, d.verifier.Epoch))
			}
			m, err := d.message(f.bytes)
			if err != nil {
				if ban := d.refuse(err); ban != nil {
					return nil, ban
				}
				m = invalidProposal(m)
			}
			if m != nil {
				msgs = append(msgs, m)
			}
		case f.isVarint(fieldFrameEpoch) && !begun:
			epoch = f.varint
		case f.num == fieldFrameEpoch || f.num == fieldFrameHello:
			return nil, d.broken(reject(Malformed, "frame: field %d is out of place", f.num))
		}
	}
	if f.err != nil {
		return nil, d.broken(f.err)
	}
	return msgs, nil
}

// invalidProposal is what remains of a message that was refused: of a
// pre-prepare the fact that its sender proposed what is invalid, of all others
// nothing.
func invalidProposal(m message.Message) message.Message {
	if p, ok := m.(*message.PrePrepare); ok {
		return &message.PrePrepare{View: p.View}
	}
	return nil
}

// broken counts a frame that is none.
func (d *decoder) broken(err error) error {
	if ban := d.refuse(err); ban != nil {
		return ban
	}
	return status.Errorf(codes.InvalidArgument, "%v", err)
}

// outerFrame takes the frame out of the stream's message. Protobuf would merge
// several; nobody sends them.
func outerFrame(b []byte) (frame []byte, err error) {
	found := 0
	f := fields{b: b}
	for f.next() {
		if f.isBytes(fieldOuterFrame) {
			frame = f.bytes
			found++
		}
	}
	if f.err == nil && found != 1 {
		return nil, reject(Malformed, "%d frames in one message", found)
	}
	return frame, f.err
}

// message decodes one PeerMessage. It returns nil for a ping or a pong.
func (d *decoder) message(b []byte) (message.Message, error) {
	kind, v, err := kindOf(b)
	if err != nil {
		return nil, err
	}
	if limit := maxSize(kind, d.limits); len(v) > limit {
		return nil, reject(TooLarge, "message of kind %d has %d bytes, the most allowed is %d", kind, len(v), limit)
	}
	switch kind {
	case kindPrePrepare:
		view, batch, err := d.batch(v, prePrepareFields)
		return &message.PrePrepare{View: view, Batch: batch}, err
	case kindBody:
		_, batch, err := d.batch(v, bodyFields)
		return &message.Body{Batch: batch}, err
	case kindPrepare:
		if len(d.prepares) == 0 {
			d.prepares = make([]message.Prepare, slabSize)
		}
		m := &d.prepares[0]
		d.prepares = d.prepares[1:]
		return m, vote(v, &m.View, &m.N, &m.Digest)
	case kindCommit:
		if len(d.commits) == 0 {
			d.commits = make([]message.Commit, slabSize)
		}
		m := &d.commits[0]
		d.commits = d.commits[1:]
		return m, vote(v, &m.View, &m.N, &m.Digest)
	case kindPing, kindPong:
		return nil, d.nonce(kind, v)
	}
	return d.generated(kind, v)
}

// kindOf finds the field of the oneof in a PeerMessage. Of several, protobuf
// would take the last; nobody sends them. A later version may add fields
// besides; alone, such a one is a kind that is not served.
func kindOf(b []byte) (kind protowire.Number, v []byte, err error) {
	f := fields{b: b}
	for f.next() {
		switch {
		case f.typ != protowire.BytesType || f.num > kindPong && kind != 0:
		case kind == 0 || kind > kindPong:
			kind, v = f.num, f.bytes
		default:
			return 0, nil, reject(Malformed, "kinds %d and %d in one message", kind, f.num)
		}
	}
	if f.err == nil && kind == 0 {
		return 0, nil, reject(Malformed, "message without a kind")
	}
	return kind, v, f.err
}

func (d *decoder) nonce(kind protowire.Number, b []byte) error {
	nonce := uint64(0)
	f := fields{b: b}
	for f.next() {
		if f.isVarint(1) {
			nonce = f.varint
		}
	}
	if f.err != nil {
		return f.err
	}
	if kind == kindPing {
		d.pinged(nonce)
	} else {
		d.ponged(nonce)
	}
	return nil
}

// vote parses a Prepare or a Commit, which have the same fields.
func vote(b []byte, view, n *uint64, digest *crypto.Digest) error {
	var v []byte
	f := fields{b: b}
	for f.next() {
		switch {
		case f.isVarint(1):
			*view = f.varint
		case f.isVarint(2):
			*n = f.varint
		case f.isBytes(3):
			v = f.bytes
		}
	}
	if f.err != nil {
		return f.err
	}
	if len(v) != len(digest) {
		return reject(Malformed, "vote: digest of %d bytes, need %d", len(v), len(digest))
	}
	copy(digest[:], v)
	return nil
}

// batch parses a PrePrepare or a Body and checks that header and body agree
// and that every group is valid.
func (d *decoder) batch(b []byte, num batchFields) (view uint64, _ *message.Batch, err error) {
	var header, body []byte
	headers := 0
	f := fields{b: b}
	for f.next() {
		switch {
		case f.isVarint(num.view):
			view = f.varint
		case f.isBytes(num.header):
			header = f.bytes
			headers++
		case f.isBytes(num.body):
			body = f.bytes
		}
	}
	if f.err != nil {
		return view, nil, f.err
	}
	if headers != 1 {
		return view, nil, reject(Malformed, "batch with %d headers", headers)
	}
	h, err := parseHeader(header)
	if err != nil {
		return view, nil, err
	}
	if 2*len(body) < d.received {
		// Bodies are kept for long: a small one must not keep a large frame.
		body = bytes.Clone(body)
	}
	batch, err := message.ParseBatch(d.cluster, d.limits, h, body)
	if err != nil {
		return view, nil, reject(BadBatch, "%w", err)
	}
	return view, batch, nil
}

func parseHeader(b []byte) (h message.Header, err error) {
	var root []byte
	f := fields{b: b}
	for f.next() {
		switch {
		case f.isVarint(1):
			h.Epoch = f.varint
		case f.isVarint(2):
			h.N = f.varint
		case f.isVarint(3):
			h.WallUS = int64(f.varint)
		case f.isVarint(4):
			h.Count = uint32(f.varint)
		case f.isVarint(5):
			h.Bytes = uint32(f.varint)
		case f.isBytes(6):
			root = f.bytes
		}
	}
	if f.err != nil {
		return h, f.err
	}
	if len(root) != len(h.GroupsRoot) {
		return h, reject(Malformed, "header: groups_root of %d bytes, need %d", len(root), len(h.GroupsRoot))
	}
	copy(h.GroupsRoot[:], root)
	return h, nil
}
