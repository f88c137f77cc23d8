package transport

import (
	"bytes"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// newHello is what this replica says of itself; To is filled in per peer.
func (t *Transport) newHello() *pbftv1.Hello {
	digest := t.o.Config.Digest()
	h := &pbftv1.Hello{
		Version: message.Version, ClusterId: t.o.Config.ClusterID[:], Index: uint32(t.o.Index),
		Incarnation: t.o.Incarnation, ConfigDigest: digest[:],
	}
	for _, v := range t.o.Config.Agreed() {
		h.Values = append(h.Values, &pbftv1.ConfigValue{Name: v.Name, Value: v.Value})
	}
	return h
}

// helloFrame is a whole frame with the hello to a peer.
func (t *Transport) helloFrame(to message.ReplicaID) ([]byte, error) {
	h := proto.CloneOf(t.hello)
	h.To = uint32(to)
	b, err := proto.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the hello: %w", err)
	}
	inner := protowire.AppendTag(nil, fieldFrameHello, protowire.BytesType)
	inner = protowire.AppendBytes(inner, b)
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldOuterFrame, protowire.BytesType), inner), nil
}

// checkHello says whether the other end is the peer that it should be. expect
// is its index where this replica dialled, else -1.
func (t *Transport) checkHello(h *pbftv1.Hello, expect int) (*peer, error) {
	switch {
	case h == nil:
		return nil, status.Error(codes.InvalidArgument, "the first frame must be a hello")
	case h.GetVersion() != message.Version:
		return nil, status.Errorf(codes.FailedPrecondition, "version %d, ours is %d", h.GetVersion(), message.Version)
	case !bytes.Equal(h.GetClusterId(), t.o.Config.ClusterID[:]):
		return nil, status.Errorf(codes.PermissionDenied, "cluster %x, ours is %s: the node lists or cluster_id differ", h.GetClusterId(), crypto.Digest(t.o.Config.ClusterID).Hex())
	case h.GetTo() != uint32(t.o.Index):
		return nil, status.Errorf(codes.PermissionDenied, "meant for replica %d, this is %d: check host and peer_port", h.GetTo(), t.o.Index)
	case int(h.GetIndex()) >= len(t.peers) || h.GetIndex() == uint32(t.o.Index):
		return nil, status.Errorf(codes.PermissionDenied, "replica %d cannot be a peer of replica %d of %d", h.GetIndex(), t.o.Index, len(t.peers))
	case expect >= 0 && h.GetIndex() != uint32(expect):
		return nil, status.Errorf(codes.PermissionDenied, "replica %d answers where %d should be", h.GetIndex(), expect)
	case expect < 0 && h.GetIndex() < uint32(t.o.Index):
		return nil, status.Errorf(codes.PermissionDenied, "replica %d must not dial %d: the larger index dials", h.GetIndex(), t.o.Index)
	case h.GetIncarnation() != t.o.Verifier.Members[h.GetIndex()].Incarnation:
		return nil, status.Errorf(codes.PermissionDenied, "replica %d comes as incarnation %d, configured is %d", h.GetIndex(), h.GetIncarnation(), t.o.Verifier.Members[h.GetIndex()].Incarnation)
	}
	p := t.peers[h.GetIndex()]
	if !bytes.Equal(h.GetConfigDigest(), t.hello.GetConfigDigest()) {
		differing := differences(t.hello.GetValues(), h.GetValues())
		t.mismatch.report(t, p.index, h.GetConfigDigest(), differing)
		return nil, status.Errorf(codes.FailedPrecondition, "replica %d uses another configuration: %v", h.GetIndex(), differing)
	}
	t.mismatch.agree(p.index)
	return p, nil
}

// maxNamed bounds how many differing values are named.
const maxNamed = 16

// differences names the values in which two configurations differ.
func differences(ours, theirs []*pbftv1.ConfigValue) (out []string) {
	value := make(map[string]string, len(theirs))
	for _, v := range theirs {
		value[v.GetName()] = v.GetValue()
	}
	for _, v := range ours {
		other, ok := value[v.GetName()]
		switch {
		case len(out) == maxNamed:
			return append(out, "…")
		case !ok:
			out = append(out, fmt.Sprintf("%s is %s here and missing there", v.GetName(), v.GetValue()))
		case other != v.GetValue():
			out = append(out, fmt.Sprintf("%s is %s here and %.40q there", v.GetName(), v.GetValue(), other))
		}
	}
	return out
}

// mismatch counts the peers that run with another configuration.
type mismatch struct {
	mu       sync.Mutex
	digests  map[message.ReplicaID]string
	reported bool
}

func (m *mismatch) agree(from message.ReplicaID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.digests, from)
}

func (m *mismatch) report(t *Transport, from message.ReplicaID, digest []byte, differing []string) {
	m.mu.Lock()
	if m.digests == nil {
		m.digests = make(map[message.ReplicaID]string)
	}
	m.digests[from] = string(digest)
	equal := 0
	for _, d := range m.digests {
		if d == string(digest) {
			equal++
		}
	}
	tell := equal > t.o.Config.F() && !m.reported && len(digest) == len(crypto.Digest{})
	m.reported = m.reported || tell
	m.mu.Unlock()
	if tell && t.o.ConfigMismatch != nil {
		t.o.ConfigMismatch(crypto.Digest(digest), differing)
	}
}
