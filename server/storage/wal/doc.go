// Package wal is the durable log of what a replica has voted for and of the
// bodies behind it: records go in by Append and come out, in the same order, at
// the next Open. It is the one place that must not forget: see section 5 of
// docs/protocol.md. The format is in docs/log-format.md.
//
// # What it promises
//
// After a crash the log holds whole appends only, in order, without a gap: all
// that had returned, and perhaps the one that had not. Each append is one frame
// and one synced write of whole blocks that no later write touches. A frame
// names its counter, k, and what frame k-1 was, and is written only once that
// one is durable. So what follows the last good frame is either the one write
// that power cut, which nobody was told of, and is dropped; or something with a
// higher counter is found behind it, and then the log is damaged: Open returns a
// CorruptError, and the replica must not go on.
//
// What Open gives is durable when it returns, too. A process that is killed in a
// write leaves it to the next one to read, without having synced it; so Open
// writes the last frame again, as it is.
//
// # What it cannot see
//
// A device that says it has synced what it then loses leaves a log that ends
// early and is in order. So does an old copy of the directory. That a clean end
// is missing proves nothing, because a crash leaves none either. The other
// replicas remember this one's votes, and tell it when it comes back.
//
// # Segments
//
// The log is a row of files of one size, full of zeros or old frames before the
// first frame is put into them, so that a write changes no metadata. Release
// lets the oldest ones go, which are then written again. What still stands but
// was recorded long ago, such as the present view, is copied to the start of
// each segment. A record about a sequence number keeps its segment until that
// number is released.
package wal
