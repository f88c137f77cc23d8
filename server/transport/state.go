package transport

import (
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// The messages by which a replica fetches another one's state.

// stateToWire converts them to their generated types. It gives nil for others.
func stateToWire(m message.Message) *pbftv1.PeerMessage {
	switch m := m.(type) {
	case *message.FetchManifest:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchManifest{FetchManifest: &pbftv1.FetchManifest{N: m.N, Digest: m.Digest[:]}}}
	case *message.Manifest:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Manifest{Manifest: manifestToWire(&m.State)}}
	case *message.FetchNodes:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchNodes{FetchNodes: &pbftv1.FetchNodes{
			N: m.N, Component: pbftv1.Component(m.Component), Level: m.Level, Indexes: m.Indexes,
		}}}
	case *message.Nodes:
		w := &pbftv1.Nodes{N: m.N, Component: pbftv1.Component(m.Component), Level: m.Level, First: m.First}
		for i := range m.Digests {
			w.Digests = append(w.Digests, m.Digests[i][:])
		}
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Nodes{Nodes: w}}
	case *message.FetchPieces:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchPieces{FetchPieces: &pbftv1.FetchPieces{
			N: m.N, Component: pbftv1.Component(m.Component), Indexes: m.Indexes, Offset: m.Offset,
		}}}
	case *message.Piece:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Piece{Piece: &pbftv1.Piece{
			N: m.N, Component: pbftv1.Component(m.Component), Index: m.Index, Offset: m.Offset, Size: m.Size, Data: m.Data,
		}}}
	}
	return nil
}

func manifestToWire(s *message.State) *pbftv1.Manifest {
	w := &pbftv1.Manifest{
		Epoch: s.Epoch, N: s.N, AppRoot: s.AppRoot[:], ClientsRoot: s.ClientsRoot[:], HistoryRoot: s.HistoryRoot[:],
		HistorySize: s.HistorySize, LastTimeUs: s.LastTimeUS, ConfigDigest: s.ConfigDigest[:],
	}
	if !s.NextConfigDigest.IsZero() {
		w.NextConfigDigest = s.NextConfigDigest[:]
	}
	return w
}

// The other way: every length and range is checked.

func manifestFromWire(w *pbftv1.Manifest) (*message.Manifest, error) {
	m := &message.Manifest{State: message.State{
		Epoch: w.GetEpoch(), N: w.GetN(), HistorySize: w.GetHistorySize(), LastTimeUS: w.GetLastTimeUs(),
	}}
	s := &m.State
	for _, f := range []struct {
		to   *crypto.Digest
		from []byte
	}{
		{&s.AppRoot, w.GetAppRoot()}, {&s.ClientsRoot, w.GetClientsRoot()}, {&s.HistoryRoot, w.GetHistoryRoot()},
		{&s.ConfigDigest, w.GetConfigDigest()}, {&s.NextConfigDigest, w.GetNextConfigDigest()},
	} {
		if f.to == &s.NextConfigDigest && len(f.from) == 0 {
			continue
		}
		var err error
		if *f.to, err = digestFromWire(f.from); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func componentFromWire(c pbftv1.Component) (message.Component, error) {
	if c < pbftv1.Component_COMPONENT_APPLICATION || c > pbftv1.Component_COMPONENT_HISTORY {
		return 0, reject(Malformed, "component %d of the state, known are 1 to 3", c)
	}
	return message.Component(c), nil
}

func checkIndexes(indexes []uint32) error {
	if len(indexes) == 0 || len(indexes) > message.MaxIndexes {
		return reject(TooLarge, "fetch of %d indexes, allowed are 1 to %d", len(indexes), message.MaxIndexes)
	}
	return nil
}

func fetchManifestFromWire(w *pbftv1.FetchManifest) (*message.FetchManifest, error) {
	d, err := digestFromWire(w.GetDigest())
	return &message.FetchManifest{N: w.GetN(), Digest: d}, err
}

func fetchNodesFromWire(w *pbftv1.FetchNodes) (m *message.FetchNodes, err error) {
	m = &message.FetchNodes{N: w.GetN(), Level: w.GetLevel(), Indexes: w.GetIndexes()}
	if m.Component, err = componentFromWire(w.GetComponent()); err != nil {
		return nil, err
	}
	return m, checkIndexes(m.Indexes)
}

func nodesFromWire(w *pbftv1.Nodes) (m *message.Nodes, err error) {
	if len(w.GetDigests()) > message.MaxNodes {
		return nil, reject(TooLarge, "%d digests, the most allowed is %d", len(w.GetDigests()), message.MaxNodes)
	}
	m = &message.Nodes{N: w.GetN(), Level: w.GetLevel(), First: w.GetFirst(), Digests: make([]crypto.Digest, len(w.GetDigests()))}
	if m.Component, err = componentFromWire(w.GetComponent()); err != nil {
		return nil, err
	}
	for i, d := range w.GetDigests() {
		if m.Digests[i], err = digestFromWire(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func fetchPiecesFromWire(w *pbftv1.FetchPieces) (m *message.FetchPieces, err error) {
	m = &message.FetchPieces{N: w.GetN(), Indexes: w.GetIndexes(), Offset: w.GetOffset()}
	if m.Component, err = componentFromWire(w.GetComponent()); err != nil {
		return nil, err
	}
	return m, checkIndexes(m.Indexes)
}

func pieceFromWire(w *pbftv1.Piece) (m *message.Piece, err error) {
	if len(w.GetData()) > message.MaxFragment {
		return nil, reject(TooLarge, "part of %d bytes of a piece, the most allowed is %d", len(w.GetData()), message.MaxFragment)
	}
	m = &message.Piece{N: w.GetN(), Index: w.GetIndex(), Offset: w.GetOffset(), Size: w.GetSize(), Data: w.GetData()}
	m.Component, err = componentFromWire(w.GetComponent())
	return m, err
}
