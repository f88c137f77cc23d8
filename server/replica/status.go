package replica

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// Status gathers what operators ask for.
func (b *backend) Status(ctx context.Context) (*pbftv1.GetStatusResponse, error) {
	r := b.r()
	var info consensus.Info
	var cert message.Certificate
	if err := r.inspect(ctx, func() { info, cert = r.core.Info(), *r.core.Certificate() }); err != nil {
		return nil, err
	}
	n := len(r.cfg.Nodes)
	u := processUsage()
	s := &pbftv1.GetStatusResponse{
		Index: uint32(r.o.Index), ClusterId: r.cluster[:], Version: r.o.Version, Incarnation: incarnation,
		View: info.View, Primary: uint32(consensus.Primary(info.View, n)), Status: pbftv1.ReplicaStatus(r.status.Load()),
		Replicas: uint32(n), MaxFaulty: uint32(consensus.MaxFaulty(n)), Quorum: uint32(consensus.Quorum(n)),
		LowWatermark: info.LowWatermark, HighWatermark: info.LowWatermark + uint64(r.cfg.Window()),
		LastExecuted: info.LastExecuted, LastCommitted: info.LastCommitted,
		Installing:      info.Installing,
		PendingRequests: uint64(info.Pending), PendingBytes: uint64(info.PendingBytes),
		Complaints: r.complaints.Load(), UptimeS: uint64(time.Since(r.started).Seconds()),
		CpuUserUs: u.userUS, CpuSystemUs: u.systemUS, ResidentBytes: u.residentB, ResidentPeakBytes: u.residentPB,
		Pid: uint32(os.Getpid()), Durability: r.cfg.Durability, ClientAuth: r.cfg.ClientAuth,
		StateMachine: r.cfg.StateMachine, DevelopmentKeys: true, LossPercent: r.cfg.LossPercent,
		QuorumConnected: r.connected() >= consensus.Quorum(n),
		Turns:           durations(&r.turns), Syncs: durations(&r.syncs),
	}
	if d := r.disk; d != nil {
		s.DataDir, s.LogBytes, s.StateBytes = r.cfg.ReplicaDir(r.o.Index), uint64(d.store.LogBytes()), d.store.State.DiskUsage()
	}
	if s.Status != pbftv1.ReplicaStatus_REPLICA_STATUS_NORMAL {
		if err := b.Ready(); err != nil {
			s.StatusReason = err.Error()
		}
	}
	if err := r.addExecuted(ctx, s, &cert); err != nil {
		return nil, err
	}
	r.addPeers(s, &info)
	return s, nil
}

// addExecuted adds what the executor knows.
func (r *Replica) addExecuted(ctx context.Context, s *pbftv1.GetStatusResponse, cert *message.Certificate) error {
	_, err := askWait(ctx, r.exec, func(e *execution.Engine) bool {
		s.ExecutedRequests, s.HistoryFirst, s.Clients, s.Saved = e.ExecutedRequests(), e.HistoryFirst(), uint64(e.Clients()), e.SavedN()
		s.Checkpoint = &pbftv1.CheckpointInfo{}
		if len(cert.Votes) == 0 {
			return true
		}
		s.Checkpoint.N, s.Checkpoint.Digest = cert.N(), cert.Votes[0].Digest[:]
		for i := range cert.Votes {
			s.Checkpoint.Signers = append(s.Checkpoint.Signers, uint32(cert.Votes[i].Replica))
		}
		if st := e.CheckpointState(cert.N()); st != nil {
			s.Checkpoint.AppRoot, s.Checkpoint.ClientsRoot, s.Checkpoint.HistoryRoot = st.AppRoot[:], st.ClientsRoot[:], st.HistoryRoot[:]
		}
		return true
	})
	return err
}

// addPeers adds what is known of the links and the peers' last words.
func (r *Replica) addPeers(s *pbftv1.GetStatusResponse, info *consensus.Info) {
	totals, rejected, equivocations := r.events.counters(len(r.cfg.Nodes))
	for _, p := range r.transport.Peers() {
		last := &info.Peers[p.Index]
		s.Peers = append(s.Peers, &pbftv1.PeerInfo{
			Index: uint32(p.Index), Address: p.Address, Connected: p.Connected,
			View: last.View, Status: pbftv1.ReplicaStatus(last.Status), LastExecuted: last.LastExecuted, LowWatermark: last.H,
			Rejected: rejected[p.Index] + p.Rejected, Equivocations: equivocations[p.Index],
			Dropped: p.Dropped, QueuedBytes: uint64(p.QueuedBytes), LastError: p.LastError,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		s.Counters = append(s.Counters, &pbftv1.Counter{Name: name, Value: totals[name]})
	}
	s.Counters = append(s.Counters, r.gateway.Counters()...)
	slices.SortFunc(s.Counters, func(a, b *pbftv1.Counter) int { return strings.Compare(a.GetName(), b.GetName()) })
}

func durations(t *times) *pbftv1.Durations {
	d := &pbftv1.Durations{LongestUs: uint64(t.longest().Microseconds())}
	for i := range t.counts {
		d.Counts = append(d.Counts, t.counts[i].Load())
	}
	return d
}

// logEntry shows one executed batch.
func logEntry(e *execution.LogEntry) *pbftv1.LogEntry {
	h := &e.Header
	out := &pbftv1.LogEntry{
		Header: &pbftv1.Header{Epoch: h.Epoch, N: h.N, WallUs: h.WallUS, Count: h.Count, Bytes: h.Bytes, GroupsRoot: h.GroupsRoot[:]},
		Digest: e.Digest[:], View: e.View, TimeUs: e.TimeUS,
	}
	for i := range e.Requests {
		q := &e.Requests[i]
		out.Requests = append(out.Requests, &pbftv1.LoggedRequest{
			Client: q.Client, Session: q.Session, Number: q.Number, Kind: pbftv1.RequestKind(q.Kind), Op: q.Op,
			Origin: uint32(q.Origin), Status: pbftv1.ReplyStatus(q.Status), Executed: q.Executed,
		})
	}
	return out
}
