package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Effects is what a replica wants done after a turn of steps, in the order of
// the fields. The host performs them once and calls Reset.
type Effects struct {
	// Records to persist as batch K, in order. One sync covers all up to K;
	// a crash leaves a prefix of all batches that holds the synced ones. Then
	// the host steps InDurable with K.
	Records []Record
	K       PersistID

	// Sends in order. One with After set leaves only once After is durable:
	// it is a promise, and a replica must not promise what it could forget.
	Sends []Send
	// LiveGen: held sends with 0 < Gen < LiveGen must not leave any more:
	// they are votes of a view that was given up.
	LiveGen uint64

	Execs   []Exec   // to execute, by rising N without gaps
	Resends []Resend // stored outcomes to send again
	Serves  []Serve  // parts of the log that the host keeps below the window
	// Install asks for the state that a certificate proves: the log up to
	// there is gone, or does not come. The host fetches it from the others,
	// verifies it, puts it in the place of the own one, skips Execs up to it,
	// and steps InStateInstalled with all clients' windows. A newer Install
	// takes the place of an older one.
	Install  *message.Certificate
	Admitted []Admitted // what became of groups with a ticket
	Events   []Event
	Halt     *Halt
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Records)
	clear(e.Sends)
	clear(e.Execs)
	clear(e.Resends)
	*e = Effects{
		Records: e.Records[:0], Sends: e.Sends[:0], Execs: e.Execs[:0], Resends: e.Resends[:0],
		Serves: e.Serves[:0], Admitted: e.Admitted[:0], Events: e.Events[:0], LiveGen: e.LiveGen,
	}
}

// RecordKind says what a record says. The values are a format.
type RecordKind uint8

// The records R1 to R8 of docs/protocol.md; R9, the application's state, is
// written by execution.
const (
	RecAccept     RecordKind = 1  // R1: Digest accepted at N in View; Batch unless its body was recorded before, or is null
	RecPrepared   RecordKind = 2  // R2: prepared for Digest at N in View
	RecCommitted  RecordKind = 3  // R3: Digest is committed at N; View is that of its commits, as far as known
	RecViewChange RecordKind = 4  // R4: Msg was signed for View
	RecNewView    RecordKind = 5  // R5: View was installed by Msg, which names Set
	RecCheckpoint RecordKind = 6  // R6: own vote Msg at N
	RecStable     RecordKind = 7  // R7: Certificate; everything up to N may go
	RecStarted    RecordKind = 8  // R8: proposed in this incarnation
	RecSeen       RecordKind = 9  // R8: Replica voted in this epoch
	RecBody       RecordKind = 10 // R3: Batch, with Digest at N, which was committed without having been accepted here
	RecJoined     RecordKind = 11 // R8: this replica takes part: it is new, or it was let in
	RecLost       RecordKind = 12 // R8: peers hold votes of it that its disk lost: it never votes again
)

// Record is one fact that must survive a crash.
type Record struct {
	Kind        RecordKind
	Selected    bool // R1: by a new view
	N, View     uint64
	Digest      crypto.Digest
	Batch       *message.Batch
	Msg         message.Message       // *ViewChange, *NewView or *Checkpoint
	Set         []*message.ViewChange // parallel to the new view's references
	Certificate *message.Certificate
	Replica     message.ReplicaID
}

// Everyone addresses all other replicas.
const Everyone = -1

// Send is a message to one replica, or to Everyone else.
type Send struct {
	To    int
	Msg   message.Message
	After PersistID
	Gen   uint64 // not 0: a vote of view Gen-1
}

// Exec asks to execute the batch at N.
type Exec struct {
	Epoch, N, View uint64
	TimeUS         int64 // agreed time; the last batch's for empty ones
	Digest         crypto.Digest
	Batch          *message.Batch // nil: the null batch
	Checkpoint     bool           // report the state after it by InCheckpointReady
	Answer         bool           // reply to clients; false: this replica's word is worth nothing
	Stable         uint64         // the last stable checkpoint: the host keeps its state for others, and those above it
}

