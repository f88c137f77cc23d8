package transport

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

const (
	// maxHello bounds a first frame in bytes: whoever sent it is a stranger.
	maxHello = 16 << 10
	// maxNamed bounds how many values are named in which two replicas differ.
	maxNamed = 16
)

// newHello is what a replica says of itself to the peer at index to.
func newHello(o *Options, to int) *pbftv1.Hello {
	digest := o.Config.Digest()
	h := &pbftv1.Hello{
		Version: message.Version, ClusterId: o.Config.ClusterID[:], Index: uint32(o.Index), To: uint32(to),
		Incarnation: o.Incarnation, ConfigDigest: digest[:],
	}
	for _, v := range o.Config.Agreed() {
		h.Values = append(h.Values, &pbftv1.ConfigValue{Name: v.Name, Value: v.Value})
	}
	return h
}

// helloFrame is a whole frame with a hello, the same for all four messages
// that hold a frame.
func helloFrame(h *pbftv1.Hello) ([]byte, error) {
	b, err := proto.Marshal(&pbftv1.ConnectRequest{Frame: &pbftv1.PeerFrame{Hello: h}})
	if err == nil && len(b) > maxHello {
		err = fmt.Errorf("%d bytes, the most allowed is %d", len(b), maxHello)
	}
	if err != nil {
		return nil, fmt.Errorf("transport: encoding the hello: %w", err)
	}
	return b, nil
}

// sayHello sends this replica's hello to the peer.
func (p *peer) sayHello(s stream) error {
	return s.SendMsg(&wire.Segments{Parts: [][]byte{p.hello}})
}

// readHello reads the first frame of a stream.
func readHello(s stream) (*pbftv1.Hello, error) {
	var raw wire.Raw
	if err := s.RecvMsg(&raw); err != nil {
		return nil, err
	}
	return parseHello(raw.Data)
}

func parseHello(b []byte) (*pbftv1.Hello, error) {
	if len(b) > maxHello {
		return nil, status.Errorf(codes.InvalidArgument, "first frame of %d bytes, a hello has at most %d", len(b), maxHello)
	}
	m := &pbftv1.ConnectRequest{}
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "first frame: %v", err)
	}
	h := m.GetFrame().GetHello()
	if h == nil || len(m.GetFrame().GetMessages()) > 0 {
		return nil, status.Error(codes.InvalidArgument, "the first frame must hold a hello and nothing else")
	}
	return h, nil
}

// checkIdentity says whether a hello comes from a member of this cluster, in
// its present incarnation, and is meant for this replica.
func (t *Transport) checkIdentity(h *pbftv1.Hello) error {
	members := t.o.Verifier.Members
	switch i := h.GetIndex(); {
	case h.GetVersion() != message.Version:
		return status.Errorf(codes.FailedPrecondition, "version is %d, this replica speaks %d", h.GetVersion(), message.Version)
	case !bytes.Equal(h.GetClusterId(), t.o.Config.ClusterID[:]):
		return status.Errorf(codes.PermissionDenied, "cluster_id is %.64x, ours is %s: cluster_id or the node lists differ", h.GetClusterId(), crypto.Digest(t.o.Config.ClusterID).Hex())
	case h.GetTo() != uint32(t.self):
		return status.Errorf(codes.PermissionDenied, "to is %d, this is replica %d: host or peer_port of the two are mixed up", h.GetTo(), t.self)
	case i >= uint32(len(members)) || i == uint32(t.self):
		return status.Errorf(codes.PermissionDenied, "index is %d, peers of replica %d have the others below %d", i, t.self, len(members))
	case h.GetIncarnation() != members[i].Incarnation:
		return status.Errorf(codes.PermissionDenied, "incarnation of replica %d is %d, configured is %d", i, h.GetIncarnation(), members[i].Incarnation)
	}
	return nil
}

// checkCaller finds the peer that dialled.
func (t *Transport) checkCaller(h *pbftv1.Hello) (*peer, error) {
	if err := t.checkIdentity(h); err != nil {
		return nil, err
	}
	if h.GetIndex() < uint32(t.self) {
		return nil, status.Errorf(codes.PermissionDenied, "index is %d, this is replica %d: the larger index dials", h.GetIndex(), t.self)
	}
	return t.peers[h.GetIndex()], nil
}

// checkAnswer checks the hello of a peer that this replica dialled.
func (t *Transport) checkAnswer(h *pbftv1.Hello, want message.ReplicaID) error {
	if err := t.checkIdentity(h); err != nil {
		return err
	}
	if h.GetIndex() != uint32(want) {
		return status.Errorf(codes.PermissionDenied, "index is %d where replica %d should answer: host or peer_port of the two are mixed up", h.GetIndex(), want)
	}
	return t.checkConfig(h, want)
}

// checkConfig compares the values that all replicas must agree on.
func (t *Transport) checkConfig(h *pbftv1.Hello, from message.ReplicaID) error {
	if len(h.GetConfigDigest()) != len(t.digest) {
		return status.Errorf(codes.InvalidArgument, "config_digest of %d bytes, need %d", len(h.GetConfigDigest()), len(t.digest))
	}
	d := crypto.Digest(h.GetConfigDigest())
	if d == t.digest {
		t.mismatch.agrees(from)
		return nil
	}
	differing := differences(t.o.Config.Agreed(), h.GetValues())
	t.mismatch.differs(from, d, differing)
	return status.Errorf(codes.FailedPrecondition, "config_digest of replica %d is %s, that of replica %d is %s: %v", from, d, t.self, t.digest, differing)
}
