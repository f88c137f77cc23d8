// Package consensus is PBFT (Castro and Liskov, OSDI '99 and TOCS 2002) as a
// pure state machine.
//
// A Replica has one method that matters: Step takes an Input and appends what
// is to be done to Effects. It starts no goroutine, reads no clock, takes no
// randomness, does no I/O and ranges over no map where the order could show.
// The same inputs give the same effects, byte for byte, so that every run can
// be replayed from its inputs.
//
// # What the host owes
//
// The host steps the inputs of a turn, then InFlush, and performs the effects:
// it persists Records as one batch and steps InDurable(K) once a crash can no
// longer undo it; it sends Sends in order, those with After set not before
// that batch is durable; it executes Execs strictly in order and reports each
// by InExecuted; it digests the state where Exec.Checkpoint is set and reports
// by InCheckpointReady. For Install it fetches the certified state from others,
// verifies it, and reports it by InStateInstalled. The host authenticates: a message comes with the
// sender that its channel proved, parsed, and with all signatures in it
// verified, nested ones too.
//
// # Where the paper's sections are
//
//	The client, 4.1                   request.go, pending.go
//	Normal-case operation, 4.2        batch.go, preprepare.go, prepare.go, commit.go, log.go
//	Execution and agreed time         execute.go
//	Garbage collection, 4.3           checkpoint.go
//	View changes, 4.4                 views.go, newview.go, suspicion.go, complaint.go
//	The new view's content, TOCS fig. decide.go
//	Retransmission                    status.go, fetch.go, timer.go
//	State transfer                    catchup.go; the state itself is the host's
//	Quorums and certificates          quorum.go
//
// # What differs from the paper
//
// The primary's pre-prepare is a proposal only and its prepare an explicit
// vote, so that no sync stands before the proposal. A replica accepts a batch
// that f+1 others prepared, whoever proposed it. It executes on a quorum of
// commits, or on f+1 statements that a batch is committed, without having to
// be prepared itself. A quorum is ceil((n+f+1)/2), which is 2f+1 where
// n = 3f+1.
//
// View changes are signed, and each brings the certificate of its sender's
// stable checkpoint: a proof, where the paper counts claims. Q is bounded by
// what a replica accepts (M digests at a number beside those that new views
// chose), so nothing has to be forgotten. The primary need not hold a body to
// choose it: f+1 senders pre-prepared it, and everybody fetches it from them. A
// primary may give its own view up, and is followed at once.
package consensus
