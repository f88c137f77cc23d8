package transport

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Field numbers of proto/pbft/v1/peer.proto.
const (
	fieldOuterFrame protowire.Number = 1 // of ConnectRequest and its three siblings

	fieldFrameEpoch    protowire.Number = 1
	fieldFrameHello    protowire.Number = 2
	fieldFrameMessages protowire.Number = 3

	kindPrePrepare       protowire.Number = 1
	kindPrepare          protowire.Number = 2
	kindCommit           protowire.Number = 3
	kindCheckpoint       protowire.Number = 4
	kindViewChange       protowire.Number = 5
	kindNewView          protowire.Number = 6
	kindStatus           protowire.Number = 7
	kindRelay            protowire.Number = 8
	kindReply            protowire.Number = 9
	kindFetchBody        protowire.Number = 10
	kindBody             protowire.Number = 11
	kindFetchViewChange  protowire.Number = 12
	kindFetchCommitted   protowire.Number = 13
	kindCommitted        protowire.Number = 14
	kindFetchCertificate protowire.Number = 15
	kindCertificate      protowire.Number = 16
	kindFetchReply       protowire.Number = 17
	kindFetchManifest    protowire.Number = 18
	kindManifest         protowire.Number = 19
	kindFetchNodes       protowire.Number = 20
	kindNodes            protowire.Number = 21
	kindFetchPieces      protowire.Number = 22
	kindPiece            protowire.Number = 23
	kindPing             protowire.Number = 24
	kindPong             protowire.Number = 25
)

const (
	// frameRoom is kept free before the messages for the frame's own fields:
	// two tags, two lengths and the epoch.
	frameRoom = 2 + 2*5 + 10
	// shareFrom is the size from which a body goes out as a segment of its
	// own; a smaller one costs less to copy.
	shareFrom = 1024
)

// encoder builds one frame: small messages back to back in one buffer, large
// bodies by reference between its pieces.
type encoder struct {
	buf  []byte
	cuts []cut
	size int // of all messages
}

// cut says that body goes out before buf[at].
type cut struct {
	at   int
	body []byte
}

// encodeFrame puts messages into one frame, behind the fields in urgent. Its
// parts joined are the protobuf bytes of a ConnectRequest, ConnectResponse,
// BulkRequest or BulkResponse.
func encodeFrame(epoch uint64, urgent []byte, entries []entry) [][]byte {
	room := frameRoom + len(urgent)
	for i := range entries {
		room += entries[i].size - len(sharedBody(entries[i].msg))
	}
	e := &encoder{buf: make([]byte, frameRoom, room)}
	e.buf = append(e.buf, urgent...)
	e.size = len(urgent)
	for i := range entries {
		e.add(entries[i].msg)
	}
	return e.parts(epoch)
}

// sharedBody is the body that goes out as a segment of its own, if m has one.
func sharedBody(m message.Message) []byte {
	var body []byte
	switch m := m.(type) {
	case *message.PrePrepare:
		body = m.Batch.Body
	case *message.Body:
		body = m.Batch.Body
	}
	if len(body) < shareFrom {
		return nil
	}
	return body
}

// add appends one message.
func (e *encoder) add(m message.Message) {
	at := len(e.buf)
	switch m := m.(type) {
	case *message.Prepare:
		e.buf = appendVote(e.buf, kindPrepare, m.View, m.N, &m.Digest)
	case *message.Commit:
		e.buf = appendVote(e.buf, kindCommit, m.View, m.N, &m.Digest)
	case *message.PrePrepare:
		e.buf = appendBatch(e.buf, kindPrePrepare, prePrepareFields, m.View, m.Batch)
	case *message.Body:
		e.buf = appendBatch(e.buf, kindBody, bodyFields, 0, m.Batch)
	default:
		e.buf = appendGenerated(e.buf, m)
	}
	e.size += len(e.buf) - at
	if body := sharedBody(m); body != nil {
		e.cuts = append(e.cuts, cut{at: len(e.buf), body: body})
		e.size += len(body)
	}
}

