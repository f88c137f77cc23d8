package transport

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// toWire converts a message to its generated type. Proposals, bodies and votes
// are encoded by hand and never come here.
func toWire(m message.Message) *pbftv1.PeerMessage {
	switch m := m.(type) {
	case *message.Checkpoint:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Checkpoint{Checkpoint: checkpointToWire(m)}}
	case *message.ViewChange:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_ViewChange{ViewChange: viewChangeToWire(m)}}
	case *message.NewView:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_NewView{NewView: newViewToWire(m)}}
	case *message.Status:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Status{Status: statusToWire(m)}}
	case *message.Relay:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Relay{Relay: &pbftv1.Relay{Group: m.Group.Raw, Watch: m.Watch, Answer: m.Answer}}}
	case *message.Reply:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Reply{Reply: replyToWire(m)}}
	case *message.FetchBody:
		f := &pbftv1.FetchBody{}
		for i := range m.Digests {
			f.Digests = append(f.Digests, m.Digests[i][:])
		}
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchBody{FetchBody: f}}
	case *message.FetchViewChange:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchViewChange{FetchViewChange: &pbftv1.FetchViewChange{Ref: refToWire(&m.Ref), View: m.View}}}
	case *message.FetchCommitted:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchCommitted{FetchCommitted: &pbftv1.FetchCommitted{From: m.From, To: m.To}}}
	case *message.Committed:
		c := &pbftv1.Committed{}
		for i := range m.Entries {
			c.Entries = append(c.Entries, &pbftv1.CommittedEntry{N: m.Entries[i].N, Digest: m.Entries[i].Digest[:]})
		}
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Committed{Committed: c}}
	case *message.FetchCertificate:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchCertificate{FetchCertificate: &pbftv1.FetchCertificate{Epoch: m.Epoch}}}
	case *message.StableCertificate:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_Certificate{Certificate: certificateToWire(&m.Certificate)}}
	case *message.FetchReply:
		return &pbftv1.PeerMessage{Message: &pbftv1.PeerMessage_FetchReply{FetchReply: &pbftv1.FetchReply{Client: m.Client, Number: m.Number, Session: m.Session}}}
	}
	if w := stateToWire(m); w != nil {
		return w
	}
	panic(fmt.Sprintf("transport: %T has no generated type", m))
}

func checkpointToWire(m *message.Checkpoint) *pbftv1.Checkpoint {
	return &pbftv1.Checkpoint{
		Epoch: m.Epoch, Replica: uint32(m.Replica), Incarnation: m.Incarnation,
		N: m.N, Digest: m.Digest[:], Boundary: m.Boundary, Signature: m.Signature[:],
	}
}

func certificateToWire(c *message.Certificate) *pbftv1.Certificate {
	w := &pbftv1.Certificate{}
	for i := range c.Votes {
		w.Votes = append(w.Votes, checkpointToWire(&c.Votes[i]))
	}
	return w
}

func pqToWire(set []message.PQ) (w []*pbftv1.PQEntry) {
	for i := range set {
		w = append(w, &pbftv1.PQEntry{N: set[i].N, Digest: set[i].Digest[:], View: set[i].View})
	}
	return w
}

func viewChangeToWire(m *message.ViewChange) *pbftv1.ViewChange {
	return &pbftv1.ViewChange{
		Epoch: m.Epoch, Replica: uint32(m.Replica), Incarnation: m.Incarnation, NewView: m.NewView, H: m.H,
		Certificate: certificateToWire(&m.Certificate), P: pqToWire(m.P), Q: pqToWire(m.Q), Signature: m.Signature[:],
	}
}

func refToWire(r *message.ViewChangeRef) *pbftv1.ViewChangeRef {
	return &pbftv1.ViewChangeRef{Replica: uint32(r.Replica), Digest: r.Digest[:]}
}

func newViewToWire(m *message.NewView) *pbftv1.NewView {
	w := &pbftv1.NewView{
		Epoch: m.Epoch, Replica: uint32(m.Replica), Incarnation: m.Incarnation, View: m.View,
		DecisionDigest: m.DecisionDigest[:], Signature: m.Signature[:],
	}
	for i := range m.ViewChanges {
		w.ViewChanges = append(w.ViewChanges, refToWire(&m.ViewChanges[i]))
	}
	return w
}

func statusToWire(m *message.Status) *pbftv1.Status {
	w := &pbftv1.Status{
		View: m.View, Status: pbftv1.ReplicaStatus(m.Status), VcView: m.VCView, H: m.H,
		LastExecuted: m.LastExecuted, LastCommitted: m.LastCommitted,
		HasBody: m.HasBody, Prepared: m.Prepared, Committed: m.Committed, Accepted: m.Accepted,
		ViewChanges: m.ViewChanges, HasNewView: m.HasNewView, SeenYou: m.SeenYou,
		HighestViewChange: m.HighestViewChange, WantStatus: m.WantStatus, Probe: m.Probe,
	}
	if m.HighestVote != (message.PQ{}) {
		w.HighestVote = pqToWire([]message.PQ{m.HighestVote})[0]
	}
	return w
}

