package consensus

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Garbage collection (OSDI '99 section 4.3): checkpoints, stable certificates,
// watermarks.

// checkpoints collects votes for the checkpoint numbers of the log.
type checkpoints struct {
	interval uint64
	votes    []ckptVotes          // of the numbers in the window, at (n/K) mod len
	stable   *message.Certificate // of h, or of what h becomes once its record is durable; never changed in place
	diverged bool                 // own state differs from a certificate
}

// ckptVotes are the votes at one number, one per replica, the first one.
type ckptVotes struct {
	n        uint64
	own      *message.Checkpoint // signed here
	promised bool                // and given to be sent
	votes    []*message.Checkpoint
	split    bool
}

func (k *checkpoints) init(c *Config) {
	k.interval, k.stable = c.Interval, &message.Certificate{}
	k.votes = make([]ckptVotes, c.Window/c.Interval+1)
	for i := range k.votes {
		k.votes[i].votes = make([]*message.Checkpoint, c.N)
	}
}

// at finds the votes of a checkpoint number in the log.
func (k *checkpoints) at(n uint64) *ckptVotes {
	v := &k.votes[n/k.interval%uint64(len(k.votes))]
	if v.n != n {
		clear(v.votes)
		*v = ckptVotes{n: n, votes: v.votes}
	}
	return v
}

// onCheckpointReady votes for the own state at n.
func (r *Replica) onCheckpointReady(s *message.State) {
	digest := message.CheckpointDigest(r.c.Cluster, s)
	r.compare(s.N, digest)
	if !r.inWindow(s.N) {
		return // stable meanwhile
	}
	m := &message.Checkpoint{
		Epoch: r.c.Epoch, Replica: r.c.Self, Incarnation: r.c.Incarnation,
		N: s.N, Digest: digest,
	}
	m.Signature = r.sign(crypto.TagCheckpoint, m.AppendSigned(nil))
	v := r.ckpt.at(s.N)
	if !r.sameVote(v, digest) {
		return
	}
	v.own = m
	r.voteCheckpoint(v)
}

// voteCheckpoint sends the own vote at a number, once, in a status in which this
// replica votes on checkpoints: between two views too.
func (r *Replica) voteCheckpoint(v *ckptVotes) {
	if v.own == nil || v.promised || r.ckpt.diverged || r.status != message.Normal && r.status != message.Changing {
		return
	}
	v.promised = true
	k := r.record(Record{Kind: RecCheckpoint, N: v.n, Digest: v.own.Digest, Msg: v.own})
	r.promise(k, promiseCheckpoint, v.n)
	if r.c.N > 1 {
		r.out.Sends = append(r.out.Sends, Send{To: Everyone, Msg: v.own, After: k})
	}
}

// voteCheckpoints sends the own votes that waited for this replica to take part.
func (r *Replica) voteCheckpoints() {
	for n := r.h + r.c.Interval; r.inWindow(n); n += r.c.Interval {
		r.voteCheckpoint(r.ckpt.at(n))
	}
}

// ownCheckpointDurable counts the own vote.
func (r *Replica) ownCheckpointDurable(n uint64) {
	if n <= r.h {
		return
	}
	if v := r.ckpt.at(n); v.own != nil {
		v.votes[r.c.Self] = v.own
		r.tryCertificate(v)
	}
}

// onCheckpoint takes a vote, signed by the replica that it names; anybody may
// bring it.
func (r *Replica) onCheckpoint(from message.ReplicaID, m *message.Checkpoint) {
	switch {
	case m.Epoch != r.c.Epoch || int(m.Replica) >= r.c.N || m.Replica == r.c.Self:
		r.reject(from, BadSignature, m.N)
		return
	case m.N%r.c.Interval != 0 || m.N == 0:
		r.reject(from, NotBoundary, m.N)
		return
	case m.N <= r.h:
		return // stable here
	}
	if m.Replica == from {
		r.saw(from, message.PQ{})
	}
	if !r.inWindow(m.N) {
		// The sender is far ahead: its status will say so, and bring the
		// certificate.
		return
	}
	v := r.ckpt.at(m.N)
	if old := v.votes[m.Replica]; old != nil {
		if old.Digest != m.Digest || old.Boundary != m.Boundary {
			r.event(Event{Kind: EvEquivocation, Replica: m.Replica, N: m.N})
		}
		return
	}
	v.votes[m.Replica] = m
	r.tryCertificate(v)
}

// tryCertificate looks for a quorum of equal votes.
func (r *Replica) tryCertificate(v *ckptVotes) {
	votes := 0
	for _, first := range v.votes {
		if first == nil {
			continue
		}
		votes++
		var c message.Certificate
		for _, m := range v.votes {
			if m != nil && m.Digest == first.Digest && m.Boundary == first.Boundary {
				c.Votes = append(c.Votes, *m)
			}
		}
		if len(c.Votes) >= r.q {
			c.Votes = c.Votes[:r.q]
			r.certified(&c)
			return
		}
	}
	if votes >= r.c.N-r.f && !v.split {
		v.split = true
		r.event(Event{Kind: EvSplit, N: v.n, Text: describeSplit(v)})
	}
}

func describeSplit(v *ckptVotes) (s string) {
	for i, m := range v.votes {
		if m != nil {
			s += fmt.Sprintf(" %d:%s", i, m.Digest)
		}
	}
	return "votes by replica:" + s
}

// onStableCertificate takes a certificate, verified by the transport.
func (r *Replica) onStableCertificate(from message.ReplicaID, m *message.StableCertificate) {
	if n := m.Certificate.N(); n%r.c.Interval != 0 {
		r.reject(from, NotBoundary, n)
		return
	}
	r.certified(&m.Certificate)
}

// certified moves the low watermark to a newer proof, whether the own state is
// there or not: a replica behind it catches up, and votes above it meanwhile.
func (r *Replica) certified(c *message.Certificate) {
	n := c.N()
	if n <= r.ckpt.stable.N() {
		return
	}
	r.ckpt.stable = c
	if r.inWindow(n) {
		if own := r.ckpt.at(n).own; own != nil {
			r.compare(n, own.Digest)
		}
	}
	k := r.record(Record{Kind: RecStable, N: n, Certificate: c})
	r.promise(k, promiseStable, n)
	r.event(Event{Kind: EvStable, N: n})
}

// compare holds the digest of the own state at n against the certificate, if
// that is of n.
func (r *Replica) compare(n uint64, own crypto.Digest) {
	c := r.ckpt.stable
	if c.N() != n || r.ckpt.diverged || own == c.Votes[0].Digest {
		return
	}
	r.ckpt.diverged = true
	r.event(Event{Kind: EvDiverged, N: n, Text: fmt.Sprintf("own state at %d is %s, a quorum certified %s", n, own.Hex(), c.Votes[0].Digest.Hex())})
}

// stableDurable discards the log up to n: the certificate stands for it.
func (r *Replica) stableDurable(n uint64) {
	if n <= r.h {
		return
	}
	r.truncate(n)
	r.highest, r.due = max(r.highest, n), max(r.due, n)
	r.lastCommitted = max(r.lastCommitted, n)
	r.advanceCommitted()
	r.tryExecute()
	r.fallBehind()
}

// Certificate is the proof of the low watermark.
func (r *Replica) Certificate() *message.Certificate { return r.ckpt.stable }

// sendCertificate sends the proof of h to a peer whose h is lower.
func (r *Replica) sendCertificate(to message.ReplicaID) {
	if len(r.ckpt.stable.Votes) > 0 && r.spend(to, 128*len(r.ckpt.stable.Votes)) {
		r.send(int(to), &message.StableCertificate{Certificate: *r.ckpt.stable})
	}
}

// resendCheckpoints sends the own votes above h again.
func (r *Replica) resendCheckpoints(to message.ReplicaID, h uint64) {
	for n := max(h, r.h)/r.c.Interval*r.c.Interval + r.c.Interval; n <= r.lastExec && r.inWindow(n); n += r.c.Interval {
		if m := r.ckpt.at(n).votes[r.c.Self]; m != nil && r.spend(to, 128) {
			r.send(int(to), m)
		}
	}
}

// askCertificate asks a peer that is far ahead for its proof.
func (r *Replica) askCertificate(from message.ReplicaID, m *message.Status) {
	p := &r.peers[from]
	if m.H > r.h && (p.fetchedAt == 0 || r.tick-p.fetchedAt >= r.busyInterval()) {
		p.fetchedAt = max(r.tick, 1)
		r.send(int(from), &message.FetchCertificate{Epoch: r.c.Epoch})
	}
}

func (r *Replica) onFetchCertificate(from message.ReplicaID, m *message.FetchCertificate) {
	if m.Epoch != r.c.Epoch {
		r.reject(from, NotSupported, 0)
		return
	}
	r.sendCertificate(from)
}
