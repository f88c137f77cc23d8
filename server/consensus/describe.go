package consensus

import (
	"fmt"
	"strings"

	"github.com/pbft-go/pbft/server/message"
)

// Describe gives one short, stable line about a message, for tests and traces.
func Describe(m message.Message) string {
	switch m := m.(type) {
	case *message.PrePrepare:
		if m.Batch == nil {
			return fmt.Sprintf("pre-prepare v%d invalid", m.View)
		}
		return fmt.Sprintf("pre-prepare v%d n%d %s count=%d", m.View, m.Batch.Header.N, m.Batch.Digest, m.Batch.Header.Count)
	case *message.Prepare:
		return fmt.Sprintf("prepare v%d n%d %s", m.View, m.N, m.Digest)
	case *message.Commit:
		return fmt.Sprintf("commit v%d n%d %s", m.View, m.N, m.Digest)
	case *message.Checkpoint:
		return fmt.Sprintf("checkpoint n%d %s by=%d", m.N, m.Digest, m.Replica)
	case *message.StableCertificate:
		return fmt.Sprintf("certificate n%d votes=%d", m.Certificate.N(), len(m.Certificate.Votes))
	case *message.Status:
		line := fmt.Sprintf("status v%d %s h=%d exec=%d committed=%d body=%b prepared=%b committed+=%b seen=%t want=%t",
			m.View, m.Status, m.H, m.LastExecuted, m.LastCommitted, m.HasBody, m.Prepared, m.Committed, m.SeenYou, m.WantStatus)
		if m.Probe {
			line += " probe=true"
		}
		return line
	case *message.Relay:
		return fmt.Sprintf("relay %s#%d count=%d watch=%t answer=%t", m.Group.Client, m.Group.FirstNumber(), m.Group.Count, m.Watch, m.Answer)
	case *message.FetchBody:
		return fmt.Sprintf("fetch-body %v", m.Digests)
	case *message.Body:
		return fmt.Sprintf("body n%d %s", m.Batch.Header.N, m.Batch.Digest)
	case *message.FetchCommitted:
		return fmt.Sprintf("fetch-committed %d..%d", m.From, m.To)
	case *message.Committed:
		var b strings.Builder
		for _, e := range m.Entries {
			fmt.Fprintf(&b, " %d:%s", e.N, e.Digest)
		}
		return "committed" + b.String()
	case *message.FetchCertificate:
		return "fetch-certificate"
	case *message.ViewChange:
		return fmt.Sprintf("view-change v%d by=%d h=%d P=%d Q=%d", m.NewView, m.Replica, m.H, len(m.P), len(m.Q))
	case *message.NewView:
		return fmt.Sprintf("new-view v%d %s of=%d", m.View, m.DecisionDigest, len(m.ViewChanges))
	case *message.FetchViewChange:
		return fmt.Sprintf("fetch-view-change v%d by=%d %s", m.View, m.Ref.Replica, m.Ref.Digest)
	default:
		return fmt.Sprintf("%T", m)
	}
}

var recordNames = map[RecordKind]string{
	RecAccept: "accept", RecPrepared: "prepared", RecCommitted: "committed", RecViewChange: "view-change",
	RecNewView: "new-view", RecCheckpoint: "checkpoint", RecStable: "stable", RecStarted: "started", RecSeen: "seen",
	RecBody: "body", RecJoined: "joined", RecLost: "lost",
}

// Describe gives the effects, one line each, in the order of the contract.
func (e *Effects) Describe() []string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for i := range e.Records {
		r := &e.Records[i]
		if r.Kind == RecSeen {
			line("persist k%d seen replica=%d", e.K, r.Replica)
			continue
		}
		line("persist k%d %s v%d n%d %s", e.K, recordNames[r.Kind], r.View, r.N, r.Digest)
	}
	for i := range e.Sends {
		s := &e.Sends[i]
		to, after := "all", ""
		if s.To != Everyone {
			to = fmt.Sprint(s.To)
		}
		if s.After != 0 {
			after = fmt.Sprintf(" after k%d", s.After)
		}
		line("send %s: %s%s", to, Describe(s.Msg), after)
	}
	for i := range e.Execs {
		x := &e.Execs[i]
		line("execute n%d %s time=%d checkpoint=%t answer=%t", x.N, x.Digest, x.TimeUS, x.Checkpoint, x.Answer)
	}
	for i := range e.Resends {
		s := &e.Resends[i]
		line("resend %s#%d ticket=%d peer=%d url=%t", s.Group.Client, s.Request.Number, s.Ticket, s.Peer, s.URL)
	}
	for i := range e.Serves {
		s := &e.Serves[i]
		line("serve %d: bodies=%v committed=%d..%d", s.To, s.Digests, s.First, s.Last)
	}
	if e.Install != nil {
		line("install n%d", e.Install.N())
	}
	for _, a := range e.Admitted {
		line("admitted ticket=%d %s", a.Ticket, a.Reason)
	}
	for i := range e.Events {
		out = append(out, "event "+e.Events[i].Describe())
	}
	if e.Halt != nil {
		line("halt: %s", e.Halt.Reason)
	}
	return out
}

// Describe gives one line about a fact.
func (e *Event) Describe() string {
	switch e.Kind {
	case EvStatus:
		return fmt.Sprintf("status %s: %s", e.Status, e.Text)
	case EvRejected:
		return fmt.Sprintf("rejected from %d: %s n%d", e.Replica, e.Reason, e.N)
	case EvEquivocation:
		return fmt.Sprintf("equivocation of %d at n%d", e.Replica, e.N)
	case EvStable:
		return fmt.Sprintf("stable n%d", e.N)
	case EvDiverged:
		return "diverged: " + e.Text
	case EvSplit:
		return fmt.Sprintf("split at n%d: %s", e.N, e.Text)
	case EvStalled:
		return fmt.Sprintf("stalled behind n%d", e.N)
	case EvComplaint:
		return "complaint"
	case EvClockSkew:
		return fmt.Sprintf("clock skew to %d at n%d", e.Replica, e.N)
	case EvViewChange:
		return fmt.Sprintf("view change to %d: %s", e.N, e.Cause)
	case EvNewView:
		return fmt.Sprintf("view %d", e.N)
	case EvBehind:
		return fmt.Sprintf("behind: the state at n%d is fetched from other replicas", e.N)
	case EvInstalled:
		return fmt.Sprintf("installed the state at n%d of other replicas", e.N)
	}
	return fmt.Sprintf("event %d", e.Kind)
}
