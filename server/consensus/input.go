package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// PersistID numbers the batches of records that the core asks to persist,
// from 1. 0 stands for "nothing to wait for".
type PersistID uint64

// InputKind says which fields of an Input are set.
type InputKind uint8

// What can happen to a replica.
const (
	InMessage         InputKind = iota + 1 // From, Msg: decoded, sender known, signatures verified
	InRequest                              // Group, Source, Ticket: from a client at this replica
	InTick                                 // Tick, WallUS
	InDurable                              // K: all records up to K survive a crash
	InExecuted                             // Executed: an Exec was carried out
	InCheckpointReady                      // State: the state after an Exec with Checkpoint set
	InFlush                                // the host has no more inputs in this turn
	InComplaint                            // a client asks for a view change
	InDrain                                // the host wants to stop
	InConnected                            // From: a link to a peer came up
	InStart                                // the first input: the host is ready for effects
	InStateInstalled                       // State, Executed.Windows: the state that Install asked for is in place
)

// Input is one thing that happens to a replica.
type Input struct {
	Kind     InputKind
	From     message.ReplicaID
	Msg      message.Message
	Group    crypto.GroupView
	Source   Source
	Ticket   uint64 // names the caller in Admitted and Resend; 0: nobody waits
	Tick     uint64 // rising; one tick is Config.Tick
	WallUS   int64  // the host's clock, microseconds since 1970
	K        PersistID
	Executed *Executed
	State    *message.State
}

// Source says how a client's group came here.
type Source struct {
	Alone bool // the caller talks to this replica only: pass it on at once
	Retry bool // sent before, to whichever replica
	JSON  bool // came by JSON: on a retransmission every replica answers
}

// Executed reports that batch N was executed.
type Executed struct {
	N       uint64
	Windows []Window // of the clients of the batch, and of evicted ones
}

// Window is the state of one client in the client table after a batch.
type Window struct {
	Client string
	Gone   bool // evicted: nothing is known of the client any more
	Low    uint64
	// Bits has bit x mod W set for each executed number x in [Low, Low+W).
	// The core copies it.
	Bits []uint64
}
