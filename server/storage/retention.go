package storage

import "github.com/pbft-go/pbft/server/consensus"

// Retention decides how much of the log must stay: a promise that was made rests
// on it until a state on disk, or the proof of others, takes its place.
type Retention struct {
	stable uint64 // the last durable proof of a low watermark
	voted  uint64 // the highest own vote for a checkpoint, as far as one may have left
	saved  uint64 // the state on disk
	behind uint64 // the state at this number comes from others, if the one on disk is older
}

// NewRetention begins where the log leaves a replica; the state on disk is the
// one at saved.
func NewRetention(saved uint64, at consensus.Position) Retention {
	return Retention{stable: at.LowWatermark, voted: at.Voted, saved: saved}
}

// Durable takes note of records that are durable now.
func (r *Retention) Durable(records []consensus.Record) {
	for i := range records {
		switch rec := &records[i]; rec.Kind {
		case consensus.RecStable:
			r.stable = max(r.stable, rec.N)
		case consensus.RecCheckpoint:
			r.voted = max(r.voted, rec.N)
		}
	}
}

// Saved says that the state at n is on disk: with it goes what led there.
func (r *Retention) Saved(n uint64) { r.saved = max(r.saved, n) }

// Behind says that the state at n, which is stable, is being fetched and takes the
// place of the one on disk: the log up to there leads nowhere, unless an own vote
// for a checkpoint rests on it. Until a state at n or above is saved no checkpoint
// may be voted for.
func (r *Retention) Behind(n uint64) { r.behind = max(r.behind, n) }

// Stable reports whether the checkpoint at n, or one above it, is proven on disk.
func (r *Retention) Stable(n uint64) bool { return n <= r.stable }

// Floor is the number up to which the log may go.
func (r *Retention) Floor() uint64 {
	floor := min(r.stable, r.saved)
	if r.behind > r.voted {
		// Who voted for the state at behind, which is not this replica, can give
		// it back, and so nobody needs an older one.
		floor = max(floor, min(r.stable, r.behind))
	}
	return floor
}

// MaxLazy is how many records may wait for one that is Urgent.
const MaxLazy = 256

// Urgent reports whether any of the records must be durable soon. The others may
// be forgotten in a crash unless a later one rests on them: peers tell them again.
// A body is large, so it does not wait.
func Urgent(records []consensus.Record) bool {
	for i := range records {
		if k := records[i].Kind; k != consensus.RecCommitted && k != consensus.RecSeen {
			return true
		}
	}
	return false
}