func replyToWire(m *message.Reply) *pbftv1.Reply {
	r := &m.Result
	w := &pbftv1.Reply{
		View: m.View, N: r.N, Client: m.Client, Session: m.Session, Number: r.Number,
		Status: pbftv1.ReplyStatus(r.Status), Replica: uint32(m.Replica),
	}
	if r.Tombstone {
		w.Outcome = &pbftv1.Reply_Tombstone{Tombstone: &pbftv1.Tombstone{Digest: r.Digest[:], Size: r.Size}}
	} else {
		w.Outcome = &pbftv1.Reply_Result{Result: r.Value}
	}
	return w
}

// The other way: every length and range is checked.

func digestFromWire(b []byte) (d crypto.Digest, err error) {
	if len(b) != len(d) {
		return d, reject(Malformed, "digest of %d bytes, need %d", len(b), len(d))
	}
	copy(d[:], b)
	return d, nil
}

func signatureFromWire(b []byte) (s [crypto.SignatureSize]byte, err error) {
	if len(b) != len(s) {
		return s, reject(Malformed, "signature of %d bytes, need %d", len(b), len(s))
	}
	copy(s[:], b)
	return s, nil
}

func replicaFromWire(v uint32) (message.ReplicaID, error) {
	if v >= message.MaxReplicas {
		return 0, reject(Malformed, "replica %d, indexes are below %d", v, message.MaxReplicas)
	}
	return message.ReplicaID(v), nil
}

func checkpointFromWire(w *pbftv1.Checkpoint) (m message.Checkpoint, err error) {
	m = message.Checkpoint{Epoch: w.GetEpoch(), Incarnation: w.GetIncarnation(), N: w.GetN(), Boundary: w.GetBoundary()}
	if m.Replica, err = replicaFromWire(w.GetReplica()); err != nil {
		return m, err
	}
	if m.Digest, err = digestFromWire(w.GetDigest()); err != nil {
		return m, err
	}
	m.Signature, err = signatureFromWire(w.GetSignature())
	return m, err
}

func certificateFromWire(w *pbftv1.Certificate) (c message.Certificate, err error) {
	if len(w.GetVotes()) > message.MaxReplicas {
		return c, reject(TooLarge, "certificate of %d votes, the most allowed is %d", len(w.GetVotes()), message.MaxReplicas)
	}
	for _, v := range w.GetVotes() {
		m, err := checkpointFromWire(v)
		if err != nil {
			return c, err
		}
		c.Votes = append(c.Votes, m)
	}
	return c, nil
}

func pqFromWire(w []*pbftv1.PQEntry) (set []message.PQ, err error) {
	for _, e := range w {
		d, err := digestFromWire(e.GetDigest())
		if err != nil {
			return nil, err
		}
		set = append(set, message.PQ{N: e.GetN(), Digest: d, View: e.GetView()})
	}
	return set, nil
}

func viewChangeFromWire(w *pbftv1.ViewChange) (m *message.ViewChange, err error) {
	m = &message.ViewChange{Epoch: w.GetEpoch(), Incarnation: w.GetIncarnation(), NewView: w.GetNewView(), H: w.GetH()}
	if m.Replica, err = replicaFromWire(w.GetReplica()); err != nil {
		return nil, err
	}
	if m.Certificate, err = certificateFromWire(w.GetCertificate()); err != nil {
		return nil, err
	}
	if m.P, err = pqFromWire(w.GetP()); err != nil {
		return nil, err
	}
	if m.Q, err = pqFromWire(w.GetQ()); err != nil {
		return nil, err
	}
	m.Signature, err = signatureFromWire(w.GetSignature())
	return m, err
}

func refFromWire(w *pbftv1.ViewChangeRef) (r message.ViewChangeRef, err error) {
	if r.Replica, err = replicaFromWire(w.GetReplica()); err != nil {
		return r, err
	}
	r.Digest, err = digestFromWire(w.GetDigest())
	return r, err
}

func newViewFromWire(w *pbftv1.NewView) (m *message.NewView, err error) {
	if len(w.GetViewChanges()) > message.MaxReplicas {
		return nil, reject(TooLarge, "new view of %d view changes, the most allowed is %d", len(w.GetViewChanges()), message.MaxReplicas)
	}
	m = &message.NewView{Epoch: w.GetEpoch(), Incarnation: w.GetIncarnation(), View: w.GetView()}
	if m.Replica, err = replicaFromWire(w.GetReplica()); err != nil {
		return nil, err
	}
	for _, v := range w.GetViewChanges() {
		r, err := refFromWire(v)
		if err != nil {
			return nil, err
		}
		m.ViewChanges = append(m.ViewChanges, r)
	}
	if m.DecisionDigest, err = digestFromWire(w.GetDecisionDigest()); err != nil {
		return nil, err
	}
	m.Signature, err = signatureFromWire(w.GetSignature())
	return m, err
}

