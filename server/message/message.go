// Package message holds the protocol's messages as plain structs, their
// canonical bytes and the checks of size and shape that need no state.
//
// A message that reaches the core was decoded by its channel's end, which
// knows the sender; signatures, nested ones too, were verified before.
package message

import "github.com/pbft-go/pbft/crypto"

// Version of the wire and of all canonical bytes.
const Version = 1

// MaxReplicas is the most members a cluster may have: bitmaps of replicas are
// 64 bits wide.
const MaxReplicas = 64

// ReplicaID is a replica's position in the configuration.
type ReplicaID uint16

// Message is one of the message structs below, by pointer.
type Message interface{ message() }

// PrePrepare proposes a batch for Header.N in View.
type PrePrepare struct {
	View  uint64
	Batch *Batch // nil: the sender proposed what is invalid
}

// Prepare is the first vote: the sender accepted Digest at N in View.
type Prepare struct {
	View, N uint64
	Digest  crypto.Digest
}

// Commit is the second vote: the sender is prepared for Digest at N in View.
type Commit struct {
	View, N uint64
	Digest  crypto.Digest
}

// Checkpoint is a signed statement about the state after N.
type Checkpoint struct {
	Epoch       uint64
	Replica     ReplicaID
	Incarnation uint32
	N           uint64
	Digest      crypto.Digest
	Boundary    uint64 // last number of the epoch where known at N, else 0
	Signature   [crypto.SignatureSize]byte
}

// Certificate proves a stable checkpoint: a quorum of equal votes of distinct
// replicas, by replica. The zero value stands for the genesis checkpoint 0.
type Certificate struct{ Votes []Checkpoint }

// N is the sequence number that the certificate proves, 0 for genesis.
func (c *Certificate) N() uint64 {
	if len(c.Votes) == 0 {
		return 0
	}
	return c.Votes[0].N
}

// PQ is one entry of the sets P and Q.
type PQ struct {
	N      uint64
	Digest crypto.Digest
	View   uint64
}

// ViewChange asks for NewView and says what its sender knows.
type ViewChange struct {
	Epoch       uint64
	Replica     ReplicaID
	Incarnation uint32
	NewView     uint64
	H           uint64
	Certificate Certificate
	P, Q        []PQ // sorted by N, then Digest
	Signature   [crypto.SignatureSize]byte
}

// ViewChangeRef names a view change.
type ViewChangeRef struct {
	Replica ReplicaID
	Digest  crypto.Digest
}

// NewView announces View and the view changes that justify it.
type NewView struct {
	Epoch          uint64
	Replica        ReplicaID
	Incarnation    uint32
	View           uint64
	ViewChanges    []ViewChangeRef // sorted by Replica
	DecisionDigest crypto.Digest
	Signature      [crypto.SignatureSize]byte
}

// ReplicaStatus says how far a replica takes part; numbered as on the wire.
type ReplicaStatus uint8

// The states of a replica.
const (
	Starting ReplicaStatus = 1 // started empty, asks whether it ever voted
	Normal   ReplicaStatus = 2 // votes in its view
	Changing ReplicaStatus = 3 // between two views
	Learner  ReplicaStatus = 4 // lost what it promised: follows, never votes
	Halted   ReplicaStatus = 5 // met a contradiction: does nothing any more
)

// String names the status as logs do.
func (s ReplicaStatus) String() string {
	return [...]string{"unknown", "starting", "normal", "changing", "learner", "halted"}[min(int(s), 5)%6]
}

// StatusSpan is how many numbers above LastCommitted a Status describes.
const StatusSpan = 64

// Status tells a peer where the sender stands. Bit i of the bitmaps and entry
// i of Accepted stand for LastCommitted+1+i.
type Status struct {
	View              uint64
	Status            ReplicaStatus
	VCView            uint64
	H                 uint64
	LastExecuted      uint64
	LastCommitted     uint64
	HasBody           uint64
	Prepared          uint64
	Committed         uint64
	Accepted          []uint64 // first 8 bytes of the digests, 0: none; at most StatusSpan
	ViewChanges       uint64   // by replica
	HasNewView        bool
	SeenYou           bool // a vote of the receiver was seen in this epoch
	HighestVote       PQ   // of the receiver; zero: none
	HighestViewChange uint64
	WantStatus        bool // answer with a Status
	Probe             bool // to the primary: propose something
}