// parts finishes the frame.
func (e *encoder) parts(epoch uint64) [][]byte {
	frame := sizeVarintField(epoch) + e.size
	head := protowire.AppendTag(make([]byte, 0, frameRoom), fieldOuterFrame, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(frame))
	head = appendVarintField(head, fieldFrameEpoch, epoch)
	from := frameRoom - len(head)
	copy(e.buf[from:], head)

	parts := make([][]byte, 0, 2*len(e.cuts)+1)
	for _, c := range e.cuts {
		parts = append(parts, e.buf[from:c.at], c.body)
		from = c.at
	}
	if from < len(e.buf) {
		parts = append(parts, e.buf[from:])
	}
	return parts
}

// appendVote appends a Prepare or a Commit, which have the same fields.
func appendVote(b []byte, kind protowire.Number, view, n uint64, d *crypto.Digest) []byte {
	inner := sizeVarintField(view) + sizeVarintField(n) + 1 + protowire.SizeBytes(len(d))
	b = appendOpen(b, kind, inner)
	b = appendVarintField(b, 1, view)
	b = appendVarintField(b, 2, n)
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	return protowire.AppendBytes(b, d[:])
}

// batchFields are the numbers of the fields of a PrePrepare or a Body.
type batchFields struct{ view, header, body protowire.Number }

var (
	prePrepareFields = batchFields{view: 1, header: 2, body: 3}
	bodyFields       = batchFields{view: 0, header: 1, body: 2} // has no view
)

// appendBatch appends a PrePrepare or a Body, whose last field is the body: a
// large one is left out, for a segment of its own to follow.
func appendBatch(b []byte, kind protowire.Number, f batchFields, view uint64, batch *message.Batch) []byte {
	header := headerSize(&batch.Header)
	inner := sizeVarintField(view) + 1 + protowire.SizeBytes(header) + 1 + protowire.SizeBytes(len(batch.Body))
	b = appendOpen(b, kind, inner)
	b = appendVarintField(b, f.view, view)
	b = protowire.AppendTag(b, f.header, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(header))
	b = appendHeader(b, &batch.Header)
	b = protowire.AppendTag(b, f.body, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(batch.Body)))
	if len(batch.Body) < shareFrom {
		b = append(b, batch.Body...)
	}
	return b
}

// appendNonce appends a Ping or a Pong.
func appendNonce(b []byte, kind protowire.Number, nonce uint64) []byte {
	b = appendOpen(b, kind, sizeVarintField(nonce))
	return appendVarintField(b, 1, nonce)
}

// appendGenerated appends any other message through its generated type.
func appendGenerated(b []byte, m message.Message) []byte {
	w := toWire(m)
	b = protowire.AppendTag(b, fieldFrameMessages, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(w)))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, w)
	if err != nil {
		panic("transport: own message does not encode: " + err.Error())
	}
	return b
}

// appendOpen appends what stands before a message of size bytes: the frame's
// field, the length of the PeerMessage, its field and the length of that.
func appendOpen(b []byte, kind protowire.Number, size int) []byte {
	b = protowire.AppendTag(b, fieldFrameMessages, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(protowire.SizeTag(kind)+protowire.SizeBytes(size)))
	b = protowire.AppendTag(b, kind, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size))
}

func headerSize(h *message.Header) int {
	return sizeVarintField(h.Epoch) + sizeVarintField(h.N) + sizeVarintField(uint64(h.WallUS)) +
		sizeVarintField(uint64(h.Count)) + sizeVarintField(uint64(h.Bytes)) +
		1 + protowire.SizeBytes(len(h.GroupsRoot))
}

func appendHeader(b []byte, h *message.Header) []byte {
	b = appendVarintField(b, 1, h.Epoch)
	b = appendVarintField(b, 2, h.N)
	b = appendVarintField(b, 3, uint64(h.WallUS))
	b = appendVarintField(b, 4, uint64(h.Count))
	b = appendVarintField(b, 5, uint64(h.Bytes))
	b = protowire.AppendTag(b, 6, protowire.BytesType)
	return protowire.AppendBytes(b, h.GroupsRoot[:])
}

// sizeVarintField is the size of a varint field with a number below 16. As in
// proto3, zero is left out.
func sizeVarintField(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func appendVarintField(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}
