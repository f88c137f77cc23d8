package gateway

import (
	"slices"
	"sync"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

const (
	// maxHandles bounds the sessions that are open on one stream.
	maxHandles = 65536
	// maxSessions bounds those on all streams.
	maxSessions = 1 << 20
	// maxSubscribers bounds the streams that one session is open on. More than
	// one is rare: a client that lost its connection before this end noticed.
	maxSubscribers = 8
)

// sessionKey names what replies are addressed to.
type sessionKey struct {
	client  string
	session uint64
}

// subscriber is a session as it is open on one stream.
type subscriber struct {
	out     *outbox
	handle  uint32
	digests bool // a digest per batch is enough, where results are long
}

// sessions finds the streams that want a reply.
type sessions struct {
	mu      sync.RWMutex
	byKey   map[sessionKey][]subscriber // oldest first
	streams map[*outbox]struct{}
	count   int // subscribers
}

func newSessions() *sessions {
	return &sessions{byKey: map[sessionKey][]subscriber{}, streams: map[*outbox]struct{}{}}
}

// join makes a stream known and tells it where the replica stands. Asking for
// that under the lock makes sure that announce does not miss a newer word.
func (s *sessions) join(o *outbox, info func() wire.ServerInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[o] = struct{}{}
	now := info()
	o.addInfo(&now)
}

// quit forgets a stream and the sessions that are open on it.
func (s *sessions) quit(o *outbox, open map[uint32]*handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, o)
	for number, h := range open {
		s.remove(h.key, o, number)
	}
}

// open ties a session to a stream, or changes what it wants there. It reports
// false if too many are open. A session that is open on too many streams leaves
// the oldest: the newest is the one that surely lives.
func (s *sessions) open(key sessionKey, sub subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	subs := s.byKey[key]
	if i := find(subs, sub.out, sub.handle); i >= 0 {
		subs[i] = sub // no reply is lost between
		return true
	}
	if len(subs) >= maxSubscribers {
		subs[0].out.addRefusal(wire.Refusal{
			Handle: subs[0].handle, Reason: pbftv1.RefusalReason_REFUSAL_REASON_CLIENT_QUOTA,
			Message: "the session was opened on newer streams and gets no more replies on this one",
		})
		subs = slices.Delete(subs, 0, 1)
		s.count--
	}
	if s.count >= maxSessions {
		return false
	}
	s.count++
	s.byKey[key] = append(subs, sub)
	return true
}

// close unties a session from a stream.
func (s *sessions) close(key sessionKey, o *outbox, number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key, o, number)
}

func (s *sessions) remove(key sessionKey, o *outbox, number uint32) {
	subs := s.byKey[key]
	i := find(subs, o, number)
	if i < 0 {
		return // it left for newer streams
	}
	s.count--
	if len(subs) == 1 {
		delete(s.byKey, key)
		return
	}
	s.byKey[key] = slices.Delete(subs, i, i+1)
}

func find(subs []subscriber, o *outbox, number uint32) int {
	return slices.IndexFunc(subs, func(x subscriber) bool { return x.out == o && x.handle == number })
}

// each calls f for every stream that a session is open on. f must not block.
func (s *sessions) each(key sessionKey, f func(subscriber)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sub := range s.byKey[key] {
		f(sub)
	}
}

// announce tells every stream where the replica stands.
func (s *sessions) announce(info *wire.ServerInfo) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for o := range s.streams {
		o.addInfo(info)
	}
}

// size is the number of streams and of sessions open on them.
func (s *sessions) size() (streams, open int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.streams), s.count
}

// DeliverBlock hands the outcomes of one session in batch n to the streams that
// it is open on. view is this replica's. It does not block: a stream whose
// queue is full is closed.
func (s *Server) DeliverBlock(n, view uint64, b *execution.Block) {
	s.sessions.each(sessionKey{b.Client, b.Session}, func(sub subscriber) {
		out := wire.Block{Handle: sub.handle, N: n, View: view}
		if sub.digests && !isSmall(b.Results) {
			out.Digest = b.Digest
		} else {
			out.Results = b.Results
		}
		sub.out.addBlock(out)
	})
}

const (
	// smallBlock is up to how many bytes, about, results go in full to those, too,
	// whom a digest would do. It costs little, and they need not wait for the one
	// replica whose results they asked for, which may be the slowest.
	smallBlock  = 512
	resultBytes = 24 // of a result, beside its value
)

func isSmall(results []crypto.Result) bool {
	size := len(results) * resultBytes
	for i := 0; i < len(results) && size <= smallBlock; i++ {
		size += len(results[i].Value)
	}
	return size <= smallBlock
}

// DeliverReply takes what one replica says about one request: for callers that
// wait for f+1 equal outcomes, and, where it is this replica's own word, for
// the streams that the session is open on. It does not block and keeps nothing
// of m.
func (s *Server) DeliverReply(m *message.Reply) {
	s.collector.deliver(m)
	if int(m.Replica) != s.index {
		return
	}
	s.sessions.each(sessionKey{m.Client, m.Session}, func(sub subscriber) {
		sub.out.addSingle(wire.Single{
			Handle: sub.handle, View: m.View, Client: m.Client, Session: m.Session,
			Replica: s.index, Result: detached(m.Result),
		})
	})
}

// detached is r with a value that belongs to it alone.
func detached(r crypto.Result) crypto.Result {
	r.Value = slices.Clone(r.Value)
	return r
}