// Relay passes a group on.
type Relay struct {
	Group  crypto.GroupView
	Watch  bool // pass it to the primary and watch over it
	Answer bool // whoever executed it calls its reply_url
}

// MaxFetch is the most digests in a FetchBody.
const MaxFetch = 64

// FetchBody asks for bodies by digest, at most MaxFetch.
type FetchBody struct{ Digests []crypto.Digest }

// Body answers FetchBody.
type Body struct{ Batch *Batch }

// FetchViewChange asks for a view change that a new view names.
type FetchViewChange struct {
	Ref  ViewChangeRef
	View uint64
}

// FetchCommitted asks for statements about From to To.
type FetchCommitted struct{ From, To uint64 }

// NDigest is a number and the digest committed there.
type NDigest struct {
	N      uint64
	Digest crypto.Digest
}

// MaxCommitted is the most entries in a Committed.
const MaxCommitted = 1024

// Committed states that the sender knows batches to be committed.
type Committed struct{ Entries []NDigest }

// FetchCertificate asks for the newest stable certificate.
type FetchCertificate struct{ Epoch uint64 }

// StableCertificate carries a certificate.
type StableCertificate struct{ Certificate Certificate }

// Component is a part of the replicated state; numbered as on the wire.
type Component uint8

// The parts that travel in pieces.
const (
	Application Component = 1 // buckets of keys and values
	Clients     Component = 2 // the client table, by client id
	History     Component = 3 // the frontier of the history tree, one piece
)

// FetchManifest asks for the state that a certificate of N with Digest proves.
type FetchManifest struct {
	N      uint64
	Digest crypto.Digest
}

// Manifest answers: what the digest is made of. One of another number says
// that the sender does not have that state, but this one.
type Manifest struct{ State State }

// MaxIndexes is the most indexes in a FetchNodes or FetchPieces.
const MaxIndexes = 256

// FetchNodes asks for the digests of a component's pieces: of the buckets
// below the nodes Indexes of the level above them, or of chunk Indexes[0] of the
// clients. Indexes are consecutive, 1 to MaxIndexes.
type FetchNodes struct {
	N         uint64
	Component Component
	Level     uint32
	Indexes   []uint32
}

// MaxNodes is the most digests in a Nodes.
const MaxNodes = 4096

// Nodes answers FetchNodes.
type Nodes struct {
	N         uint64
	Component Component
	Level     uint32
	First     uint32 // the first index asked for
	Digests   []crypto.Digest
}

// FetchPieces asks for pieces by index, 1 to MaxIndexes, the first one from
// Offset on.
type FetchPieces struct {
	N         uint64
	Component Component
	Indexes   []uint32
	Offset    uint64
}

// MaxFragment is the most bytes in a Piece.
const MaxFragment = 256 << 10

// Piece is a part of a piece of Size bytes.
type Piece struct {
	N            uint64
	Component    Component
	Index        uint32
	Offset, Size uint64
	Data         []byte
}

// FetchReply asks for the outcome of one request; Session 0 is any.
type FetchReply struct {
	Client  string
	Number  uint64
	Session uint64
}

// Reply is the outcome of one request at the sender. It never enters the
// core: the replica that waits on a client's behalf collects replies.
type Reply struct {
	View    uint64
	Client  string
	Session uint64
	Result  crypto.Result
	Replica ReplicaID
}

func (*PrePrepare) message()        {}
func (*Prepare) message()           {}
func (*Commit) message()            {}
func (*Checkpoint) message()        {}
func (*ViewChange) message()        {}
func (*NewView) message()           {}
func (*Status) message()            {}
func (*Relay) message()             {}
func (*FetchBody) message()         {}
func (*Body) message()              {}
func (*FetchViewChange) message()   {}
func (*FetchCommitted) message()    {}
func (*Committed) message()         {}
func (*FetchCertificate) message()  {}
func (*StableCertificate) message() {}
func (*FetchManifest) message()     {}
func (*Manifest) message()          {}
func (*FetchNodes) message()        {}
func (*Nodes) message()             {}
func (*FetchPieces) message()       {}
func (*Piece) message()             {}
func (*FetchReply) message()        {}
func (*Reply) message()             {}