// Resend asks to send a stored outcome again.
type Resend struct {
	Group   crypto.GroupView
	Request crypto.Request // aliases Group
	Ticket  uint64         // the caller at this replica, or 0
	Peer    int            // the peer that relayed it, or -1
	URL     bool           // POST to the request's reply_url
}

// Serve asks to send what the core has dropped already but the host may keep:
// bodies by digest, or statements of Committed for First to Last.
type Serve struct {
	To          message.ReplicaID
	Digests     []crypto.Digest
	Budget      int    // bytes of bodies at most, one body always
	First, Last uint64 // 0: none
}

// Reason says why something was refused. Refusals of peers' messages are
// counted per peer; those of groups reach the caller.
type Reason uint8

// Reasons.
const (
	OK             Reason = iota
	NotReady              // this replica does not take part
	WindowExceeded        // numbers of one client span too much
	ClientQuota           // the client has too much waiting
	Overloaded            // the replica has too much waiting
	PeerQuota             // the peer's share of pending requests is used up
	BadRequest            // a rule of validity is broken
	WrongView             // not for the present view
	NotPrimary            // a proposal from a backup
	OutsideWindow         // number outside the watermarks
	Equivocation          // contradicts what the same replica said before
	BadBatch              // header or groups are invalid
	ClockSkew             // proposed time too far from the own clock
	TooManyFresh          // more different fresh digests at one number than allowed
	WindowBytes           // fresh bodies of the view exceed window_bytes
	BelowTop              // fresh proposal at a number that the new view decided
	NotBoundary           // checkpoint vote at a number without checkpoint
	Unsolicited           // an answer that was not asked for
	BadSignature          // does not verify
	StaleVote             // an older or equal vote of the same sender is held
	TooLarge              // more entries than allowed
	FromSelf              // claims to be from this replica
	NotSupported          // not served yet
	BadNewViewSet         // a new view that does not follow from its view changes
	numReasons
)

var reasonNames = [numReasons]string{
	"ok", "not_ready", "window_exceeded", "client_quota", "overloaded", "peer_quota", "bad_request",
	"wrong_view", "not_primary", "outside_window", "equivocation", "bad_batch", "clock_skew",
	"too_many_fresh", "window_bytes", "below_top", "not_boundary", "unsolicited", "bad_signature",
	"stale_vote", "too_large", "from_self", "not_supported", "bad_new_view",
}

// String names the reason as metrics and logs do.
func (r Reason) String() string {
	if r >= numReasons {
		return "unknown"
	}
	return reasonNames[r]
}

// Admitted tells what became of a group with a ticket. With Reason OK it is
// pending, was pending already, or is answered by Resend.
type Admitted struct {
	Ticket uint64
	Reason Reason
}

// EventKind names a fact for log and metrics.
type EventKind uint8

// Facts.
const (
	EvStatus       EventKind = iota + 1 // the replica's status is now Status, because Text
	EvRejected                          // a message of Replica was refused, for Reason
	EvEquivocation                      // Replica contradicted itself at N
	EvStable                            // checkpoint N is stable
	EvDiverged                          // own state at N differs from the certificate
	EvSplit                             // correct replicas may disagree at checkpoint N
	EvStalled                           // nothing was executed for half the timeout
	EvComplaint                         // a client asked for a view change
	EvClockSkew                         // the primary's clock differs too much from the own one
	EvViewChange                        // this replica asked for view N, because of Cause
	EvNewView                           // view N was installed
	EvBehind                            // the state at N is fetched from other replicas: the log up to there is gone
	EvInstalled                         // the state at N came from other replicas
)

// Event is a fact for log and metrics. It has no effect.
type Event struct {
	Kind    EventKind
	Replica message.ReplicaID
	N       uint64
	Reason  Reason
	Cause   Cause
	Status  message.ReplicaStatus
	Text    string
}

// Halt says why the replica must stop: it met a contradiction that cannot be
// with at most f faulty replicas.
type Halt struct{ Reason string }
