package wire

import (
	"time"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// Limits on one message of a session. Two bytes on the wire may become a
// hundred in memory, so the size of a message alone bounds too little.
const (
	MaxItems    = 4096    // of each list: opens, groups, outcomes, closes, blocks, singles, refusals
	MaxRequests = 1 << 16 // requests of all groups, results of all blocks
)

// SessionRequest is everything that waited at the client in one turn
// (pbft.v1.SessionRequest).
type SessionRequest struct {
	Opens    []Open
	Groups   []Group
	Outcomes []OutcomeQuery
	Closes   []uint32 // handles
}

// Open names a session of one client id and ties the stream to its replies.
type Open struct {
	Handle    uint32 // the session's number on this stream, drawn by the client
	Client    string
	Session   uint64
	Digests   bool // one digest per batch is enough; false: results in full
	Signature []byte
}

// Group is what one session submits in one turn.
type Group struct {
	Handle    uint32
	Requests  []crypto.Request
	Signature []byte
	Alone     bool // the client talks to this replica only
	Retry     bool // sent before, to whichever replica
}

// OutcomeQuery asks this replica for one outcome; a Single answers it.
type OutcomeQuery struct {
	Handle  uint32
	Number  uint64
	Session uint64 // 0: any
}

// SessionResponse is everything that waited at the replica in one turn
// (pbft.v1.SessionResponse).
type SessionResponse struct {
	Info     *ServerInfo // first message, and again when it changed; else nil
	Blocks   []Block
	Singles  []Single
	Refusals []Refusal
}

// ServerInfo tells a client what it talks to.
type ServerInfo struct {
	Index, Replicas   int
	View, Epoch       uint64
	Cluster           crypto.ClusterID
	ClientWindow      uint64 // outstanding numbers of a client span less than this
	MaxGroup          int    // requests
	MaxGroupBytes     int    // bytes of a group of more than one request
	MaxOperationBytes int
	Normal            bool // takes part in ordering
}

// Block answers every request of one session in one batch, in batch order.
type Block struct {
	Handle  uint32
	N, View uint64
	Digest  crypto.Digest // of the canonical list; set if Results is nil
	Results []crypto.Result
}

// Single answers one retransmission or query.
type Single struct {
	Handle  uint32
	View    uint64
	Client  string
	Session uint64
	Replica int
	Result  crypto.Result
}

// Refusal says that a group was not admitted at this replica.
type Refusal struct {
	Handle      uint32
	First, Last uint64 // smallest and largest number of the group
	Reason      pbftv1.RefusalReason
	Message     string
	RetryAfter  time.Duration // whole milliseconds; 0: never
}
