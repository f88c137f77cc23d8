package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/server/message"
)

const (
	// A peer that sent more than maxInvalid messages which only a faulty one
	// sends, within invalidWindow, is kept out for a while that doubles each
	// time. After penaltyMemory without such a thing it begins anew.
	maxInvalid    = 100
	invalidWindow = 10 * time.Second
	penaltyFirst  = time.Second
	penaltyMost   = time.Minute
	penaltyMemory = 10 * time.Minute
)

// errStopping is what links are closed with when the transport stops.
var errStopping = status.Error(codes.Unavailable, "the replica is stopping")

// PeerState is what operators see of one link.
type PeerState struct {
	Index       int
	Address     string
	Connected   bool
	Dropped     uint64            // messages that found their outbox full, or were too large to send
	QueuedBytes int               // in the outboxes
	Rejected    uint64            // messages that failed a check
	Reasons     map[Reason]uint64 // the same, by reason
	LastError   string            // why the last link was refused, broke, or a message was rejected
}

// peer is one other replica and the link to it, if there is one.
type peer struct {
	t     *Transport
	index message.ReplicaID
	addr  string
	hello []byte // frame

	link    atomic.Pointer[link] // the link that messages go to
	dropped atomic.Uint64

	mu        sync.Mutex
	holder    *link // has the peer's identity until all of it has ended
	deciding  bool  // whether holder makes room for another link
	rejected  map[Reason]uint64
	invalid   int // since windowAt
	windowAt  time.Time
	penalty   time.Duration
	bannedTil time.Time
	lastError string

	links, refusals limiter
}

func newPeer(t *Transport, i message.ReplicaID, addr string) (*peer, error) {
	hello, err := helloFrame(newHello(&t.o, int(i)))
	return &peer{t: t, index: i, addr: addr, hello: hello, rejected: make(map[Reason]uint64)}, err
}

func (p *peer) state() PeerState {
	s := PeerState{Index: int(p.index), Address: p.addr, Dropped: p.dropped.Load()}
	if l := p.link.Load(); l != nil {
		s.Connected, s.QueuedBytes = true, l.connect.queued()+l.bulk.queued()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.LastError, s.Reasons = p.lastError, maps.Clone(p.rejected)
	for _, n := range p.rejected {
		s.Rejected += n
	}
	return s
}

// send queues a message for the link, if there is one.
func (p *peer) send(m message.Message) {
	l := p.link.Load()
	if l == nil {
		return
	}
	size := sizeOf(m)
	if limit := maxMessage(p.t.o.Limits); size > limit {
		p.dropped.Add(1)
		p.refusals.say(p.t.log, slog.LevelWarn, "message is too large to send", "peer", int(p.index),
			"type", fmt.Sprintf("%T", m), "bytes", size, "limit", limit)
		return
	}
	if classOf(m) == bodies {
		l.bulk.put(m, size)
	} else {
		l.connect.put(m, size)
	}
}

// hold gives the peer's identity to a new link. A link that has it keeps it if
// it answers a ping in time; else it is closed, and hold waits for its end.
func (p *peer) hold(ctx context.Context, l *link) error {
	p.mu.Lock()
	old := p.holder
	if old == nil {
		p.holder = l
		p.mu.Unlock()
		return nil
	}
	if p.deciding {
		p.mu.Unlock()
		return status.Errorf(codes.Unavailable, "replica %d has a connection from %s, and another one is being decided on", p.index, old.remote)
	}
	p.deciding = true
	p.mu.Unlock()

	err := p.displace(ctx, old)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deciding = false
	if err == nil {
		p.holder = l
	}
	return err
}

func (p *peer) displace(ctx context.Context, old *link) error {
	if old.answers() {
		return status.Errorf(codes.AlreadyExists, "replica %d is connected from %s already, and that connection lives", p.index, old.remote)
	}
	old.close(status.Errorf(codes.Aborted, "the connection from %s did not answer a ping: another one takes its place", old.remote))
	select {
	case <-old.ended:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-p.t.ctx.Done():
		return errStopping
	}
}

// release takes the identity from a link that has ended.
func (p *peer) release(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holder == l {
		p.holder = nil
	}
}

// held is the link that has the identity, or nil.
func (p *peer) held() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holder
}

// disconnect closes the link, if there is one.
func (p *peer) disconnect(why error) {
	if l := p.held(); l != nil {
		l.close(why)
	}
}

// refuse counts a message that failed a check. It returns an error if the
// link must be closed for it.
func (p *peer) refuse(err error) error {
	reason := Malformed
	var r *rejection
	if errors.As(err, &r) {
		reason = r.reason
	}
	ban := p.count(reason, err.Error(), time.Now())
	p.refusals.say(p.t.log, slog.LevelWarn, "message of a peer refused", "peer", int(p.index), "reason", reason.String(), "err", err)
	if ban == 0 {
		return nil
	}
	p.t.log.Warn("peer is kept out: it sent too much that is invalid", "peer", int(p.index), "for", ban)
	return status.Errorf(codes.ResourceExhausted, "replica %d sent too much that is invalid, last: %v: come back in %s", p.index, err, ban)
}

// count counts a refusal and says how long the peer is kept out for it.
func (p *peer) count(reason Reason, text string, now time.Time) (ban time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejected[reason]++
	p.lastError = text
	if !reason.faulty() {
		return 0
	}
	if now.Sub(p.windowAt) > invalidWindow {
		p.windowAt, p.invalid = now, 0
	}
	p.invalid++
	if p.invalid <= maxInvalid && reason != WrongSender {
		return 0
	}
	if now.Sub(p.bannedTil) > penaltyMemory {
		p.penalty = 0
	}
	p.penalty = min(max(2*p.penalty, penaltyFirst), penaltyMost)
	p.bannedTil, p.invalid = now.Add(p.penalty), 0
	return p.penalty
}

// banned is how long the peer is still kept out.
func (p *peer) banned() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(time.Until(p.bannedTil), 0)
}

func (p *peer) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastError = err.Error()
}