func statusFromWire(w *pbftv1.Status) (*message.Status, error) {
	if len(w.GetAccepted()) > message.StatusSpan {
		return nil, reject(TooLarge, "status of %d numbers, the most allowed is %d", len(w.GetAccepted()), message.StatusSpan)
	}
	if s := w.GetStatus(); s < pbftv1.ReplicaStatus_REPLICA_STATUS_STARTING || s > pbftv1.ReplicaStatus_REPLICA_STATUS_HALTED {
		return nil, reject(Malformed, "status %d is unknown", s)
	}
	m := &message.Status{
		View: w.GetView(), Status: message.ReplicaStatus(w.GetStatus()), VCView: w.GetVcView(), H: w.GetH(),
		LastExecuted: w.GetLastExecuted(), LastCommitted: w.GetLastCommitted(),
		HasBody: w.GetHasBody(), Prepared: w.GetPrepared(), Committed: w.GetCommitted(), Accepted: w.GetAccepted(),
		ViewChanges: w.GetViewChanges(), HasNewView: w.GetHasNewView(), SeenYou: w.GetSeenYou(),
		HighestViewChange: w.GetHighestViewChange(), WantStatus: w.GetWantStatus(), Probe: w.GetProbe(),
	}
	if v := w.GetHighestVote(); v != nil {
		set, err := pqFromWire([]*pbftv1.PQEntry{v})
		if err != nil {
			return nil, err
		}
		m.HighestVote = set[0]
	}
	return m, nil
}

// checkRequest checks what names a request.
func checkRequest(client string, number uint64) error {
	if err := crypto.CheckClient(client); err != nil {
		return reject(Malformed, "%w", err)
	}
	if number > crypto.MaxNumber {
		return reject(Malformed, "number %d of client %q, the largest allowed is %d", number, client, uint64(crypto.MaxNumber))
	}
	return nil
}

func replyFromWire(w *pbftv1.Reply) (*message.Reply, error) {
	if err := checkRequest(w.GetClient(), w.GetNumber()); err != nil {
		return nil, err
	}
	if s := w.GetStatus(); s < pbftv1.ReplyStatus_REPLY_STATUS_OK || s > pbftv1.ReplyStatus_REPLY_STATUS_NOT_EXECUTED {
		return nil, reject(Malformed, "reply: status %d is unknown", s)
	}
	from, err := replicaFromWire(w.GetReplica())
	if err != nil {
		return nil, err
	}
	m := &message.Reply{
		View: w.GetView(), Client: w.GetClient(), Session: w.GetSession(), Replica: from,
		Result: crypto.Result{N: w.GetN(), Number: w.GetNumber(), Status: crypto.Status(w.GetStatus()), Value: w.GetResult()},
	}
	if n := len(w.GetSignature()); n != 0 && n != crypto.SignatureSize {
		return nil, reject(Malformed, "reply: signature of %d bytes, allowed are 0 or %d", n, crypto.SignatureSize)
	}
	if t := w.GetTombstone(); t != nil {
		m.Result.Tombstone, m.Result.Size = true, t.GetSize()
		m.Result.Digest, err = digestFromWire(t.GetDigest())
	}
	return m, err
}

func fetchBodyFromWire(w *pbftv1.FetchBody) (*message.FetchBody, error) {
	if len(w.GetDigests()) > message.MaxFetch {
		return nil, reject(TooLarge, "fetch of %d bodies, the most allowed is %d", len(w.GetDigests()), message.MaxFetch)
	}
	m := &message.FetchBody{}
	for _, b := range w.GetDigests() {
		d, err := digestFromWire(b)
		if err != nil {
			return nil, err
		}
		m.Digests = append(m.Digests, d)
	}
	return m, nil
}

func committedFromWire(w *pbftv1.Committed) (*message.Committed, error) {
	if len(w.GetEntries()) > message.MaxCommitted {
		return nil, reject(TooLarge, "statement about %d numbers, the most allowed is %d", len(w.GetEntries()), message.MaxCommitted)
	}
	m := &message.Committed{}
	for _, e := range w.GetEntries() {
		d, err := digestFromWire(e.GetDigest())
		if err != nil {
			return nil, err
		}
		m.Entries = append(m.Entries, message.NDigest{N: e.GetN(), Digest: d})
	}
	return m, nil
}
