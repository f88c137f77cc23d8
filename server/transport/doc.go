// Package transport connects a replica with its peers.
//
// The replica with the larger index dials the one with the smaller index and
// opens two streams on one connection: Connect for the protocol, Bulk for
// bodies, so that a large answer delays no vote. The first frame of each
// direction of each stream is a Hello; nothing else is looked at before it was
// checked.
//
// What a replica sends waits in a bounded outbox per peer. A sender puts all
// that waits into one frame, on exactly the protobuf wire of
// proto/pbft/v1/peer.proto. A reader per stream takes frames apart, checks
// every field, verifies signatures, nested ones too, and hands the messages to
// the Handler. What fails a check is dropped and counted per peer and reason;
// a peer that sends much of it is disconnected and let in again only after a
// growing delay.
//
// Nothing is retransmitted here. Whatever is lost with a connection, by a full
// outbox or by the simulated loss, is repaired by the protocol's Status.
package transport
